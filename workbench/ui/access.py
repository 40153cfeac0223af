"""What the page does beyond Gradio for keyboards and screen readers, and that each tab opens at its top.

`access.js` runs in the page's head. Arrow keys move between tabs (Home and End too), as in WAI-ARIA's pattern; names that
differ from what stands on the screen are mended where Gradio draws them. What the workbench makes itself is right where it
is made (`workbench.ui.html`).
"""

from __future__ import annotations

from pathlib import Path


def script() -> str:
    """What the page's head needs."""
    return f"<script>{Path(__file__).with_name('access.js').read_text(encoding='utf-8')}</script>"
