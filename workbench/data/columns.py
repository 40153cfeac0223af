"""Which column of a data set plays which role. The names that are known, and nothing else, stand here.

`assign` gives every column its role, or none; converters read roles and never names. So what was detected is one small
dictionary, which can be shown, stored and corrected. Names are compared without case, and Chinese headings stand beside
their English twins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workbench.config.text import Text, same, writable
from workbench.data.limits import holds_anything

Row = dict[str, Any]
Roles = dict[str, str]  # column -> role; among columns of one role, the first that a row has counts

MAX_SHOWN = 60  # characters of a value that are shown as an example
MAX_COLUMNS = 100  # columns that are told of; a file can have one more in every row

# The names of each role, the preferred first. A name may stand with several roles: the format decides.
NAMES: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations", "conversation", "消息", "对话", "会话"),
    "instruction": ("instruction", "指令"),
    "question": ("prompt", "question", "query", "问题", "提示", "提问", "问"),
    "input": ("input", "输入"),
    "context": (
        *("context", "contexts", "passage", "passages", "background", "document", "documents", "article", "paragraph"),
        *("schema", "table_schema", "db_schema", "sql_context", "retrieved_context", "input_context", "reference_text"),
        *("knowledge", "evidence", "material", "materials", "story", "上下文", "语境", "背景", "背景信息", "背景知识"),
        *("材料", "阅读材料", "参考资料", "资料", "段落", "文章", "原文", "文档", "已知信息", "知识", "表结构"),
    ),
    "answer": ("completion", "response", "answer", "output", "target", "回答", "答案", "输出", "回复", "答复", "答"),
    "chosen": ("chosen", "chosen_response", "chosen_answer", "优选", "优选回答", "较好的回答", "更好的回答"),
    "rejected": (
        *("rejected", "rejected_response", "rejected_answer", "rejected_output", "rejected_messages", "reject"),
        *("拒绝", "拒绝回答", "较差的回答", "更差的回答"),
    ),
    "verdict": ("kto_tag", "label", "评价", "标签"),
    "system": ("system", "system_prompt", "系统", "系统提示", "系统提示词"),
    "history": ("history", "历史", "历史对话"),
    "text": ("text", "content", "raw_content", "document", "sentence", "review", "文本", "内容"),
    "label": ("label", "labels", "kto_tag", "sentiment", "category", "class", "标签", "类别", "分类"),
    "tools": ("tools", "工具"),
    "media": ("images", "image", "audios", "audio", "videos", "video", "图片"),
}
# A Chinese column is often called by what it is: the names here say what it serves as, not the same word again.
ROLE_NAMES = {
    "messages": Text("the conversation", "作为对话"),
    "answered": Text("the conversation, whose last answer is the better one", "对话，其最后一个回答是较好的回答"),
    "instruction": Text("is put before the question", "放在问题之前"),
    "question": Text("the question", "作为问题"),
    "input": Text("is put after the question", "放在问题之后"),
    "context": Text("is put before the question", "放在问题之前"),
    "answer": Text("the answer", "作为回答"),
    "chosen": Text("the better answer", "作为较好的回答"),
    "rejected": Text("the worse answer", "作为较差的回答"),
    "verdict": Text(
        "says whether the answer is good (rename the column if it doesn't: the rows are then plain conversations)",
        "表示回答是好还是差（如果不是，请给这一列改名，数据就会按普通对话读取）",
    ),
    "system": Text("the system prompt", "作为系统提示"),
    "history": Text("the earlier turns", "之前的对话"),
    "text": Text("the text", "作为文本"),
    "label": Text("the label", "作为标签"),
    "tools": Text("the tools that may be called", "可以调用的工具"),
    "media": Text("images, sound or video, which are not read", "图片、音频或视频，不会读取"),
}
# Roles that several columns of one row may have together: all of them are used.
JOINED = ("question", "context", "media")

_ASKED = ("instruction", "question", "input", "context", "system", "history")
_AROUND = ("tools", "media")
_ROLES_OF: dict[str, tuple[str, ...]] = {
    "text": ("text", *_AROUND),
    "labelled": ("text", "label", *_AROUND),
    "messages": ("messages", "context", "system", *_AROUND),
    "sharegpt": ("messages", "context", "system", *_AROUND),
    "prompt_completion": (*_ASKED, "answer", *_AROUND),
    "alpaca": (*_ASKED, "answer", *_AROUND),
    "preference": (*_ASKED, "messages", "chosen", "rejected", "answer", *_AROUND),
    "kto": (*_ASKED, "messages", "answer", "verdict", *_AROUND),
    "prompts": (*_ASKED, *_AROUND),
}
_MAYBE_RATED = Text(
    "not used; if it says which answers are good, name it kto_tag, with true or false in every row",
    "未使用；如果它表示回答的好坏，请把列名改为 kto_tag，每条写 true 或 false",
)
_NOT_USED = Text("not used", "未使用")


@dataclass(frozen=True)
class Column:
    """A column of a data set: its name in the file, its role (None: it is not used), and the first value that it has."""

    name: str
    role: str | None
    example: str

    @property
    def use(self) -> Text:
        """What the column is used for."""
        if self.role is not None:
            return ROLE_NAMES[self.role]
        return _MAYBE_RATED if plain_name(self.name) in NAMES["verdict"] else _NOT_USED


class ColumnSurvey:
    """The columns of a set's rows, which of them stand together in a row, and an example of each."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.shapes: dict[tuple[str, ...], None] = {}
        self.examples: dict[str, str] = {}
        unfilled: set[str] = set()
        for row in rows:
            filled = tuple(row) if None not in row.values() else tuple(k for k, v in row.items() if v is not None)
            if filled not in self.shapes:
                self.shapes[filled] = None
                for name in filled:
                    if name not in self.examples:
                        self.examples[name] = ""
                        unfilled.add(name)
            if unfilled:  # looked at by the row's own columns: every row may bring another one that stays empty
                for name in [name for name in filled if name in unfilled and holds_anything(row[name])]:
                    self.examples[name] = _shown(row[name])
                    unfilled.discard(name)

    def columns(self, roles: Roles) -> list[Column]:
        """Every column that holds anything, those that are not used last."""
        columns = [
            Column(writable(name), roles.get(name), example) for name, example in self.examples.items() if example
        ]
        return sorted(columns, key=lambda column: column.role is None)[:MAX_COLUMNS]


def assign(format: str, survey: ColumnSurvey) -> Roles:  # noqa: A002 - a set's format is called so everywhere
    """The role of each column that a set of this format uses, in the order in which its values are read."""
    by_name: dict[str, list[str]] = {}
    for column in survey.examples:
        by_name.setdefault(plain_name(column), []).append(column)
    roles: Roles = {}
    for role in _ROLES_OF[format]:
        taken: list[str] = []
        for name in NAMES[role]:
            for column in by_name.get(name, ()):
                # Two names for the same thing in different rows both count; in the same row only the preferred one.
                if column not in roles and (role in JOINED or not _together(column, taken, survey)):
                    roles[column] = role
                    taken.append(column)
    return _settled(format, roles)


def first_of(row: Row, role: str) -> str | None:
    """The first of a role's names that the row (with plain names) has."""
    return next((name for name in NAMES[role] if name in row), None)


def plain_name(column: str) -> str:
    """A column's name as it is compared."""
    return column.strip().lower().replace(" ", "_")


def plain_names(row: Row) -> Row:
    """The row with its columns' names as they are compared; null counts as not there."""
    result: Row = {}
    for column, value in row.items():
        if value is not None:
            result.setdefault(plain_name(column), value)
    return result


def fields_of(row: Row, roles: Roles) -> Row:
    """The row's values by their roles; of a role in `JOINED` the list of them."""
    fields: Row = {}
    for column, role in roles.items():
        value = row.get(column)
        if value is not None:
            if role in JOINED:
                fields.setdefault(role, []).append(value)
            else:
                fields.setdefault(role, value)
    return fields


def column_of(role: str, roles: Roles) -> str:
    """The name of the column with this role, or else the name that it would usually have."""
    return next((column for column, other in roles.items() if other == role), NAMES.get(role, (role,))[0])


def use_sentences(columns: Iterable[Column]) -> list[Text]:
    """What each column is used for, one sentence a column, with an example of those that are not used."""
    used = Text("{name}: {use}", "{name}：{use}")
    unused = Text('{name}: {use} (for example "{example}")', "{name}：{use}（例如“{example}”）")
    return [
        (used if column.role else unused).with_(name=same(column.name), use=column.use, example=same(column.example))
        for column in columns
    ]


def _together(column: str, others: list[str], survey: ColumnSurvey) -> bool:
    return any(column in shape and any(other in shape for other in others) for shape in survey.shapes)


def _settled(format: str, roles: Roles) -> Roles:  # noqa: A002
    """What the presence of one role says of another."""
    there = set(roles.values())
    without: set[str] = set()
    rename: dict[str, str] = {}
    if "question" not in there:
        alone = "instruction" if "instruction" in there else "input"
        rename[alone] = "question"
        there = there - {alone} | ({"question"} if alone in there else set())
    if format == "preference":
        if "chosen" in there:
            without.add("answer")
        elif "answer" not in there:
            rename["messages"] = "answered"
        if "question" in there and rename.get("messages") is None:
            without.add("messages")
        elif "question" in there:
            without |= {"question", "instruction", "input"}
    if format == "kto":
        without |= {"messages"} if "answer" in there else {"instruction", "question", "input", "history"}
    settled = {column: rename.get(role, role) for column, role in roles.items()}
    return {column: role for column, role in settled.items() if role not in without}


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = writable(" ".join(text[: 4 * MAX_SHOWN].split()))
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
