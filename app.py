"""The workbench's page: `python app.py`. Also the entry of a Hugging Face Space.

Reads the flags, sees to the packages, and opens the page; nothing else happens here.
"""

import argparse
import os

from workbench.config.first_words import refuse_old_python

refuse_old_python()  # before the imports that an old Python can't read

from workbench.bootstrap import ROOT, ensure, environment, language, say
from workbench.config.arguments import Parser
from workbench.config.errors import WorkbenchError
from workbench.config.signals import leave
from workbench.config.text import Text


def _arguments() -> argparse.Namespace:
    on_a_space = "SPACE_ID" in os.environ
    about = Text("Fine-tune language models in the browser.", "在浏览器里微调语言模型。")
    parser = Parser(language(), about, prog="app.py")
    text = Text(
        "address to listen on; 0.0.0.0 lets other computers in (default: %(default)s)",
        "监听地址；0.0.0.0 允许其他电脑访问（默认：%(default)s）",
    )
    parser.add("--host", default="0.0.0.0" if on_a_space else "127.0.0.1", help=text)
    text = Text("port to listen on (default: %(default)s)", "监听端口（默认：%(default)s）")
    parser.add("--port", type=int, default=7860, help=text)
    text = Text("don't open a window", "不打开浏览器窗口")
    parser.add("--no-browser", action="store_true", default=on_a_space, help=text)
    parser.add_home_and_lang(os.environ.get("WORKBENCH_HOME") or str(ROOT / "workspace"))
    arguments = parser.parse_args()
    if not 0 < arguments.port < 65536:
        text = Text("{port} is no port: from 1 to 65535", "{port} 不是有效端口：应在 1 到 65535 之间")
        raise WorkbenchError(text.with_(port=arguments.port), field="port")
    return arguments


def main() -> int:
    """Run the page until it is closed; the exit code."""
    environment()
    try:
        arguments = _arguments()
        ensure()
        from workbench.ui.page import serve

        serve(arguments.home, arguments.host, arguments.port, not arguments.no_browser, arguments.lang)
    except WorkbenchError as error:
        say(error)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    leave(main())
