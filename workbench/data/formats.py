"""What kind of data set is this, which rows are wrong, and what do the others say?

`inspect_rows` does it in one pass; `recognise` and `normalise` are its two halves for callers that want only one.
An `Example` is a plain dict whose keys depend on the kind:

    text        {"text": str}
    chat        {"messages": [{"role", "content", ...}, ...]}, see `turns.Message`
    preference  {"prompt": [messages], "chosen": [messages], "rejected": [messages]}
    feedback    {"prompt": [messages], "completion": [messages], "label": bool}
    labels      {"text": str, "label": str}
    prompts     {"prompt": [messages]}

A row that cannot be used is left out and listed among the problems by its number (the first row is 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypedDict

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.text import Text, listed
from workbench.data.columns import Column, ColumnSurvey, Roles, Row, assign, column_of, fields_of, plain_names
from workbench.data.conversations import BadRow
from workbench.data.converters import CONVERTERS, Example, detect
from workbench.data.limits import FileNote
from workbench.data.turns import add_tools

__all__ = [
    "FORMATS",
    "FORMAT_NAMES",
    "KIND_NAMES",
    "DataProblem",
    "Example",
    "Inspection",
    "Recognised",
    "Row",
    "inspect_rows",
    "normalise",
    "recognise",
    "require_kind",
]

FORMATS = {
    "text": "text",
    "prompt_completion": "chat",
    "alpaca": "chat",
    "messages": "chat",
    "sharegpt": "chat",
    "preference": "preference",
    "kto": "feedback",
    "labelled": "labels",
    "prompts": "prompts",
}
FORMAT_NAMES = {
    "text": Text("plain text", "纯文本"),
    "prompt_completion": Text("question and answer", "问题与回答"),
    "alpaca": Text("Alpaca", "Alpaca 格式"),
    "messages": Text("messages", "消息列表"),
    "sharegpt": Text("ShareGPT", "ShareGPT 格式"),
    "preference": Text("preference pairs", "偏好对"),
    "kto": Text("good or bad answers (KTO)", "好坏评价（KTO）"),
    "labelled": Text("labelled text", "带标签文本"),
    "prompts": Text("questions only", "仅问题"),
}
KIND_NAMES = {
    "text": Text("plain text", "纯文本"),
    "chat": Text("conversations", "对话"),
    "preference": Text("preference pairs", "偏好对"),
    "feedback": Text("rated answers", "已评价的回答"),
    "labels": Text("labelled text", "带标签文本"),
    "prompts": Text("questions without answers", "没有回答的问题"),
}

# Rows looked at to tell the format; every row is converted and checked afterwards.
_SAMPLE = 2_000
# Rows that are tried in each of the formats that a set could be read in, too.
_TRIED = 20
# Reasons that are told one by one when no row can be used; each unknown role is one of its own.
_REASONS = 20

_OTHER_SET = Text("Choose another data set or another method.", "请选择其他数据集或其他方法。")
# A hint that leaves another way open, which a door that knows more can put in place of `otherwise`.
READ_OTHERWISE = Text("{reading} {otherwise}", "{reading}{otherwise}")
_READ_AS = Text(
    "It can also be read as “{name}”: choose that on the Data tab, at “Read as”.",
    "它也可以读作“{name}”：请在“数据”页的“读取方式”中选择。",
)
_READ_AS_UNRATED = Text(
    "It is read so because of its column “{column}”. Where that does not say which answers are good, choose “{name}” on the "
    "Data tab, at “Read as”, or give the column another name in the file.",
    "这样读取是因为有“{column}”这一列。如果它并不表示回答的好坏，请在“数据”页的“读取方式”中选择“{name}”，或在文件中给这一列改名。",
)

_MESSAGES = {
    "missing_field": Text("Rows without {detail}: {count}", "{count} 条样本缺少 {detail}"),
    "not_text": Text("Rows whose {detail} is not text: {count}", "{count} 条样本的 {detail} 不是文本"),
    "broken_text": Text("Rows with broken characters in {detail}: {count}", "{count} 条样本的 {detail} 含有损坏的字符"),
    "not_messages": Text("Rows without a proper list of messages: {count}", "{count} 条样本的消息列表不正确"),
    "unknown_role": Text(
        'Rows with the unknown role "{detail}": {count}', "{count} 条样本中有消息使用了未知角色“{detail}”"
    ),
    "wrong_order": Text(
        "Rows whose roles do not take turns (at {detail}): {count}",
        "{count} 条样本中的角色没有交替出现（在 {detail} 处）",
    ),
    "empty_answer": Text("Rows with an empty answer: {count}", "{count} 条样本的回答为空"),
    "empty_question": Text("Rows with an empty question: {count}", "{count} 条样本的问题为空"),
    "empty_text": Text("Rows with an empty text: {count}", "{count} 条样本的文本为空"),
    "no_answer": Text("Rows without an answer: {count}", "{count} 条样本没有回答"),
    "same_answers": Text("Rows with twice the same answer: {count}", "{count} 条样本的优选回答与拒绝回答相同"),
    "bad_history": Text("Rows whose history is not a list of pairs: {count}", "{count} 条样本的历史记录不是问答对列表"),
    "bad_verdict": Text(
        "Rows whose verdict is neither true nor false: {count}", "{count} 条样本的评价既不是 true 也不是 false"
    ),
    "tool_calls": Text("Rows with tool calls that cannot be read: {count}", "{count} 条样本含有无法读取的工具调用"),
    "media": Text("Rows with images, sound or video: {count}", "{count} 条样本含有图片、音频或视频"),
}
_NOTES = {
    "unanswered_end": Text(
        "Rows whose last question has no answer, which is left away: {count}",
        "{count} 条样本的最后一个问题没有回答，已略去该问题",
    ),
    "tools_ignored": Text(
        "Rows whose descriptions of tools are left away: {count}", "{count} 条样本中的工具说明已略去"
    ),
    "field_not_used": Text(
        "Rows with the field {detail} in a message, which is not used: {count}",
        "{count} 条样本的消息中有字段 {detail}，未使用",
    ),
    "thought_not_used": Text(
        "Rows with a thought that is not an answer's, not text, or a second one, and is left away: {count}",
        "{count} 条样本中的思考内容不属于回答、不是文本或有重复，已略去",
    ),
    "weight_counts_as_1": Text(
        "Rows with an answer whose weight is neither 0 nor 1, which counts as 1: {count}",
        "{count} 条样本中有回答的权重既不是 0 也不是 1，按 1 处理",
    ),
    "mark_of_others": Text(
        "Rows that ask to learn a message that is not the model's, which is not done: {count}",
        "{count} 条样本要求学习不属于模型的消息，未照做",
    ),
    "mark_of_pairs": Text(
        "Pairs with an answer that is marked as not to be learned; of pairs both answers are used whole: {count}",
        "{count} 个偏好对中有标记为不学习的回答；偏好对的两个回答都会完整使用",
    ),
    "read_from_text": Text(
        "Rows whose messages are written as one text, which was read as messages: {count}",
        "{count} 条样本的消息写成了一段文本，已按消息读取",
    ),
    "written_as_text": Text(
        "Rows whose {detail} is a number, a truth value or JSON, which was written as text: {count}",
        "{count} 条样本的 {detail} 是数字、真假值或 JSON，已原样写成文本",
    ),
    "empty_question_added": Text(
        "Rows that begin with an answer, which now follows an empty question: {count}",
        "{count} 条样本以回答开头，已在它前面加上一个空的问题",
    ),
}
# Problems whose detail is the role of a column, for which people read the column's name.
_OF_COLUMNS = ("missing_field", "not_text", "broken_text", "written_as_text")


class DataProblem(TypedDict):
    """One thing that is wrong with some rows; `left_out` tells whether these rows are not used at all."""

    code: str
    rows: list[int]
    message: Text
    left_out: bool


@dataclass(frozen=True)
class Recognised:
    """The format of a set (see `FORMATS`), its kind, and all that is wrong with its rows."""

    format: str
    kind: str
    problems: list[DataProblem] = field(default_factory=list)


@dataclass(frozen=True)
class Inspection:
    """A set that has been read: what it is, what is wrong, what its columns are used for, its examples and their row numbers.

    `readings` are all formats that its rows fit, one for each kind, the one that was taken first; `usual` is the format
    that is told from the rows, where nobody chooses another.
    """

    format: str
    kind: str
    rows: int
    problems: list[DataProblem]
    examples: list[Example]
    numbers: list[int]
    columns: list[Column]
    readings: tuple[str, ...] = ()
    usual: str = ""


def recognise(rows: list[Row]) -> Recognised:
    """Tell the format of the rows and check every one of them.

    Raises:
        WorkbenchError: when no known format fits, or when not a single row can be used.
    """
    inspection = inspect_rows(rows)
    return Recognised(inspection.format, inspection.kind, inspection.problems)


def normalise(rows: list[Row], recognised: Recognised) -> list[Example]:
    """The usable rows as examples; the others are those that `recognised.problems` names as left out."""
    return _convert_all(rows, recognised.format, assign(recognised.format, ColumnSurvey(rows)))[0]


def inspect_rows(rows: list[Row], notes: Sequence[FileNote] = (), read_as: str | None = None) -> Inspection:
    """Recognise, check and convert in one pass. Raises as `recognise` does.

    Args:
        rows: as `files.parse_rows` gives them.
        notes: what it tells of the whole file; they stand first among the problems, and name no rows.
        read_as: the format (see `FORMATS`), where a person chose it; None: it is told from the rows.
    """
    survey = ColumnSurvey(rows)
    if not any(survey.examples.values()):
        raise WorkbenchError(
            Text("all rows of this data set are empty: {count}", "此数据集的样本全部为空：{count} 条").with_(
                count=len(rows)
            ),
            code="empty_rows",
        )
    usual = _usual(rows)
    name = read_as or usual or _unknown(rows)
    roles = assign(name, survey)
    examples, numbers, problems = _convert_all(rows, name, roles)
    about_file: list[DataProblem] = [
        {"code": note.code, "rows": [], "message": note.message, "left_out": False} for note in notes
    ]
    if not examples:
        _nothing_usable(name, problems)
    columns, others = survey.columns(roles), _readings(name, rows, survey)
    return Inspection(
        name, FORMATS[name], len(rows), about_file + problems, examples, numbers, columns, others, usual or name
    )


def require_kind(
    kind: str,
    wanted: tuple[str, ...],
    name: str | Text,
    field: str = "data.train",
    *,
    readings: Sequence[str] = (),
    columns: Sequence[Column] = (),
) -> None:
    """Refuse a set that a method cannot use, saying what it is, what is needed, and how it can be read so.

    Args:
        kind: the set's.
        wanted: the kinds that the method learns from.
        name: what people call the set.
        field: the setting that names it.
        readings: the formats that its rows fit.
        columns: its columns.
    """
    if kind in wanted:
        return
    needed = [KIND_NAMES.get(other, Text(other, other)) for other in wanted]
    other = next((reading for reading in readings if FORMATS[reading] in wanted), None)
    raise WorkbenchError(
        Text(
            "{name} holds {found}, but this method learns from {needed}",
            "{name} 的内容是{found}，而此方法需要{needed}",
        ).with_(
            name=name,
            found=KIND_NAMES.get(kind, Text(kind, kind)),
            needed=Text(" or ".join(t.en for t in needed), "或".join(t.zh for t in needed)),
        ),
        _OTHER_SET if other is None else _other_reading(other, columns),
        field,
        code="wrong_kind",
    )


def _other_reading(name: str, columns: Sequence[Column]) -> Text:
    """How a set is read in another format: on the Data tab, or from a file by the names of its columns."""
    rated = next((column.name for column in columns if column.role == "verdict"), None)
    reading = (_READ_AS if rated is None else _READ_AS_UNRATED).with_(name=FORMAT_NAMES[name], column=rated)
    return READ_OTHERWISE.with_(reading=reading, otherwise=_OTHER_SET)


def _usual(rows: list[Row]) -> str | None:
    """The format that most of the rows have; None where no known one fits."""
    step = max(1, len(rows) // _SAMPLE)
    found = Counter(name for row in rows[::step] if (name := detect(plain_names(row))))
    return found.most_common(1)[0][0] if found else None


def _unknown(rows: list[Row]) -> NoReturn:
    """Refuse a set of no known format."""
    columns = sorted({key for row in rows[:20] for key in row})[:12]
    raise WorkbenchError(
        Text("the columns of this data set are not known: {columns}", "无法识别此数据集的列：{columns}").with_(
            columns=listed(key[:40] for key in columns)
        ),
        Text(
            "Name them text; or prompt and completion; or instruction, input and output; or messages; "
            "or prompt, chosen and rejected; or text and label.",
            "请把列命名为 text；或 prompt 和 completion；或 instruction、input 和 output；或 messages；"
            "或 prompt、chosen 和 rejected；或 text 和 label。",
        ),
        code="unknown_format",
    )


def _readings(name: str, rows: list[Row], survey: ColumnSurvey) -> tuple[str, ...]:
    """The formats that the first rows fit, the set's own first; of the others one for each kind."""
    found = {FORMATS[name]: name}
    for other, kind in FORMATS.items():
        if kind not in found and _convert_all(rows[:_TRIED], other, assign(other, survey))[0]:
            found[kind] = other
    return tuple(found.values())


def _convert_all(rows: list[Row], name: str, roles: Roles) -> tuple[list[Example], list[int], list[DataProblem]]:
    convert = CONVERTERS[name]
    examples: list[Example] = []
    numbers: list[int] = []
    left_out: dict[tuple[str, str], list[int]] = {}
    noted: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows, start=1):
        fields, notes = fields_of(row, roles), []
        try:
            if "media" in fields and _has_media(fields["media"]):
                raise BadRow("media")  # the text speaks of something that the model does not get to see
            example = convert(fields, notes)
            add_tools(example.get("prompt") or example.get("messages") or [], fields.get("tools"), notes)
        except BadRow as bad:
            left_out.setdefault((bad.code, bad.detail), []).append(number)
            continue
        examples.append(example)
        numbers.append(number)
        for note in dict.fromkeys(notes):
            code, _, detail = note.partition(":")
            noted.setdefault((code, detail), []).append(number)
    problems = [_problem(code, detail, found, roles) for (code, detail), found in left_out.items()]
    problems += [_problem(code, detail, found, roles) for (code, detail), found in noted.items()]
    return examples, numbers, problems


def _has_media(values: list[Any]) -> bool:
    return any(any(item is not None for item in value) if isinstance(value, list) else value for value in values)


def _problem(code: str, detail: str, rows: list[int], roles: Roles) -> DataProblem:
    if code in _OF_COLUMNS:
        detail = column_of(detail, roles)
    left_out = code in _MESSAGES
    message = (_MESSAGES[code] if left_out else _NOTES[code]).with_(count=len(rows), detail=detail)
    return {"code": code, "rows": rows, "message": message, "left_out": left_out}


def _nothing_usable(name: str, problems: list[DataProblem]) -> NoReturn:
    """Refuse a set with every reason and how many rows it concerns, the most frequent first."""
    worst = sorted((problem for problem in problems if problem["left_out"]), key=lambda problem: -len(problem["rows"]))
    message = Text(
        "not one row of this data set can be used (format: {format})", "此数据集没有一条可用的样本（格式：{format}）"
    ).with_(format=FORMAT_NAMES[name])
    reasons = [Problem(problem["message"]) for problem in worst[:_REASONS]]
    if len(worst) > _REASONS:
        rest = sum(len(problem["rows"]) for problem in worst[_REASONS:])
        reasons.append(Problem(Text("Rows for other reasons: {count}", "其他原因的样本：{count} 条").with_(count=rest)))
    raise WorkbenchError(message, problems=(Problem(message), *reasons), code="no_usable_rows")
