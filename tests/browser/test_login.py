"""The login, as somebody sees it who was given name and password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import SOON, App, wait_until


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A workbench with a login."""
    monkeypatch.setenv("WORKBENCH_LOGIN", "安:correct horse")
    running = App(tmp_path / "home").start()
    yield running
    running.close()


def test_the_login_says_what_was_wrong_opens_the_page_and_comes_back_when_it_is_over(app: App, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, locale="zh-CN")
    page = context.new_page()
    page.set_default_timeout(SOON)
    page.goto(app.url)

    def log_in(password: str) -> Any:
        page.get_by_label("用户名").fill("安")
        page.get_by_label("密码").fill(password)
        with page.expect_navigation(wait_until="load") as answered:
            page.get_by_role("button", name="登录").click()
        return answered.value

    assert log_in("wrong password").status == 400
    assert "不正确" in page.get_by_role("alert").inner_text()
    wait_until(lambda: log_in("wrong password").status == 429)
    assert "秒后重试" in page.get_by_role("alert").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wait_until(lambda: log_in("correct horse").status == 200)  # early ones count for nothing
    page.wait_for_selector("#chip-run")
    context.clear_cookies()  # as when the workbench was started again
    page.get_by_label("密码").wait_for()
    context.close()
