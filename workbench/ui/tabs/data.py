"""The Data tab: choose a data set or bring one, and see what the model will read of it.

The rows are there at once; counting tokens may have to load the tokenizer first, so the numbers follow in an event of
their own, and nobody waits for them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.data.formats import FORMAT_NAMES
from workbench.engine import suited
from workbench.ui import html, rowhtml
from workbench.ui.damaged import DamagedList, DamagedThing
from workbench.ui.drafting import row_limits
from workbench.ui.shell import QUIET, Shell, press
from workbench.ui.tabtools import TOLD, confirm, on_open, panel

ID = "data"
ORDER = 20
TITLE = Text("Data", "数据")

PAGE_ROWS = 5
CHATS, TOKENS = "chats", "tokens"
NOTHING = [gr.skip()] * 13  # one for every output of the tab

_LEAD = Text(
    "Choose what the model will learn from: a set that ships with the workbench, or a file of your own.",
    "选择模型要学习的数据：可以用自带的数据集，也可以上传自己的文件。",
)
_CHOICE = Text("Data set", "数据集")
_UPLOAD = Text("Your own file (.jsonl, .json, .csv or .txt)", "自己的文件（.jsonl、.json、.csv 或 .txt）")
_UPLOAD_HELP = Text(
    "For example a table with the columns question and answer, saved as CSV. To teach a preference: question, chosen and "
    "rejected. To sort texts: text and label.",
    "例如含“问题”“回答”两列的表格，另存为 CSV。要教它偏好，用“问题”“优选”“拒绝”三列；要做分类，用“文本”“标签”两列。",
)
_READ_AS = Text("Read as", "读取方式")
_READ_AS_HELP = Text(
    "The rows fit more than one format. Choose what they are meant to be.",
    "这些样本符合多种格式，请选择它们本来的用途。",
)
_VIEW = Text("Show the examples", "显示方式")
_AS_CHATS = Text("as people read them", "对话视图")
_AS_TOKENS = Text("as the model sees them", "模型输入")
_LEGEND = Text(
    "Green is what the model learns; grey it only reads; struck out is cut off, because a row may have {limit} tokens "
    "at most, as the Train tab says now.",
    "绿色是模型要学的；灰色只读不学；划掉的会被截断，因为每个样本最多 {limit} 个词元（可在“训练”页修改）。",
)
_COUNTING = Text("Counting tokens… The first time this takes a few seconds.", "正在统计词元……第一次需要几秒钟。")
_COLOURING = Text("Reading the rows as the model does…", "正在按模型的方式读取这些样本……")
_PREVIOUS = Text("Previous", "上一页")
_FOLLOWING = Text("Next", "下一页")
_POSITION = Text("{first}–{last} of {total} examples", "第 {first}–{last} 个，共 {total} 个样本")
_NEXT = Text("Next: training", "下一步：训练")
_DELETE = Text("Delete this data set", "删除此数据集")
_SURE = Text("Delete", "删除")
_ASK_DELETE = Text(
    "Delete your data set {name}? Runs that were trained on it stay. This cannot be undone.",
    "删除你的数据集“{name}”？用它训练过的运行会保留。此操作无法撤销。",
)
_STILL = Text("Still chosen: {name}.", "当前仍使用：{name}。")
_PAIRS = Text("Of a pair, the better answer is shown.", "成对数据只显示较好的回答。")
_NONE = Text("There is no data set yet.", "还没有数据集。")


@dataclass
class DataPage:
    """What one open page looks at. Lives in its session's memory."""

    open: bool = False
    dataset: str = ""
    model: str = ""
    start: int = 0
    view: str = CHATS
    turns: int = 0
    """How often somebody has turned to other rows or another view of them: what was read before a turn is not shown after it."""
    limits: tuple[int, str] = (0, "")
    """How long a row may be, and what is learned of it: as the Train tab says."""
    busy_with: tuple[Any, ...] | None = None
    """Data set, model and limits that are being shown and counted: a second event for the same has nothing to add."""
    uncounted: tuple[Any, ...] | None = None
    """Those of them whose rows are shown and whose numbers are still to be made."""
    colouring: tuple[Any, ...] | None = None
    """The rows that are shown as the model reads them; None in the other view."""
    uncoloured: tuple[Any, ...] | None = None
    """Those of them that are still to be made."""
    counted: list[Any] | None = None
    """The numbers that were made last, unless other rows are on their way since."""
    chosen: str = ""
    """The set that was chosen or brought last: an older one that is still being looked at is not shown any more."""

    def choose(self, dataset: str) -> str:
        """Take note of a choice before the browser tells the other tabs of it."""
        self.chosen, self.busy_with = dataset, None
        return dataset

    def done_with(self, doing: tuple[Any, ...]) -> bool:
        """Show and count these no longer; whether they are still what is wanted."""
        wanted = self.busy_with is doing
        if wanted:
            self.busy_with = None
        return wanted


def build(shell: Shell) -> None:
    """Choice and upload, numbers, problems, rows."""
    shell.lead(_LEAD)
    page = gr.State(DataPage())
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=280):
            choice = gr.Dropdown([], label=shell.text(_CHOICE), elem_id="data-choice")
            about = panel("data-about")
        with gr.Column(scale=2, min_width=260):
            # No `file_types`: Gradio refuses in English, and phones then offer no .jsonl; the library says what it takes.
            upload = gr.File(label=shell.text(_UPLOAD), height=150, elem_id="data-upload")
            gr.Markdown(shell.text(_UPLOAD_HELP), elem_classes="note")
            refused = panel("data-refused")
    damaged = DamagedList(shell, ID, lambda: _damaged(shell), shell.engine.delete_data)
    reading = gr.Dropdown(
        [], label=shell.text(_READ_AS), info=shell.text(_READ_AS_HELP), visible=False, elem_id="data-reading"
    )
    tiles, problems, columns = panel("data-tiles"), panel("data-problems"), panel("data-columns")
    views = [(shell.text(_AS_CHATS), CHATS), (shell.text(_AS_TOKENS), TOKENS)]
    view = gr.Radio(views, value=CHATS, label=shell.text(_VIEW), elem_id="data-view")
    rows = panel("data-rows")
    with gr.Row(elem_id="data-pager"):
        previous = gr.Button(shell.text(_PREVIOUS), size="sm", scale=0, min_width=110, elem_id="data-previous")
        following = gr.Button(shell.text(_FOLLOWING), size="sm", scale=0, min_width=110, elem_id="data-following")
        position = panel("data-position")
    with gr.Row():
        delete = gr.Button(shell.text(_DELETE), size="sm", scale=0, min_width=160, visible=False, elem_id="data-delete")
    sure = confirm(shell, delete, _SURE, "data-delete")
    shell.next_button(_NEXT, "train", "data-next")

    turned = [rows, position, previous, following]
    offer = gr.Textbox("", visible=False)  # no `gr.State`: a script reads it
    outputs = [choice, offer, about, reading, tiles, problems, columns, delete, sure.row, *turned]
    shell.shared["data.tab"] = {"page": page, "offer": offer, "outputs": outputs, "reading": reading}
    shell.shared["data.tab"] |= {"tiles": tiles, "problems": problems, "rows": rows}
    shell.shared["data.damaged"] = damaged

    choice.input(lambda page, dataset: (page.choose(dataset), ""), [page, choice], [shell.dataset, refused], **QUIET)
    upload.upload(shell.safe(_adder(shell)), [upload, page], [upload, refused, shell.dataset], show_progress="minimal")
    slow: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
    for button, by in ((previous, -PAGE_ROWS), (following, PAGE_ROWS), (view, 0)):
        event = button.input if button is view else button.click
        shown = event(shell.safe(_turner(shell, by)), [page, view], turned, **slow)
        shown.then(shell.safe(_colourer(shell)), page, rows, **slow)
    _bind_delete(shell, page, sure)


def bind(shell: Shell) -> None:
    """Show the chosen set when the tab opens, and whenever another set is chosen."""
    ours = shell.shared["data.tab"]
    show = _shower(shell)

    def opened(state: DataPage) -> None:
        state.open = True

    slow: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
    given = [ours["page"], shell.dataset, shell.model, shell.form]
    # What is counted is no output of `show`: sent once more with its numbers, the rows could come after those that somebody
    # has turned to meanwhile.
    numbers = (shell.safe(_counter(shell)), ours["page"], [ours["tiles"], ours["problems"]])
    colours = (shell.safe(_colourer(shell)), ours["page"], ours["rows"])
    shown = on_open(shell, ID, opened, ours["page"]).then(shell.safe(show), given, ours["outputs"], **slow)
    # At once, also while another set is still counted: what is counted for nobody is not shown.
    other = shell.dataset.change(shell.safe(show), given, ours["outputs"], trigger_mode="multiple", **slow)
    damaged = shell.shared["data.damaged"]
    on_open(shell, ID, damaged.show, outputs=damaged.outputs)
    look = shell.unseen("data-look")
    damaged.deleted.then(None, None, None, js=press(look))
    again = look.click(shell.safe(show), given, ours["outputs"], **slow)
    read = ours["reading"].input(shell.safe(_reader(shell)), [ours["page"], ours["reading"]], ours["reading"], **TOLD)
    read = read.then(shell.safe(show), given, ours["outputs"], **slow)
    read.then(shell.safe(damaged.show), None, damaged.outputs, **QUIET)  # a choice makes a damaged note good
    check, asked, looks = shell.shared["train.check"]  # whether a method learns from the set may be another matter now
    read.then(shell.safe(check), asked, looks, **QUIET)
    offer, choice = ours["offer"], ours["outputs"][0]
    for event in (shown, other, again):
        event.then(None, [offer, choice, shell.dataset], [offer, shell.dataset], js=_SETTLE % press(look))
    for event in (shown, other, again, read):
        event.then(*numbers, **slow)
        event.then(*colours, **slow)


# Answers can come late, and in another order than they were asked for. So what `show` offers is taken only if nobody has
# chosen something meanwhile; and where the tab then shows another set than the chosen one, it looks again.
_SETTLE = """(offer, shown, chosen) => {
  const made = offer ? JSON.parse(offer) : null;
  if (made && made.for === (chosen || '')) chosen = made.set;
  if (chosen && shown && shown !== chosen) setTimeout(%s, 400);  // it may be on its way
  return ['', chosen];
}"""


def choices(infos: Sequence[Any], lang: str) -> list[tuple[str, str]]:
    """The sets as a dropdown lists them."""
    return [(info.name.to(lang), info.id) for info in infos if getattr(info, "problem", None) is None]


def chosen_set(infos: Sequence[Any], wanted: str, lang: str) -> Any:
    """The wanted set; else the first in the reader's language; else the first; None when there is none."""
    usable = [info for info in infos if getattr(info, "problem", None) is None]
    for fits in (lambda info: info.id == wanted, lambda info: getattr(info, "lang", None) == lang, lambda info: True):
        for info in usable:
            if fits(info):
                return info
    return None


def count_of(info: Any) -> int:
    """How many rows can be looked at."""
    return getattr(info, "usable", 0) or info.rows


def _shower(shell: Shell) -> Any:
    def show(page: DataPage, wanted: str, model: str, visitor: Any, request: gr.Request) -> Any:
        if not page.open:
            return NOTHING
        lang, infos = shell.lang(request), shell.engine.data.list()
        info = chosen_set(infos, wanted or page.chosen, lang)
        if info is None:
            return [gr.Dropdown(choices=[]), "", html.note(_NONE.to(lang)), *NOTHING[3:]]
        doing = (info.id, model, row_limits(shell.engine, visitor))
        if page.busy_with == doing:
            return NOTHING
        page.busy_with, page.counted = doing, None
        # Where what the browser wants is not there, or it wants nothing yet, it is offered what is shown instead.
        offer = gr.skip() if info.id in (wanted, page.chosen) else json.dumps({"for": wanted, "set": info.id})
        head = [gr.Dropdown(choices=choices(infos, lang), value=info.id), offer, rowhtml.about(info, lang)]
        try:
            return _begun(shell, page, info, head, doing, lang)
        except BaseException:
            page.done_with(doing)
            raise

    return show


def _begun(shell: Shell, page: DataPage, info: Any, head: list[Any], doing: tuple[Any, ...], lang: str) -> list[Any]:
    """All but the numbers and the colours."""
    if doing[:2] != (page.dataset, page.model):
        page.start = 0
    page.dataset, page.model, page.limits = doing
    turns, rows, found = page.turns, _rows(shell, page, lang), shell.engine.read(page.dataset)
    if page.busy_with is not doing:  # another one was chosen while these were read
        return NOTHING
    shown = [*head, _readings(info, found, lang), rowhtml.tiles(found, lang), html.note(_COUNTING.to(lang))]
    shown += [rowhtml.columns(found, lang), gr.Button(visible=not info.shipped), gr.Column(visible=False)]
    page.uncounted = doing
    return [*shown, *(rows if page.turns == turns else NOTHING[:4])]


def _counter(shell: Shell) -> Any:
    def count(page: DataPage, request: gr.Request) -> Any:
        doing, page.uncounted = page.uncounted, None
        if doing is None:  # another event's rows are on their way and it counts them, or an older one has done it
            # Then these numbers may be on the page already, and gone again when those rows come.
            return page.counted if page.counted is not None else NOTHING[:2]
        lang, (dataset, model, limits) = shell.lang(request), doing
        try:
            counts = shell.engine.inspect(dataset, model, *limits)
            problems = rowhtml.problems(counts, limits[0], suited.unfit(counts["kind"]), lang)
            made = [rowhtml.tiles(counts, lang), problems]
        except WorkbenchError as error:
            made = [rowhtml.tiles(shell.engine.read(dataset), lang), rowhtml.error(error, lang)]
        finally:
            wanted = page.done_with(doing)
        if not wanted:
            return NOTHING[:2]
        page.counted = made
        return made

    return count


def _readings(info: Any, found: dict[str, Any], lang: str) -> Any:
    """What an own set can be read as, where that is more than one thing; any has questions, so that these alone are none."""
    names = [name for name in found["readings"] if name == info.format or name != "prompts"]
    choices = [(FORMAT_NAMES[name].to(lang), name) for name in names]
    return gr.Dropdown(choices=choices, value=info.format, visible=len(names) > 1 and not info.shipped)


def _reader(shell: Shell) -> Any:
    def read(page: DataPage, name: str) -> Any:
        shell.engine.read_as(page.dataset, name)
        page.busy_with = None
        return gr.skip()

    return read


def _turner(shell: Shell, by: int) -> Any:
    def turn(page: DataPage, view: str, request: gr.Request) -> Any:
        page.view, page.start = view, page.start + by
        page.turns += 1
        turns = page.turns
        if not page.dataset:  # `show` will read the view that was chosen now
            return NOTHING[:4]
        rows = _rows(shell, page, shell.lang(request))
        return rows if page.turns == turns else NOTHING[:4]

    return turn


def _rows(shell: Shell, page: DataPage, lang: str) -> list[Any]:
    """The rows of one page, its position, and which of its buttons lead further; `_colourer` makes those of the model."""
    info = next(info for info in shell.engine.data.list() if info.id == page.dataset)
    total = count_of(info)
    page.start = start = max(0, min(page.start, (total - 1) // PAGE_ROWS * PAGE_ROWS))
    last = min(start + PAGE_ROWS, total)
    place = html.note(_POSITION.with_(first=start + 1, last=last, total=f"{total:,}").to(lang))
    rest = [place, gr.Button(interactive=start > 0), gr.Button(interactive=last < total)]
    if page.view != TOKENS:
        page.colouring = page.uncoloured = None
        return [rowhtml.conversations(shell.engine.sample(info.id, start, last - start), start, lang), *rest]
    page.colouring = page.uncoloured = (info, start, last)
    return [html.note(_COLOURING.to(lang)), *rest]


def _colourer(shell: Shell) -> Any:
    """Rows as the model reads them. An event of its own, no second value of the one before: Gradio sends the last value of a
    generator once more, maybe after the answer to a later click."""

    def colour(page: DataPage, request: gr.Request) -> Any:
        wanted, page.uncoloured = page.uncoloured, None
        if wanted is None:
            return gr.skip()
        lang, (info, start, last), (limit, learn) = shell.lang(request), wanted, page.limits
        try:
            pieces = [shell.engine.coloured(info.id, row, page.model, limit, learn) for row in range(start, last)]
            legends = [_LEGEND, *[_PAIRS] * (info.kind == "preference")]
            legend = [html.note(text.with_(limit=limit).to(lang)) for text in legends]
            made = html.join([*legend, rowhtml.coloured(pieces, start, lang)])
        except WorkbenchError as error:
            made = rowhtml.error(error, lang)
        return made if page.colouring is wanted else gr.skip()

    return colour


def _damaged(shell: Shell) -> list[DamagedThing]:
    found = [(info, info.problem or info.lost) for info in shell.engine.data.list()]
    return [
        DamagedThing(info.id, info.name, why, usable=info.problem is None) for info, why in found if why is not None
    ]


def _adder(shell: Shell) -> Any:
    def add(path: str, page: DataPage, request: gr.Request) -> Any:
        lang = shell.lang(request)
        try:
            info = shell.engine.data.add(Path(path), name=Path(path).stem)
        except WorkbenchError as error:
            names = (info.name for info in shell.engine.data.list() if info.id == page.dataset)
            still = [html.note(_STILL.with_(name=name).to(lang)) for name in names]
            return None, html.join([rowhtml.error(error, lang), *still]), gr.skip()
        return None, "", page.choose(info.id)

    return add


def _bind_delete(shell: Shell, page: gr.State, sure: Any) -> None:
    def ask(state: DataPage, request: gr.Request) -> Any:
        info = next((info for info in shell.engine.data.list() if info.id == state.dataset), None)
        if info is None:
            return gr.skip(), gr.skip(), ""
        lang = shell.lang(request)
        return gr.Column(visible=True), html.esc(_ASK_DELETE.with_(name=info.name).to(lang)), info.id

    def delete(state: DataPage, asked: str) -> Any:
        if asked and asked == state.dataset:
            shell.engine.delete_data(asked)
            return gr.Column(visible=False), state.choose("")
        return gr.Column(visible=False), gr.skip()

    pending = gr.State("")
    sure.ask.click(shell.safe(ask), page, [sure.row, sure.question, pending], **TOLD)
    sure.yes.click(shell.safe(delete), [page, pending], [sure.row, shell.dataset], **TOLD)
