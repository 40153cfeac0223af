"""Pydantic's errors in the words of a person, in both languages, each with the path of its setting."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from workbench.config.errors import Problem
from workbench.config.fields import knobs, names_elsewhere, section_at
from workbench.config.text import Text, listed

MAX_PROBLEMS = 50  # nobody reads more, and a file may hold any number of wrong keys
MAX_SHOWN = 60  # characters of a value or a key in a sentence


def rule_error(path: str, message: Text, hint: Text | None = None) -> PydanticCustomError:
    """A rule of our own, raised inside a validator: carries its texts and the path that the form marks."""
    return PydanticCustomError("rule", "{text}", {"text": str(message), "problem": Problem(message, hint, path)})


def problems_of(error: ValidationError, model: type[BaseModel], values: Any = None) -> list[Problem]:
    """One `Problem` for each thing that pydantic found wrong, up to `MAX_PROBLEMS`.

    Args:
        error: what pydantic raised.
        model: the class whose values were checked.
        values: these values, which decide of which variant a section is.
    """
    return [_problem(detail, model, values) for detail in error.errors(include_url=False)[:MAX_PROBLEMS]]


def suggestion(wrong: str, known: Iterable[str]) -> Text:
    """ "Did you mean ...?", or else the list of what there is."""
    known = list(known)
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    if close:
        return Text("Did you mean '{name}'?", "你是想用“{name}”吗？").with_(name=close[0])
    return Text("There is: {names}.", "可用的有：{names}。").with_(names=listed(known))


def short(value: Any) -> str | Text:
    """A value of any kind and size as it can stand in a sentence."""
    if value is None:
        return Text("an empty field", "空值")
    text = f"'{value[:MAX_SHOWN]}'" if isinstance(value, str) else _REPR.repr(_plain(value))
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _plain(value: Any) -> Any:
    """A whole number without the `.0` that pages and files give it."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


class _Repr(reprlib.Repr):
    """Looks at the beginning of a value only, and writes numbers that Python refuses to write as their power of ten."""

    def repr_int(self, x: int, level: int) -> str:
        if abs(x).bit_length() <= 200:
            return repr(x)
        return f"{'-' if x < 0 else ''}10^{math.floor(math.log10(abs(x)))}"


_REPR = _Repr()
_REPR.maxlevel = 3
_REPR.maxstring = _REPR.maxother = MAX_SHOWN


def _problem(detail: ErrorDetails, model: type[BaseModel], values: Any) -> Problem:
    context, loc = detail.get("ctx", {}), detail["loc"]
    if isinstance(context.get("problem"), Problem):
        return context["problem"]
    path = _path(loc)
    if detail["type"] == "extra_forbidden":
        return _unknown_key(path, loc, model, values)
    if detail["type"] == "no_variant":
        kind, known, noun = detail["input"].get("kind"), context["known"], context["noun"]
        message = Text("there is no {noun} {kind}", "没有 {kind} 这种{noun}").with_(noun=noun, kind=short(kind))
        return Problem(message, suggestion(kind if isinstance(kind, str) else "", known), _path((*loc, "kind")))
    make = _MESSAGES.get(detail["type"])
    given = detail.get("input")
    if detail["type"] in ("float_type", "int_type") and type(given) is int:  # more than a float can hold
        message = (
            Text("{given} is too large", "{given} 太大") if given > 0 else Text("{given} is too small", "{given} 太小")
        )
        return Problem(message.with_(given=short(given)), None, path or None)
    if make is None:
        message = Text("{given} cannot be used here ({why})", "这里不能用 {given}（{why}）").with_(
            given=short(given), why=detail["msg"]
        )
        return Problem(message, None, path or None)
    return Problem(make(short(given), context), None, path or None)


def _path(loc: Sequence[str | int]) -> str:
    """A place as form and command line name it: `rewards.0.weight`; the words of a list are one setting, the list."""
    parts = list(loc)
    while parts and isinstance(parts[-1], int):
        parts.pop()
    return ".".join(part[:MAX_SHOWN] if isinstance(part, str) else str(part) for part in parts)


def _unknown_key(path: str, loc: Sequence[str | int], model: type[BaseModel], values: Any) -> Problem:
    section = section_at(model, loc[:-1], values)
    known = sorted(getattr(section, "model_fields", {}))
    message = Text("there is no setting '{path}'", "没有“{path}”这个设置项").with_(path=path)
    here = _of_another(path, model) or called_here(str(loc[-1]), model, values)
    return Problem(message, here or (suggestion(str(loc[-1]), known) if known else None), path)


def _of_another(path: str, model: type[BaseModel]) -> Text | None:
    """Which variants a setting belongs to that this one does not have; None where none has it."""
    found = next((setting for setting in knobs(model) if setting.path == path and setting.when), None)
    if found is None:
        return None
    return Text("It belongs to {kind}: {names}.", "它只属于 {kind}：{names}。").with_(
        kind=found.when[0].path, names=listed(list(found.when[0].values))
    )


def called_here(name: str, model: type[BaseModel], values: Any = None) -> Text | None:
    """What is called `name` in another tool, as a sentence; None where nothing is.

    Args:
        model, values: as in `problems_of`.
    """
    found = names_elsewhere(model, values if isinstance(values, dict) else None)
    if name not in found:
        return None
    return Text("Here it is called '{path}'.", "在这里叫“{path}”。").with_(path=found[name])


def _bound(en: str, zh: str, key: str) -> Callable[[str | Text, dict[str, Any]], Text]:
    return lambda given, context: Text(en, zh).with_(given=given, bound=_plain(context.get(key)))


_NUMBER = _bound("{given} is no number: type one such as 0.002", "{given} 不是数字，请填写如 0.002 的数字", "")
_WHOLE = _bound("{given} is no whole number: type one such as 8", "{given} 不是整数，请填写如 8 的整数", "")
_TEXT = _bound("{given} is no text", "{given} 不是文本", "")
_LIST = _bound("{given} is no list", "{given} 不是列表", "")
_SECTION = _bound("{given} is no section of settings", "{given} 不是一组设置", "")

_MESSAGES: dict[str, Callable[[str | Text, dict[str, Any]], Text]] = {
    "greater_than": _bound(
        "{given} is too small: it must be more than {bound}", "{given} 太小：必须大于 {bound}", "gt"
    ),
    "greater_than_equal": _bound(
        "{given} is too small: the smallest allowed value is {bound}", "{given} 太小：最小为 {bound}", "ge"
    ),
    "less_than": _bound("{given} is too large: it must be less than {bound}", "{given} 太大：必须小于 {bound}", "lt"),
    "less_than_equal": _bound(
        "{given} is too large: the largest allowed value is {bound}", "{given} 太大：最大为 {bound}", "le"
    ),
    "finite_number": _bound("{given} is no finite number", "{given} 不是有限的数字", ""),
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": _WHOLE,
    "bool_type": _bound("{given} is neither true nor false", "{given} 既不是 true 也不是 false", ""),
    "string_type": _TEXT,
    "string_unicode": _bound(
        "{given} holds a broken character: type it again", "{given} 含有损坏的字符，请重新输入", ""
    ),
    "invalid_key": _bound("{given} is no name of a setting", "{given} 不是设置项的名称", ""),
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _SECTION,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "missing": _bound("it is missing", "缺少这一项", ""),
    "dataclass_type": _bound("it holds no JSON object", "内容不是 JSON 对象", ""),
    "value_error": _bound("{given} cannot be used here", "这里不能用 {given}", ""),
    "literal_error": _bound("{given} is not one of {bound}", "{given} 不在可选值之中：{bound}", "expected"),
    "string_too_short": _bound("this must not be empty", "不能为空", ""),
    "string_too_long": _bound(
        "this is too long: at most {bound} characters", "太长：最多 {bound} 个字符", "max_length"
    ),
    "too_short": _bound("this list must not be empty", "列表不能为空", ""),
    "too_long": _bound("this list is too long: at most {bound} entries", "列表太长：最多 {bound} 项", "max_length"),
    "string_pattern_mismatch": _bound(
        "{given} holds a character that is not allowed in a name", "{given} 含有名称中不允许的字符", ""
    ),
}
