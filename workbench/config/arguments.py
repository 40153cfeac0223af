"""What is typed after a command, read by argparse; its help and what it complains about in the reader's language.

Standard library only: a command line is read before the packages are known to be there.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, listed

_HEADINGS = (
    Text("usage: ", "用法："),
    Text("positional arguments:", "参数："),
    Text("options:", "选项："),
)
_SEE_HELP = Text("See {prog} --help.", "请看 {prog} --help。")
# argparse hands over nothing but its finished English sentence, and has not many of them.
_ABOUT = r"(?:argument (?P<field>\S+): )?"
_SENTENCES: tuple[tuple[str, Text, Text], ...] = (
    (
        r"invalid choice: (?P<given>.+?)(?:, maybe you meant .+)? \(choose from (?P<known>.+)\)",
        Text("there is no {given}", "没有 {given}"),
        Text("Choose one of: {known}.", "可选：{known}。"),
    ),
    (r"invalid int value: (?P<given>.+)", Text("{given} is no whole number", "{given} 不是整数"), _SEE_HELP),
    (r"invalid float value: (?P<given>.+)", Text("{given} is no number", "{given} 不是数字"), _SEE_HELP),
    (r"expected .*argument.*", Text("a value must follow", "后面缺少值"), _SEE_HELP),
    (r"ignored explicit argument (?P<given>.+)", Text("no value may follow", "后面不能带值"), _SEE_HELP),
    (r"the following arguments are required: (?P<given>.+)", Text("{given} is missing", "缺少 {given}"), _SEE_HELP),
    (r"unrecognized arguments: (?P<given>.+)", Text("{given} is not known here", "无法识别 {given}"), _SEE_HELP),
)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose texts are `Text`s; a wrong request raises a `WorkbenchError` instead of leaving.

    Options are not shortened: what is unique today would mean something else after the next option.

    Args:
        lang: the reader's language.
        about: what the command does.
        options: those of `ArgumentParser`.
    """

    def __init__(self, lang: str, about: Text, **options: Any) -> None:
        super().__init__(description=about.to(lang), add_help=False, allow_abbrev=False, **options)
        self.lang = lang
        self.add("-h", "--help", action="help", help=Text("show this help and exit", "显示此帮助并退出"))

    def add(self, *names: str, help: Text | None = None, **options: Any) -> None:  # noqa: A002 - argparse's word
        """`add_argument` with its help in both languages."""
        self.add_argument(*names, help=help.to(self.lang) if help else None, **options)

    def add_commands(self, dest: str, metavar: str, *, usual: str | None = None) -> Callable[[str, Text], Parser]:
        """Take a word that says what to do (`usual` where none is typed); what comes back adds one, with its own parser."""
        words = self.add_subparsers(dest=dest, metavar=metavar, required=usual is None)
        self.set_defaults(**{dest: usual})
        return lambda name, about: words.add_parser(name, lang=self.lang, about=about, help=about.to(self.lang))

    def add_home_and_lang(self, home: str, *, first: bool = True) -> None:
        """What the page and every command take; `first`: without the option, the value comes from here."""
        text = Text(
            "folder for models, data sets and runs (default: {home})", "存放模型、数据集和运行的文件夹（默认：{home}）"
        )
        self.add(
            "--home",
            type=_home,
            metavar="DIR",
            default=home if first else argparse.SUPPRESS,
            help=text.with_(home=home.replace("%", "%%")),
        )
        self.add(
            "--lang",
            choices=("en", "zh"),
            default=None if first else argparse.SUPPRESS,
            help=Text("language of messages (default: the system's)", "消息的语言（默认：系统语言）"),
        )

    def format_help(self) -> str:
        """The help with argparse's own headings in the reader's language, too."""
        text = super().format_help()
        for heading in _HEADINGS:
            text = text.replace(heading.en, heading.to(self.lang), 1)
        return text

    def error(self, message: str) -> NoReturn:
        """What is wrong with the request, as an error for people."""
        for pattern, said, hint in _SENTENCES:
            if found := re.fullmatch(_ABOUT + pattern, message, re.DOTALL):
                values: dict[str, Any] = {**found.groupdict(""), "prog": self.prog}
                values["known"] = listed(values.get("known", "").replace("'", "").split(", "))
                field = values["field"].lstrip("-").replace("-", "_").lower()
                raise WorkbenchError(said.with_(**values), hint.with_(**values), field or None)
        raise WorkbenchError(Text("{why}", "命令有误：{why}").with_(why=message), _SEE_HELP.with_(prog=self.prog))


def _home(text: str) -> Path:
    """A folder, or a place where one can be made."""
    try:
        path = Path(text).expanduser().resolve()
        nearest = next(place for place in (path, *path.parents) if place.exists())
        if nearest.is_dir():
            return path
    except (OSError, RuntimeError, StopIteration):  # a name too long, links in a circle, ~nobody, a drive that is gone
        nearest = Path(text)
    raise WorkbenchError(
        Text("{path} is no folder and cannot hold one", "{path} 不是文件夹，也不能在其中建文件夹").with_(
            path=str(nearest)[:80]
        ),
        Text("Choose a folder; it is made where there is none.", "请选择一个文件夹；不存在时会自动创建。"),
        "home",
    )
