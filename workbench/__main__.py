"""The command line: the same engine and the same folders as the page, without the page.

Results go to stdout (with `--json` one JSON object and nothing else), progress and logs to stderr. Exit codes: 0 done;
1 the work failed or was stopped; 2 the request was wrong.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from workbench.config.first_words import refuse_old_python

refuse_old_python()  # before the imports that an old Python can't read

from workbench.bootstrap import ROOT, ensure, environment, language  # noqa: E402
from workbench.config.arguments import Parser  # noqa: E402
from workbench.config.errors import StopRequested, WorkbenchError  # noqa: E402
from workbench.config.signals import as_interrupts  # noqa: E402
from workbench.config.text import Text  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    environment()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show Chinese must not end the program
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    lang = language(arguments)
    try:
        options = _read(arguments, lang)
    except WorkbenchError as error:
        _complain(error, lang, "--json" in arguments)
        return 2
    ensure()
    from workbench import commands, data_commands, job_commands, model_commands

    module = {
        "data": data_commands,
        "jobs": job_commands,
        "merge": job_commands,
        "push": job_commands,
        "models": model_commands,
    }.get(options.command, commands)
    try:
        with as_interrupts():
            result, code = getattr(module, options.command)(options, lang)
    except (KeyboardInterrupt, StopRequested):
        _complain(WorkbenchError(Text("stopped", "已停止")), lang, options.json)
        return 1
    except Exception as error:
        if options.debug:
            raise
        told, code = commands.explained(error)
        _complain(told, lang, options.json)
        return code
    if options.json:
        print(json.dumps(result.data, ensure_ascii=False, default=str))
    elif result.text:
        print(result.text)
    return code


def _complain(error: WorkbenchError, lang: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": error.as_dict(lang)}, ensure_ascii=False))
    print(error.to(lang), file=sys.stderr)


def _read(arguments: list[str], lang: str) -> argparse.Namespace:
    """The words that were typed.

    Raises:
        WorkbenchError: they are no request.
    """
    parser = _parser(lang)
    options, rest = parser.parse_known_args(arguments)
    # argparse gives up a list of words at the first flag that stands before it or within it.
    if hasattr(options, "overrides") and not any(word.startswith("-") for word in rest):
        options.overrides = [*options.overrides, *rest]
    elif rest:
        parser.error("unrecognized arguments: " + " ".join(rest))
    return options


class _Command(Parser):
    """A command, or an action of one: the flags that every command takes may stand before and after each word."""

    def __init__(self, lang: str, about: Text, *, first: bool = False, **options: Any) -> None:
        super().__init__(lang, about, **options)
        self.add_home_and_lang(os.environ.get("WORKBENCH_HOME") or str(ROOT / "workspace"), first=first)
        # Only the first parser has defaults, so that none of the later ones takes back what was given before it.
        absent = False if first else argparse.SUPPRESS
        text = Text("print one JSON object and nothing else", "只输出一个 JSON 对象")
        self.add("--json", action="store_true", default=absent, help=text)
        self.add("--debug", action="store_true", default=absent, help=Text("show tracebacks", "显示完整的错误堆栈"))


def _parser(lang: str) -> Parser:
    about = Text("Fine-tune language models.", "微调语言模型。")
    parser = _Command(lang, about, first=True, prog="python -m workbench")
    add = parser.add_commands("command", "COMMAND")
    _presets(add("presets", Text("list, show or copy presets", "列出、查看或复制预设")))
    _train(add("train", Text("train from a preset or a YAML file", "用预设或 YAML 文件训练")))
    _runs(add("runs", Text("list, show or delete runs", "列出、查看或删除运行")))
    _models(
        add("models", Text("list, find, download, add or delete base models", "列出、查找、下载、添加或删除基座模型"))
    )
    _data(add("data", Text("list data sets, or look into a file", "列出数据集，或检查数据文件")))
    _resume(add("resume", Text("go on with a run from its last checkpoint", "从最近的检查点继续运行")))
    _chat(add("chat", Text("talk to a model or to what a run made", "与模型或运行的结果聊天")))
    _merge(add("merge", Text("write base and adapter as one model folder", "把基座模型与适配器合并成一个模型文件夹")))
    _push(add("push", Text("upload what a run made to the Hub", "把运行的结果上传到 Hub")))
    _jobs(add("jobs", Text("list, show or stop what runs and waits", "列出、查看或停止正在进行和等待中的任务")))
    return parser


def _presets(presets: Parser) -> None:
    add = presets.add_commands("action", "ACTION", usual="list")
    add("list", Text("one a line, the id first", "每行一个，开头是 ID"))
    which = Text("the preset's id", "预设的 ID")
    add("show", Text("print its YAML", "输出它的 YAML")).add("id", metavar="ID", help=which)
    copy = add("copy", Text("copy its YAML, to change it", "复制它的 YAML，以便修改"))
    copy.add("id", metavar="ID", help=which)
    copy.add("file", type=Path, metavar="FILE", help=Text("where to copy it", "复制到哪个文件"))
    bring = add("add", Text("keep a YAML file as one of your own", "把 YAML 文件保存为自己的预设"))
    bring.add("file", type=Path, metavar="FILE", help=Text("such as a run's config.yaml", "例如某个运行的 config.yaml"))
    add("delete", Text("delete one of your own", "删除自己的预设")).add("id", metavar="ID", help=which)


_OVERRIDES = Text("settings that differ, e.g. optimization.epochs=2", "要改的设置，例如 optimization.epochs=2")
_RUN = Text("the run's id", "运行的 ID")


def _train(train: Parser) -> None:
    text = Text(
        "a preset's id, or a YAML file such as a run's config.yaml", "预设的 ID，或 YAML 文件（如运行的 config.yaml）"
    )
    train.add("preset", metavar="PRESET_OR_YAML", help=text)
    about = Text(
        "start nothing: take the word as a data file or set, and say which method, preset and settings suit it",
        "不训练：把这个参数当作数据文件或数据集，给出适合它的方法、预设和设置",
    )
    train.add("--suggest", action="store_true", help=about)
    train.add("overrides", nargs="*", default=[], metavar="section.key=value", help=_OVERRIDES)


def _resume(resume: Parser) -> None:
    resume.add("run", metavar="RUN", help=_RUN)
    resume.add("overrides", nargs="*", default=[], metavar="section.key=value", help=_OVERRIDES)


def _runs(runs: Parser) -> None:
    add = runs.add_commands("action", "ACTION", usual="list")
    add("list", Text("one a line, the newest first", "每行一个，最新的在前"))
    add("show", Text("what is known of one", "查看一个运行")).add("run", metavar="RUN", help=_RUN)
    add("delete", Text("remove one with all that it made", "删除一个运行及其全部产物")).add(
        "run", metavar="RUN", help=_RUN
    )


def _models(models: Parser) -> None:
    add = models.add_commands("action", "ACTION", usual="list")
    add("list", Text("one a line, the id first", "每行一个，开头是 ID"))
    text = Text(
        "a model's folder, a folder full of models, or a repository in the Hub's cache; nothing is copied",
        "模型文件夹、装有多个模型的文件夹，或 Hub 缓存中的仓库名；不会复制或移动",
    )
    add("add", Text("add a folder that lies elsewhere", "添加位于别处的模型文件夹")).add(
        "folder", type=Path, metavar="DIR", help=text
    )
    text = Text("what to look for; nothing: the recommended ones", "要搜索的内容；留空则列出推荐的模型")
    add("search", Text("find models to download", "查找可下载的模型")).add(
        "words", nargs="*", metavar="WORDS", help=text
    )
    text = Text("a repository's id or address, or a recommended model's id", "仓库 ID 或网址，或推荐模型的 ID")
    about = Text("download a model; what has come is kept", "下载模型；中断后已下载的部分会保留")
    add("download", about).add("repository", metavar="ID", help=text)
    fit = add(
        "fit",
        Text("whether training a model fits this computer, and what would", "这台电脑能否训练某个模型，怎样才能放得下"),
    )
    fit.add(
        "model", metavar="MODEL", help=Text("a model that is here, or one to download", "本机的模型，或可下载的模型")
    )
    text = Text("a setting, such as adapter.kind=none", "一项设置，例如 adapter.kind=none")
    fit.add("overrides", nargs="*", default=[], metavar="section.key=value", help=text)
    text = Text(
        "train a few steps first and throw them away, to say how long it takes here",
        "先试训几步（结果丢弃），实测在本机的耗时",
    )
    fit.add("--measure", action="store_true", help=text)
    text = Text(
        "the folder, e.g. on another disk; without one it is named", "文件夹，例如另一块磁盘上的；不写则显示当前的"
    )
    about = Text(
        "where new models are put; those that are there stay and stay listed",
        "新模型存放在哪里；已有的模型不动，仍在列表中",
    )
    add("folder", about).add("folder", nargs="?", type=Path, metavar="DIR", help=text)
    text = Text("its repository; without one they are listed", "仓库名；不写则列出全部")
    about = Text("throw away what is there of a download that is not whole", "丢弃未完成的下载")
    add("discard", about).add("model", nargs="?", default="", metavar="ID", help=text)
    text = Text("the model's id", "模型的 ID")
    delete = Text(
        "remove a model's folder; one that was added is only forgotten", "删除模型文件夹；添加的模型只会移出列表"
    )
    add("delete", delete).add("model", metavar="MODEL", help=text)


def _data(data: Parser) -> None:
    add = data.add_commands("action", "ACTION", usual="list")
    add("list", Text("one a line, the id first", "每行一个，开头是 ID"))
    about = Text("what a file is read as, what of it is not used, and why", "文件会读成什么，哪些内容没有使用，为什么")
    inspect = add("inspect", about)
    text = Text("a data file, or the id of a data set", "数据文件，或数据集的 ID")
    inspect.add("data", metavar="FILE_OR_NAME", help=text)
    text = Text("count its tokens as this model reads them", "按这个模型统计词元")
    inspect.add("--model", metavar="MODEL", help=text)
    text = Text(
        "with --model: tokens that a row may have, as in a run", "与 --model 一起用：每条样本最多的词元数，与训练时相同"
    )
    inspect.add("--max-length", type=int, metavar="N", help=text)
    bring = add("add", Text("copy a file into the data sets", "把文件复制到数据集中"))
    bring.add("file", type=Path, metavar="FILE", help=Text("the data file", "数据文件"))
    bring.add("--name", metavar="NAME", help=Text("what to call it (default: as the file)", "名称（默认与文件同名）"))
    text = Text("the id of one of your own", "自己的数据集的 ID")
    add("delete", Text("remove one of your own", "删除自己的数据集")).add("data", metavar="NAME", help=text)


def _chat(chat: Parser) -> None:
    chat.add(
        "target",
        metavar="MODEL_OR_RUN",
        help=Text("the id of a model or run, or a model's folder", "模型或运行的 ID，或模型文件夹"),
    )
    chat.add(
        "--prompt", metavar="TEXT", help=Text("ask this one question and print the answer", "只问这一个问题并输出回答")
    )
    chat.add("--base", action="store_true", help=Text("of a run: ask its base model", "改问这个运行的基座模型"))
    text = Text(
        "length of an answer, in tokens (default: %(default)s)", "回答的最大长度，以词元计（默认：%(default)s）"
    )
    chat.add("--max-new-tokens", type=int, default=256, metavar="N", help=text)
    text = Text("0: always the likeliest word (default)", "0：总是选最可能的词（默认）")
    chat.add("--temperature", type=float, default=0.0, metavar="T", help=text)
    text = Text("choose among the likeliest words only (default: 1, all)", "只在最可能的词里选（默认：1，不限制）")
    chat.add("--top-p", type=float, default=1.0, metavar="P", help=text)


def _merge(merge: Parser) -> None:
    merge.add("run", metavar="RUN", help=_RUN)
    text = Text(
        "a folder that does not exist yet; without one: into the run's own exports, where push finds it",
        "尚不存在的文件夹；不写则放入该运行的 exports，push 会用到",
    )
    merge.add("folder", type=Path, nargs="?", metavar="DIR", help=text)
    text = Text(
        "fp32, bf16, fp16 or auto: as the base model (default)", "fp32、bf16、fp16 或 auto：与基座模型相同（默认）"
    )
    merge.add("--dtype", default="auto", help=text)


def _push(push: Parser) -> None:
    push.add("run", metavar="RUN", help=_RUN)
    text = Text("owner/name, or a name of your own account", "owner/name，或自己账号下的名称")
    push.add("repository", metavar="REPO_ID", help=text)
    text = Text("adapter (default), or merged: the model folder", "adapter（默认），或 merged：合并后的模型文件夹")
    push.add("--what", choices=("adapter", "merged"), default="adapter", help=text)
    text = Text("everybody may see it (default: private)", "公开（默认为私有）")
    push.add("--public", action="store_true", help=text)
    text = Text("leave your questions and the answers out of the card", "模型卡中不包含你的问题和回答")
    push.add("--no-answers", action="store_true", help=text)
    push.add("--yes", action="store_true", help=Text("do not ask", "不再询问"))


def _jobs(jobs: Parser) -> None:
    add = jobs.add_commands("action", "ACTION", usual="list")
    add("list", Text("one a line: what runs, what waits, what is over", "每行一个：进行中、等待中、已结束"))
    which = Text("the id of a job or a run", "任务或运行的 ID")
    add("show", Text("what is known of one", "查看一个任务")).add("job", metavar="ID", help=which)
    text = Text("ask one to stop, whichever window or terminal does it", "停止一个任务，无论它在哪个窗口或终端进行")
    add("cancel", text).add("job", metavar="ID", help=which)


if __name__ == "__main__":
    sys.exit(main())
