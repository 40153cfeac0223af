"""The first-run guide: five clicks from an empty page to a talk with a tuned model.

A slim card under the header with one sentence and one button, which does the step and opens the right tab. The step is
derived from what is true (is there a run, is it finished) and only before the first run from what was clicked, so that
the guide also follows people who do a step by themselves, survives a reload, and never gets stuck.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine.session import Session
from workbench.ui import html
from workbench.ui.shell import QUIET, Shell, made_html
from workbench.ui.summary import FIND_PROBLEM

STEPS = 5
EXAMPLES = {"en": "What colour is the sky?", "zh": "天空是什么颜色？"}

_TITLE = Text("Step {n} of {all}", "第 {n} 步，共 {all} 步")
_GUIDE = Text("Guide", "引导")
_CLOSE = Text("Close the guide", "关闭引导")


@dataclass(frozen=True)
class Step:
    """One state of the guide: its number, sentence and button, and what the button does (a name of `_ACTIONS`)."""

    number: int
    sentence: Text
    button: Text
    action: str


_START = Step(
    1,
    Text(
        "Teach a small model to talk like a pirate: five clicks, about two minutes. It begins with the starter model.",
        "教一个小模型像店小二那样说话：点五次，大约两分钟。先从自带的入门模型开始。",
    ),
    Text("Start here", "从这里开始"),
    "model",
)
_DATA = Step(
    2,
    Text(
        "These are the questions and answers that it will learn. Read a few, then go on.",
        "这些就是它要学的问题和回答。看几条，然后继续。",
    ),
    Text("Use this data", "使用这些数据"),
    "data",
)
_TRAIN = Step(
    3,
    Text("These settings suit this data. You need not change anything.", "这些设置适合这份数据，不用改任何东西。"),
    Text("Start training", "开始训练"),
    "train",
)
_LEARNS = Step(
    4,
    Text("It is learning. The answers below change while you watch.", "正在学习。看着下面的回答一点点变化。"),
    Text("See the answers", "看看回答"),
    "watch",
)
_LATER = Step(
    4,
    Text("The run is waiting for its turn, then it starts by itself.", "运行正在排队，轮到后会自动开始。"),
    Text("Open the run", "查看运行"),
    "watch",
)
_DONE = Step(
    4,
    Text("It has learned. Now hear the difference.", "学完了。现在听听有什么不同。"),
    Text("Talk to it", "和它聊聊"),
    "talk",
)
_STOPPED = Step(
    4,
    Text("It was stopped and saved. Hear what it has learned so far.", "已停止并保存。听听它到现在学会了什么。"),
    Text("Talk to it", "和它聊聊"),
    "talk",
)
_FAILED = Step(
    4,
    Text(
        "The run ended before it was done. The Run tab says why; you can also start it again.",
        "运行提前结束了。“运行”页里写着原因，也可以重新开始。",
    ),
    Text("Start again", "重新开始"),
    "again",
)
_ASK = Step(
    5,
    Text(
        "Ask the base model and yours the same question, and compare the two answers.",
        "向基座模型和你的模型问同一个问题，比较两个回答。",
    ),
    Text("Ask both", "同时提问"),
    "ask",
)
_END = Step(
    5,
    Text(
        "That was it: model, data, training, talk. From here, use your own data on the Data tab.",
        "就是这样：模型、数据、训练、对话。接下来可以在“数据”页换上你自己的数据。",
    ),
    Text("Use my own data", "用我自己的数据"),
    "end",
)


def build(shell: Shell) -> None:
    """The card; hidden until the page knows whether its reader wants it."""
    kept = gr.BrowserState({}, storage_key="workbench-guide", secret="workbench-choices")
    seen = gr.State("")
    with gr.Row(visible=False, elem_id="guide") as row:
        said = made_html(elem_id="guide-text")
        button = gr.Button("", variant="primary", scale=0, min_width=150, elem_id="guide-next")
        close = gr.Button("✕", scale=0, min_width=40, elem_id="guide-close", elem_classes="ghost")
    action = gr.Textbox("", visible=False)  # no `gr.State`: the browser reads it, too
    shell.shared["guide"] = {"kept": kept, "seen": seen, "row": row, "said": said, "button": button}
    shell.shared["guide"] |= {"close": close, "action": action}


def bind(shell: Shell) -> None:
    """Button, clock and memory; the steps use what the tabs lend in `shell.shared`."""
    ours = shell.shared["guide"]
    kept, seen, button, action = ours["kept"], ours["seen"], ours["button"], ours["action"]
    shown = [ours["row"], ours["said"], button, seen]

    known = [kept, shell.run, shell.dataset, shell.model]

    def refresh(memory: dict, run_id: str, dataset: str, model: str, last: str, request: gr.Request) -> Any:
        return _shown(shell, memory, run_id, (dataset, model), last, shell.lang(request))

    def first(memory: dict, run_id: str, dataset: str, model: str, request: gr.Request) -> Any:
        return _shown(shell, memory, run_id, (dataset, model), None, shell.lang(request))

    def reopen(memory: dict, run_id: str, dataset: str, model: str) -> Any:
        closed = memory.get("closed") or aside(shell.engine, memory, _record(shell, run_id), dataset, model)
        at = memory.get("at", 1) if memory.get("at", 1) < STEPS else 1
        return {"at": at, "closed": not closed, "asked_for": bool(closed)}

    shell.live.piece("guide-progress", lambda run_id, lang: _progress(shell, run_id))
    shell.on_tick(refresh, [*known, seen], shown)
    shell.on_load(first, known, shown)
    ours["close"].click(lambda memory: {**memory, "closed": True}, kept, kept, **QUIET).then(
        shell.safe(first), known, shown, **QUIET
    )
    if "guide.open" in shell.shared:
        shell.shared["guide.open"].click(shell.safe(reopen), known, kept, **QUIET).then(
            shell.safe(first), known, shown, **QUIET
        )
    fill, filled = shell.shared["train.fill"]
    begin, given, started = shell.shared["train.begin"]

    def act(memory: dict, run_id: str, visitor: str, request: gr.Request) -> Any:
        record = _record(shell, run_id)
        name, updates, data = _act(shell, memory, record, shell.lang(request))
        chosen = gr.skip() if record is None or record.id == run_id else record.id
        if name != "data":
            model = "starter" if name == "model" else gr.skip()
            return [chosen, *updates, *[gr.skip()] * (len(filled) - 2), data, model]
        # The form is filled in the same answer that shows the next step: whoever clicks at once starts what is shown.
        lang = shell.lang(request)
        return [chosen, *updates, *fill(_example_preset(shell, lang), visitor, lang)]

    def start(name: str, *values: Any, request: gr.Request) -> Any:
        return begin(*values, request=request) if name == "train" else gr.skip()

    outputs = [shell.run, kept, action, shell.tabs, *filled]
    clicked = button.click(shell.safe(act), [kept, shell.run, shell.form], outputs, **QUIET).then(
        shell.safe(start), [action, *given], started, **QUIET
    )
    clicked = clicked.then(None, action, None, js=f"async name => {{ if (name === 'train') await ({FIND_PROBLEM})() }}")
    clicked = clicked.then(None, action, None, js=_ASK_JS % {"examples": json.dumps(EXAMPLES)})
    clicked.then(shell.safe(first), known, shown, **QUIET)
    target = shell.shared["chat.tab"]["target"]
    target.change(shell.safe(lambda memory, opened: _heard(shell, memory, opened)), [kept, target], kept, **QUIET)


def step_of(memory: dict[str, Any], record: Any) -> Step | None:
    """Where the reader is; None when the guide is closed.

    Args:
        memory: what the browser remembers: `at` (the step before the first run, or 5), `asked`, `closed`, `run`, and
            `asked_for` when the guide was opened by its button.
        record: the run that the page looks at, or None.
    """
    if memory.get("closed"):
        return None
    if record is None or memory.get("again") == record.id:
        return {2: _DATA, 3: _TRAIN}.get(memory.get("at", 1), _START)
    if record.status in ("queued", "running", "stopping"):
        return _LATER if record.status == "queued" else _LEARNS
    if record.finished_well:
        if memory.get("talked") != record.id:
            return _STOPPED if record.status == "stopped" else _DONE
        return _END if memory.get("asked") == record.id else _ASK
    return _FAILED


def aside(engine: Session, memory: dict[str, Any], record: Any, dataset: str, model: str) -> bool:
    """Whether the guide lets somebody pass who came with data or a model of their own, and has not asked for it.

    Its first click would put the example and the starter model in the place of what they chose.
    """
    if record is not None or memory.get("at", 1) > 1 or memory.get("asked_for"):
        return False
    if any(info.id == dataset and not info.shipped for info in engine.data.list()):
        return True
    try:
        return not engine.models.resolve(model).shipped
    except WorkbenchError:  # none was chosen, or it is gone or damaged: there is nothing to keep
        return False


def _shown(
    shell: Shell, memory: dict[str, Any], run_id: str, chosen: tuple[str, str], last: str | None, lang: str
) -> Any:
    memory = memory if isinstance(memory, dict) else {}
    record = _record(shell, run_id)
    step = step_of(memory, record)
    if step is _START and aside(shell.engine, memory, record, *chosen):
        step = None
    key = repr((step and (step.number, step.action, step.sentence.en), record and record.id, lang))
    if key == last:
        return gr.skip()
    if step is None:
        return gr.Row(visible=False), gr.skip(), gr.skip(), key
    bar = shell.live.slot("guide-progress", record.id, lang) if step.action == "watch" else html.Markup("")
    return gr.Row(visible=True), _text(step, bar, lang), gr.Button(step.button.to(lang)), key


def _progress(shell: Shell, run_id: str) -> html.Markup:
    """How far the run is that the guide waits for."""
    status = shell.engine.status()
    if status.running is not None and status.running.id == run_id and status.total_steps:
        return html.progress(status.step / status.total_steps, "")
    record = shell.engine.run(run_id)
    return html.progress(record.last_step / record.total_steps if record.total_steps else None, "")


def _text(step: Step, bar: html.Markup, lang: str) -> str:
    dots = "".join(
        f'<i class="{"done" if n < step.number else "now" if n == step.number else ""}"></i>'
        for n in range(1, STEPS + 1)
    )
    label = _TITLE.with_(n=step.number, all=STEPS).to(lang)
    return html.Markup(
        f'<div class="guide"><span class="steps" role="img" aria-label="{html.esc(label)}">{dots}</span>'
        f'<span class="step-name">{html.esc(label)}</span> <span>{html.esc(step.sentence.to(lang))}</span>{bar}</div>'
    )


def _act(shell: Shell, memory: Any, record: Any, lang: str) -> tuple[str, list[Any], Any]:
    """What the button does: the action's name; memory, action and tab; and the data set that is chosen, if one is."""
    memory, run_id = dict(memory) if isinstance(memory, dict) else {}, record.id if record is not None else ""
    step = step_of(memory, record)
    name, tab, data = step.action if step else "", "run", gr.skip()
    if name == "model":
        memory["at"], tab, data = 2, "data", _example_data(shell, lang)
    elif name == "data":
        memory["at"], tab = 3, "train"
    elif name == "train":
        memory.pop("again", None)
        tab = "train"  # starting opens the Run tab; when it can't start, the reason stands here
    elif name == "talk":
        memory["talked"], tab = run_id, "chat"
    elif name == "ask":
        memory["asked"], tab = run_id, "chat"
    elif name == "again":
        memory["again"], memory["at"], tab = run_id, 3, "train"
    elif name == "end":
        memory["closed"], tab = True, "data"
    return name, [memory, name, shell.go(tab)], data


def _example_preset(shell: Shell, lang: str) -> str:
    ids = [preset.id for preset in shell.engine.presets()]
    wanted = "first-run-zh" if lang == "zh" else "first-run"
    return wanted if wanted in ids else ids[0]


def _example_data(shell: Shell, lang: str) -> str:
    return shell.engine.preset(_example_preset(shell, lang)).config().data.train


def _record(shell: Shell, run_id: str) -> Any:
    """The run that the guide speaks of; None without one.

    It is the one that the page looks at; but one that was cancelled while it waited says nothing where another has begun.
    """
    if not run_id:
        return None
    try:
        record = shell.engine.run(run_id)
    except WorkbenchError:  # it was deleted
        return None
    if record.status != "stopped" or record.started is not None:
        return record
    others = shell.engine.runs()
    trains = (run for run in others if run.status in ("running", "stopping"))
    return next(trains, None) or next((run for run in others if run.started), record)


def _heard(shell: Shell, memory: Any, target: str) -> Any:
    """The memory once Chat has opened with a finished run, whichever button opened it: then it counts as talked to."""
    memory = memory if isinstance(memory, dict) else {}
    finished = any(run.id == target and run.finished_well for run in shell.engine.runs())
    return {**memory, "talked": target} if finished and memory.get("talked") != target else gr.skip()


# Shows what the guide speaks of: the answers that change while it learns; or puts the example question into the Chat tab's
# box and presses its button. The tab may just be opening.
_ASK_JS = """async (action) => {
  if (action === 'watch') {
    for (let n = 0, seen = 0; n < 40 && seen < 10; n++) {  // once more when what stands above has come, too
      const place = document.querySelector('#run-answers');
      const there = place && place.getClientRects().length && place.innerText.trim();
      if (there && seen %% 9 === 0) place.scrollIntoView({ block: place.offsetHeight < innerHeight ? 'center' : 'start' });
      if (there) seen++;
      await new Promise(r => setTimeout(r, 100));
    }
    return;
  }
  if (action !== 'ask' && action !== 'talk') return;
  const examples = %(examples)s, lang = document.documentElement.dataset.lang === 'zh' ? 'zh' : 'en';
  for (let n = 0; n < 40; n++) {
    const box = document.querySelector('#chat-box textarea, #chat-box input');
    const send = document.querySelector('button#chat-send, #chat-send button');
    if (box && (send || action === 'talk')) {
      if (!box.value) { box.value = examples[lang]; box.dispatchEvent(new Event('input', { bubbles: true })); }
      if (action === 'ask') { await new Promise(r => setTimeout(r, 150)); send.click(); }
      return;
    }
    await new Promise(r => setTimeout(r, 100));
  }
}"""
