"""Makes the pictures in `docs/images`: `python -m tests.screenshots`. A real run in a real browser, nothing staged."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests import browsers
from tests.browser.conftest import ROOT, App, runs_of, wait_until

IMAGES = ROOT / "docs" / "images"


def main() -> None:
    """Walk the guide in each language and take a picture of the finished run and of the talk."""
    from playwright.sync_api import sync_playwright

    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browsers.find(), args=["--no-sandbox"])
        for lang, locale in (("en", "en-US"), ("zh", "zh-CN")):
            with tempfile.TemporaryDirectory() as folder:
                app = App(Path(folder)).start()
                try:
                    context = browser.new_context(viewport={"width": 1280, "height": 860}, locale=locale)
                    page = context.new_page()
                    page.set_default_timeout(300_000)
                    page.goto(app.url)
                    for clicks in range(5):
                        if clicks == 3:
                            wait_until(lambda home=app.home: runs_of(home)[0]["status"] == "completed")
                            page.wait_for_timeout(2500)
                            page.screenshot(path=IMAGES / f"run-{lang}.png")
                        page.locator("#guide-next").click()
                        page.wait_for_timeout(2500)
                    page.wait_for_timeout(12_000)
                    page.screenshot(path=IMAGES / f"chat-{lang}.png")
                    context.close()
                finally:
                    app.close()
        browser.close()


if __name__ == "__main__":
    main()
