"""Chat templates from strangers: each is tried out in a process of its own before this one renders anything with it.

A chat template is a program. Its sandbox keeps it from files and from Python, but not from running for ever or from
filling the memory, and nothing can be done about that once it runs in this process. So `template_probe.py` renders some
conversations with it under limits of time, memory and output, and only a template that gets through is used.

What this cannot see: a template that behaves there and misbehaves later, on data of its choice. It keeps out what is
broken, and what is hostile without knowing this check. On Windows there is no limit of memory, only of time and output.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.models import template_probe as probe
from workbench.models.probing import package_folders, run_probe
from workbench.models.reading import contained, model_error, read_json_object

MAX_TEMPLATE = 1_000_000  # characters; long ones have some ten thousand
# With the time until the other process can begin, which a virus scanner or a busy computer may hold up.
LONGEST_SECONDS = 60 + probe.LAST_SECONDS

_LOG = logging.getLogger(__name__)
_SIZE, _CRASH = "size", "crash"
_REASONS = {
    probe.SLOW: Text(
        "this model's chat template does not come to an end with a short conversation",
        "此模型的对话模板连一段简短的对话都无法渲染完（可能陷入死循环）",
    ),
    probe.MEMORY: Text(
        "this model's chat template needs more than {memory} MB of memory for a short conversation",
        "此模型的对话模板渲染一段简短的对话就要占用超过 {memory} MB 内存",
    ).with_(memory=probe.MEMORY_BYTES // 1024**2),
    probe.LONG: Text(
        "this model's chat template makes more than {length} characters out of a short conversation",
        "此模型的对话模板会把一段简短的对话展开成超过 {length} 个字符",
    ).with_(length=f"{probe.OUTPUT_CHARACTERS:,}"),
    probe.UNSAFE: Text(
        "this model's chat template tries to do what templates must not do",
        "此模型的对话模板试图执行不允许模板执行的操作",
    ),
    probe.EMPTY: Text(
        "this model's chat template writes nothing, whatever is said in a conversation",
        "无论对话内容是什么，此模型的对话模板都不输出任何文字",
    ),
    probe.DEAF: Text(
        "this model's chat template leaves away everything that a user says, so that every question looks the same",
        "此模型的对话模板会丢掉用户说的所有内容，模型看到的问题全都一样",
    ),
    probe.MUTE: Text(
        "this model's chat template leaves away all answers, so that nothing could be learned from them",
        "此模型的对话模板会丢掉所有回答，因此学不到任何内容",
    ),
    _SIZE: Text(
        "this model's chat template is longer than {length} characters", "此模型的对话模板超过 {length} 个字符"
    ).with_(length=f"{MAX_TEMPLATE:,}"),
    _CRASH: Text("this model's chat template makes Python crash", "此模型的对话模板会使 Python 崩溃"),
}

_lock = threading.Lock()
_verdicts: dict[str, str] = {}


def check_template(text: str) -> None:
    """Refuse a template that hangs, swells or crashes, does nothing but break the sandbox's rules, or loses all that is said.

    The first call for a text takes the start of a small Python (0.2 s; seconds for a bad one), any other no time: what
    became of it is remembered as long as this process lives, unless only the clock said so. A template that refuses conversations
    is accepted.

    Raises:
        WorkbenchError: (`bad_template`) the model must not be used; (`template_untried`) it could not be tried out.
    """
    if len(text) > MAX_TEMPLATE:
        raise _refusal(_SIZE)
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    with _lock:  # so that two who ask at the same time start one process
        verdict = _verdicts.get(key)
        if verdict is None:
            verdict, lasting = _try_out(text)
            if lasting:
                _verdicts[key] = verdict
    if verdict != probe.FINE:
        raise _refusal(verdict)


def folder_template(folder: Path) -> str | None:
    """The chat template that a model's files name, without loading anything; None where there is none.

    The tokenizer that is loaded has the last word (`loading.load_tokenizer` asks it): it also knows rare places.
    """
    path = contained(folder, "chat_template.jinja")
    if path is not None:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_TEMPLATE + 1)
    path = contained(folder, "tokenizer_config.json")
    found: Any = read_json_object(path).get("chat_template") if path else None
    if isinstance(found, list):  # the older way to name several
        found = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) and found else None


def _try_out(text: str) -> tuple[str, bool]:
    """The verdict of a process that is gone when this returns, and whether it would say so again."""
    folders = package_folders("jinja2", "markupsafe")
    try:
        outcome = run_probe(probe.__file__, folders, text.encode("utf-8", "surrogatepass"), LONGEST_SECONDS)
    except OSError as error:
        raise _untried(str(error)) from error
    if not outcome.begun or (outcome.killed and not outcome.words):  # the system needed the memory, for whatever
        raise _untried(outcome.complaint)
    verdict = outcome.words[0] if outcome.words else probe.SLOW if outcome.late else _CRASH
    if verdict != probe.FINE:
        _LOG.warning("a chat template is refused (%s) %s", verdict, outcome.ending)
    return verdict, bool(outcome.words) or not outcome.by_clock


def _refusal(verdict: str) -> WorkbenchError:
    return model_error(
        _REASONS[verdict],
        Text(
            "Choose another model, or put a chat_template.jinja that you trust into its folder.",
            "请选择其他模型，或在该模型的文件夹中放入可信的 chat_template.jinja。",
        ),
        code="bad_template",
    )


def _untried(detail: str) -> WorkbenchError:
    return model_error(
        Text(
            "this model's chat template could not be tried out: {detail}", "无法试运行此模型的对话模板：{detail}"
        ).with_(detail=detail[:200]),
        Text(
            "Try again; if the computer is very busy, close other programs first.",
            "请重试；如果电脑负载很高，请先关闭其他程序。",
        ),
        code="template_untried",
    )
