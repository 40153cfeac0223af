"""What the Data tab shows of a data set, as escaped HTML in the reader's language. Knows no gradio and asks no engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, listed
from workbench.data.columns import Column
from workbench.data.formats import FORMAT_NAMES, KIND_NAMES
from workbench.data.turns import call_name
from workbench.ui import html

FEW_ROWS = 20  # fewer than these hardly change a model
MAX_TEXT = 4_000  # characters of one message that are shown
MAX_PIECES = 3_000  # tokens of one row that are shown
LISTED_COLUMNS = 8  # columns that are not used and are seen at once; the others unfold
LISTED_ROWS = 12  # row numbers that are named with a problem

ROLES = {
    "user": Text("user", "用户"),
    "assistant": Text("assistant", "助手"),
    "system": Text("system", "系统提示"),
    "tool": Text("tool", "工具结果"),
}
_THOUGHT = Text("thought", "思考")
_CALL = Text("tool call", "工具调用")
_NOT_LEARNED = Text("{role} (not learned)", "{role}（不学习）")
_TILES = (
    (Text("rows", "样本数"), "rows"),
    (Text("learned tokens", "参与训练的词元"), "learned_tokens"),
    (Text("longest (tokens)", "最长（词元）"), "longest"),
    (Text("rows cut off", "被截断的样本"), "cut"),
    (Text("rows left out", "未采用的样本"), "left_out"),
)
_SHIPPED = Text("ships with the workbench", "自带")
_OWN = Text("yours", "我的")
_FORMAT = Text("format: {name}", "格式：{name}")
_LEFT_OUT = Text("left out", "未采用")
# Not "row": rows that are left out are not counted here, and problems name rows by their place in the file.
_EXAMPLE = Text("Example {n}", "样本 {n}")
_ONE_ROW = Text("row {rows}", "第 {rows} 条")
_ROWS = Text("rows {rows}", "第 {rows} 条")
_AND_MORE = Text("rows {rows} and {n} more", "第 {rows} 条，以及另外 {n} 条")
_MORE_TEXT = Text(" … ({n} more characters)", " ……（还有 {n} 个字）")
_CHOSEN = Text("chosen (better)", "较好")
_REJECTED = Text("rejected (worse)", "较差")
_GOOD = Text("rated good", "评为好")
_BAD = Text("rated bad", "评为差")
_LABEL = Text("label: {name}", "标签：{name}")
_TOO_LONG = Text(
    "{n} rows are longer than {limit} tokens and are cut at the end.",
    "有 {n} 个样本超过 {limit} 个词元，末尾会被截断。",
)
_DROPPED = Text("{n} rows have nothing left to learn and are dropped.", "有 {n} 个样本没有可学的内容，不会使用。")
_FEW = Text(
    "There are only {n} rows to learn from. Twenty or more are needed for a change that can be heard.",
    "可学习的样本只有 {n} 个，至少二十个才能看出变化。",
)
_ALL_WELL = Text("No problems were found.", "没有发现问题。")
_FOUND = Text("Problems", "发现的问题")
_KNOWN = Text("Good to know", "需要了解")
_COLUMNS = Text("Columns of the file", "文件中的列")
_EACH = Text("{name} ({use})", "{name}（{use}）")
_SIMPLE = Text("Columns: {uses}.", "列：{uses}。")
_COLUMN_EXAMPLE = Text("for example “{example}”", "例如“{example}”")
_MORE_COLUMNS = Text("and {n} more", "另有 {n} 列")
_BY_NAME = Text(
    "Columns are known by their names. To have another one read, call it context in your file: it is then put before "
    "the question.",
    "各列的用途由列名决定。若想让模型也读到其他列，请在文件中把列名改为“上下文”，内容会放在问题之前。",
)
_TOGETHER = Text("Put together, a question looks like this:", "合在一起后，一个问题是这样的：")


def about(info: Any, lang: str) -> html.Markup:
    """What a set is: its sentence, and kind and format as badges."""
    kind, form = KIND_NAMES.get(info.kind), FORMAT_NAMES.get(info.format)
    badges = [html.badge(kind.to(lang))] if kind else []
    if form:
        badges.append(html.badge(_FORMAT.with_(name=form).to(lang), "plain"))
    badges.append(html.badge((_SHIPPED if info.shipped else _OWN).to(lang), "plain"))
    sentence = html.Markup(f'<p class="note">{html.esc(info.about.to(lang))}</p>') if info.about else ""
    return html.join([sentence, html.Markup(f'<div class="badges">{html.join(badges)}</div>')])


def tiles(counts: dict[str, Any], lang: str) -> html.Markup:
    """The numbers of a set; what is not counted yet is an ellipsis."""
    shown = dict(counts)
    if "problems" in counts:
        shown["left_out"] = left_out(counts)
    return html.kpis((label.to(lang), f"{shown[key]:,}" if key in shown else "…") for label, key in _TILES)


def left_out(counts: dict[str, Any]) -> int:
    """How many rows are not learned from: those that a problem leaves out, and those with nothing left to learn."""
    rows = {row for problem in counts.get("problems", ()) if problem.get("left_out", True) for row in problem["rows"]}
    return len(rows) + counts.get("dropped", 0)


def problems(counts: dict[str, Any], limit: int, unfit: Text | None, lang: str) -> html.Markup:
    """What is wrong with the set and with which rows, and what is cut; below that, what else to know of its rows.

    One sentence when there is neither.

    Args:
        unfit: why no method can learn from a set of this kind, and what to do; None when one can.
    """
    told = counts.get("problems", ())
    items = [html.esc(unfit.to(lang))] if unfit else []
    items += [_problem(problem, lang) for problem in told if problem.get("left_out", True)]
    usable = counts["rows"] - left_out(counts)
    if usable < FEW_ROWS:
        items.append(html.esc(_FEW.with_(n=usable).to(lang)))
    if counts.get("cut"):
        items.append(html.esc(_TOO_LONG.with_(n=counts["cut"], limit=limit).to(lang)))
    if counts.get("dropped"):
        items.append(html.esc(_DROPPED.with_(n=counts["dropped"]).to(lang)))
    notes = [_problem(problem, lang) for problem in told if not problem.get("left_out", True)]
    cards = [_list(title.to(lang), made) for title, made in ((_FOUND, items), (_KNOWN, notes)) if made]
    return html.join(cards) if cards else html.note(_ALL_WELL.to(lang))


def columns(found: dict[str, Any], lang: str) -> html.Markup:
    """What each column is used for, with an example of those that are not, and a question that several of them make.

    Where there is nothing to wonder about, one sentence.
    """
    told: list[Column] = found["columns"]
    if not told:
        return html.Markup("")
    if not found["question"] and all(column.role for column in told):
        uses = listed(_EACH.with_(name=column.name, use=column.use) for column in told)
        return html.note(_SIMPLE.with_(uses=uses).to(lang))
    items = [_column(column, lang) for column in told]
    seen = sum(column.role is not None for column in told) + LISTED_COLUMNS  # those that are not used come last
    rest = html.Markup("")
    if len(items) > seen:
        more = html.esc(_MORE_COLUMNS.with_(n=len(items) - seen).to(lang))
        rest = html.Markup(f"<details><summary>{more}</summary>{_items(items[seen:])}</details>")
    question = _bubble("user", "", _short(found["question"], lang)) if found["question"] else ""
    together = html.note(_TOGETHER.to(lang)) if question else ""
    asks = any(column.role in ("question", "messages") for column in told)  # texts and labels have no question
    why = html.note(_BY_NAME.to(lang)) if asks and not all(column.role for column in told) else ""
    return _list(_COLUMNS.to(lang), items[:seen], rest, why, together, question)


def error(problem: WorkbenchError, lang: str) -> html.Markup:
    """An error as sentences in place."""
    first, *others = problem.problems
    head = WorkbenchError(first.message, None, first.field).to(lang)
    rest = [first.hint.to(lang)] if first.hint else []
    rest += [WorkbenchError(other.message, other.hint, other.field).to(lang) for other in others]
    return html.verdict(head, html.join(rest, html.Markup("<br>")), "no")


def conversations(examples: Sequence[dict[str, Any]], start: int, lang: str) -> html.Markup:
    """Rows as people read them; pairs side by side. `start` is the first one's position, from 0."""
    return html.join(_row(start + i + 1, _example(example, lang), lang) for i, example in enumerate(examples))


def coloured(rows: Iterable[Iterable[Any]], start: int, lang: str) -> html.Markup:
    """Rows as the model reads them, in pieces with `text`, `learned` and `cut`."""
    made = []
    for number, pieces in enumerate(rows, start + 1):
        shown = [(piece.text, piece.learned, piece.cut) for piece in list(pieces)[: MAX_PIECES + 1]]
        if len(shown) > MAX_PIECES:
            shown[-1] = (" …", False, False)
        made.append(_row(number, html.tokens(shown), lang))
    return html.join(made)


def _row(number: int, inner: html.Markup, lang: str) -> html.Markup:
    head = html.esc(_EXAMPLE.with_(n=number).to(lang))
    return html.Markup(f'<div class="row"><small>{head}</small>{inner}</div>')


def _example(example: dict[str, Any], lang: str) -> html.Markup:
    if "chosen" in example:
        sides = (
            html.card(name.to(lang), _messages(example[key], lang, key))
            for key, name in (("chosen", _CHOSEN), ("rejected", _REJECTED))
        )
        return _card(_messages(example.get("prompt", ()), lang), html.two(*sides))
    if "completion" in example:
        rated = html.badge(_GOOD.to(lang)) if example.get("label") else html.badge(_BAD.to(lang), "no")
        return _card(_messages(example.get("prompt", ()), lang), _messages(example["completion"], lang), rated)
    if "messages" in example or "prompt" in example:
        return _card(_messages(example.get("messages") or example.get("prompt") or (), lang))
    label = html.badge(_LABEL.with_(name=example["label"]).to(lang), "plain") if "label" in example else ""
    return _card(_bubble("", "", _short(example.get("text", ""), lang)), label)


def _messages(messages: Iterable[dict[str, Any]], lang: str, side: str = "") -> html.Markup:
    made = []
    for message in messages:
        role = message["role"]
        kind = side if role == "assistant" and side else role
        name = ROLES.get(role, Text(role, role))
        if not message.get("learned", True):
            kind, name = "context", _NOT_LEARNED.with_(role=name)
        said = [(_THOUGHT, message.get("reasoning")), (name, message["content"])]
        said += [(_CALL, _call(call)) for call in message.get("tool_calls", ())]
        shown = [(who, text) for who, text in said if text] or [(name, "")]
        made += [_bubble(kind, who.to(lang), _short(text, lang)) for who, text in shown]
    return html.join(made)


def _call(call: dict[str, Any]) -> str:
    """A call of a tool as programs write it."""
    arguments = call.get("function", call).get("arguments", {})
    return (
        f"{call_name(call)}({arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)})"
    )


def _bubble(kind: str, name: str, text: str) -> html.Markup:
    # The answers of a pair are both from the assistant; only the rejected one looks different.
    kind = {"chosen": "assistant"}.get(kind, kind)
    head = f"<small>{html.esc(name)}</small>" if name else ""
    return html.Markup(f'<div class="said {html.esc(kind)}">{head}<div>{html.esc(text)}</div></div>')


def _card(*parts: object) -> html.Markup:
    return html.Markup(f'<div class="card">{html.join(parts)}</div>')


def _short(text: str, lang: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return text[:MAX_TEXT] + _MORE_TEXT.with_(n=f"{len(text) - MAX_TEXT:,}").to(lang)


def _list(title: str, items: Iterable[object], *below: object) -> html.Markup:
    return html.card(title, _items(items), *below)


def _items(items: Iterable[object]) -> html.Markup:
    made = html.join(html.Markup(f"<li>{html.esc(item)}</li>") for item in items)
    return html.Markup(f'<ul class="problems">{made}</ul>')


def _column(column: Column, lang: str) -> html.Markup:
    kind = "" if column.role else ' class="unused"'
    name, use = html.badge(column.name, "plain"), html.esc(column.use.to(lang))
    example = "" if column.role else html.esc(_COLUMN_EXAMPLE.with_(example=column.example).to(lang))
    return html.Markup(f"{name} <span{kind}>{use}</span>{f'<small>{example}</small>' if example else ''}")


def _problem(problem: dict[str, Any], lang: str) -> html.Markup:
    rows = list(problem["rows"])
    numbers = listed(str(row) for row in rows[:LISTED_ROWS])
    where = (_ROWS if len(rows) > 1 else _ONE_ROW).with_(rows=numbers)
    if len(rows) > LISTED_ROWS:
        where = _AND_MORE.with_(rows=numbers, n=len(rows) - LISTED_ROWS)
    badge = html.badge(_LEFT_OUT.to(lang), "tight") if problem.get("left_out", True) else ""
    message = html.esc(problem["message"].to(lang))
    if not rows:  # it is about the whole file
        return message
    return html.Markup(f"{message} {badge}<small>{html.esc(where.to(lang))}</small>")
