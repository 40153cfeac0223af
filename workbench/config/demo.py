"""Whether this is a public demo, where strangers share one computer: they download recommended models only, and send nothing away."""

from __future__ import annotations

import os

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text

VARIABLE = "WORKBENCH_DEMO"


def is_demo() -> bool:
    """Whether whoever runs this said so: `WORKBENCH_DEMO` set to anything but 0, false, no or off."""
    return os.environ.get(VARIABLE, "").strip().lower() not in ("", "0", "false", "no", "off")


def refuse_in_demo() -> None:
    """Raise a WorkbenchError in a public demo."""
    if is_demo():
        raise WorkbenchError(
            Text("this is a public demo: only the recommended models can be downloaded here, and nothing is uploaded",
                 "这是公开演示：这里只能下载推荐的模型，不能上传"),
            Text("Run the workbench on your own computer for everything else.", "其他功能请在自己的电脑上运行工作台。"),
            code="demo",
        )  # fmt: skip
