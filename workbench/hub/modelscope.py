"""ModelScope, through its own client, which is installed only by who wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.hub.errors import hub_error, offline

if TYPE_CHECKING:
    from workbench.hub.sources import Source

PACKAGE = "modelscope-hub==0.5.1"  # the version that this was written for


def client(source: Source) -> Any:
    """ModelScope's client for a source.

    Raises:
        WorkbenchError: (`missing_package`) it is not installed.
    """
    if source.offline:
        raise offline()
    try:
        import modelscope_hub
    except ImportError:
        raise missing_client() from None
    return modelscope_hub.HubApi(endpoint=source.endpoint)


def missing_client() -> WorkbenchError:
    """The client is not installed; the hint says how it will be."""
    return hub_error(
        Text("models from ModelScope need the package {package}", "从 ModelScope 下载需要 {package}").with_(
            package=PACKAGE.partition("=")[0]
        ),
        Text(
            "Install it with: pip install {package}. Or choose a mirror of Hugging Face.",
            "请运行 pip install {package}，或改用 Hugging Face 镜像。",
        ).with_(package=PACKAGE),
        code="missing_package",
    )


def greet(source: Source, seconds: float) -> None:
    """Ask ModelScope for something small. Raises its client's errors."""
    client(source).list_repos("model", page_size=1)
