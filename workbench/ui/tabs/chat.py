"""The Chat tab: ask a model, or ask a run's base model and its tuned self the same thing and read both answers.

Both sides are one copy of the weights; the engine switches the adapter off for the base side, so the two answers come one
after the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.tasks import CAUSAL
from workbench.config.text import Text
from workbench.engine.session import Session
from workbench.ui import html, runhtml
from workbench.ui.conversation import BASE, MAX_QUESTION, TUNED, Conversation, Turn
from workbench.ui.judging import how_to_ask, task_of
from workbench.ui.rowhtml import error as error_html
from workbench.ui.shell import QUIET, Shell
from workbench.ui.tabtools import on_open, panel, run_names

ID = "chat"
ORDER = 60
TITLE = Text("Chat", "聊天")

REDRAW_SECONDS = 0.1  # reads as smooth; every drawing makes the browser render the answer anew

_LEAD = Text(
    "Ask the same question before and after training, and compare the answers.",
    "把同一个问题问训练前和训练后的模型，比较它们的回答。",
)
_TARGET = Text("Talk to", "聊天对象")
_ASK = Text("Write a question", "输入问题")
_SEND = Text("Send", "发送")
_STOP = Text("Stop", "停止")
_CLEAR = Text("Clear", "清空")
_SETTINGS = Text("Settings of the answers", "回答设置")
_SYSTEM = Text("System prompt", "系统提示")
_SYSTEM_INFO = Text("Stands before the conversation; leave it empty for none.", "放在对话最前面；留空表示不用。")
_TEMPERATURE = Text("Temperature", "温度")
_TEMPERATURE_INFO = Text(
    "0 always takes the likeliest word; higher is more varied.", "0 总是选最可能的词；越高越多样。"
)
_TOP_P = Text("Top-p", "Top-p")
_TOP_P_INFO = Text("Lower leaves unlikely words out; 1 keeps them all.", "越低越少用不太可能的词；1 表示全部保留。")
_LONGEST = Text("Longest answer (tokens)", "最长回答（词元）")
_LONGEST_INFO = Text("The answer ends here at the latest.", "回答最多这么长。")
_RUN_CHOICE = Text("{name} · before and after · {date}", "{name} · 训练前后对比 · {date}")
_LIVE_CHOICE = Text("{name} · in training", "{name} · 训练中")
_MODEL_CHOICE = Text("{name} (base model)", "{name}（基座模型）")
_BASE = Text("Base: {name}", "训练前：{name}")
_TUNED = Text("Tuned: {name}", "训练后：{name}")
_LEARNS = Text("In training: {name}", "训练中：{name}")
_ANSWERS_NOW = Text("step {step} of {total} answers now", "现在由第 {step} / {total} 步的模型回答")
_CAME_AT = Text(
    "This answer came at about step {step} of {total}, in the middle of the training. Clear the chat and ask again later to hear what changed.",
    "这个回答大约来自第 {step} / {total} 步的模型，训练还在进行。稍后清空对话再问一次，听听有什么变化。",
)
_LEFT_OUT = Text(
    "Earlier turns came from the middle of the training and are left out: the tuned model was not sent them, the base "
    "model was.",
    "之前有几轮对话来自训练途中的模型，没有再发给训练后的模型；基座模型仍会收到这些对话。",
)
_NOTHING_SAID = Text(
    "Write a question below, or click one of those offered. The answer appears here.",
    "在下方输入问题，或点一个现成的问题，回答会显示在这里。",
)
_NONE_TUNED = Text(
    "Nothing is tuned yet: this is a base model as it came. Start a run on the Train tab, then compare the two here.",
    "还没有训练过的模型，这里是原始的基座模型。先在“训练”页开始一次运行，之后就能在这里对比。",
)
LONGEST_EXAMPLE = 60  # characters of a question that its button shows
_EXAMPLES = (
    Text("What colour is the sky?", "天空是什么颜色？"),
    Text("Who are you?", "你是谁？"),
    Text("How many days are in a week?", "一个星期有几天？"),
    Text("Tell me a little story about a fox.", "给我讲一个关于狐狸的小故事。"),
)


def build(shell: Shell) -> None:
    """Whom to talk to, the two windows, the question, the settings."""
    shell.lead(_LEAD)
    talk = gr.State(Conversation())
    target = gr.Dropdown([], label=shell.text(_TARGET), elem_id="chat-target")
    with gr.Row():
        with gr.Column(min_width=300):
            base_name, base = panel("chat-base-name"), _window(shell, "chat-base")
        with gr.Column(min_width=300, visible=False) as tuned_side:
            tuned_name, tuned = panel("chat-tuned-name"), _window(shell, "chat-tuned")
    notice = panel("chat-notice")
    with gr.Row(elem_id="chat-examples"):
        examples = [
            gr.Button(shell.text(text), size="sm", scale=1, min_width=150, elem_id=f"chat-example-{number}")
            for number, text in enumerate(_EXAMPLES, 1)
        ]
    with gr.Row(equal_height=True):
        box = gr.Textbox(
            placeholder=shell.text(_ASK), show_label=False, container=False, lines=1, max_lines=6,
            max_length=MAX_QUESTION, scale=6, min_width=240, elem_id="chat-box",
        )  # fmt: skip
        send = gr.Button(shell.text(_SEND), variant="primary", scale=1, min_width=90, elem_id="chat-send")
        stop = gr.Button(shell.text(_STOP), scale=1, min_width=80, interactive=False, elem_id="chat-stop")
        clear = gr.Button(shell.text(_CLEAR), scale=1, min_width=80, elem_id="chat-clear")
    settings = _settings(shell)
    shell.live.piece("chat-tuned-name", lambda run_id, lang: _tuned_name(shell, run_id, lang))
    outputs = [base, tuned, notice, box, send, stop]
    windows = [base_name, base, tuned_side, tuned_name, tuned, *examples, notice]
    shell.shared["chat.tab"] = {"talk": talk, "target": target, "windows": windows}

    slow: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 8}
    answer = _answerer(shell)
    send.click(None, None, None, js=FOCUS_EMPTY)
    answered = [gr.on([send.click, box.submit], shell.safe(answer), [talk, target, box, *settings], outputs, **slow)]
    for number, button in enumerate(examples):
        asked = shell.safe(_example(shell, answer, number))
        answered.append(button.click(asked, [talk, target, *settings], outputs, **slow))
    for event in answered:
        event.then(None, None, None, js=SHOW_ANSWER)
    stop.click(lambda state: state.halt(), talk, None, **QUIET)
    clear.click(_clear, talk, [base, tuned, notice], **QUIET)
    target.input(shell.safe(_chooser(shell)), [talk, target], windows, **QUIET)


def bind(shell: Shell) -> None:
    """Know the runs, and turn to the one that was chosen elsewhere, when the tab opens."""
    ours = shell.shared["chat.tab"]
    given, shown = [ours["talk"], shell.run, shell.model], [ours["target"], *ours["windows"]]

    def opened(state: Conversation, run_id: str, model_id: str, request: gr.Request) -> Any:
        lang = shell.lang(request)
        state.listed = _in_training(shell)
        found = targets(shell.engine, lang)
        ids = [value for _, value in found]
        wanted = [run_id] if run_id != state.seen_run else []
        state.seen_run = run_id
        runs = [run.id for run in shell.engine.runs()]
        target = next((t for t in [*wanted, state.target, run_id, *runs, model_id, *ids] if t in ids), "")
        if target != state.target:
            state.clear()
            state.target = target
        return [gr.Dropdown(choices=found, value=target or None), *_windows(shell, state, lang), gr.skip()]

    on_open(shell, ID, opened, given, shown)
    shell.on_tick(lambda state, request: _relisted(shell, state, shell.lang(request)), [ours["talk"]], [ours["target"]])


def targets(engine: Session, lang: str) -> list[tuple[str, str]]:
    """All that can be talked to: runs that have something to say, newest first, then models."""
    found, runs = [], engine.runs()
    names = run_names(engine, lang)
    for run in runs:
        if run.status == "running":
            found.append((_LIVE_CHOICE.with_(name=names[run.id]).to(lang), run.id))
        elif run.finished_well:
            found.append((_RUN_CHOICE.with_(name=names[run.id], date=runhtml.when(run.created)).to(lang), run.id))
    for model in engine.models.list():
        if model.problem is None and model.writes:
            found.append((_MODEL_CHOICE.with_(name=model.name).to(lang), model.id))
    return found


def _in_training(shell: Shell) -> str:
    running = shell.engine.status().running
    return running.id if running is not None else ""


def _relisted(shell: Shell, state: Conversation, lang: str) -> Any:
    """The list of whom to talk to, anew where a run has begun or ended since it was made."""
    now = _in_training(shell)
    if state.listed is None or state.listed == now:
        return gr.skip()
    state.listed = now
    found = targets(shell.engine, lang)
    return gr.Dropdown(choices=found, value=state.target) if state.target in dict(found).values() else gr.skip()


def sides(engine: Session, target: str) -> list[str]:
    """Which sides answer: both of a run, but for one that judges; one of a model."""
    run = next((run for run in engine.runs() if run.id == target), None)
    if run is None:
        return [BASE]
    return [BASE, TUNED] if task_of(run.method) == CAUSAL else [TUNED]


def _window(shell: Shell, elem_id: str) -> gr.Chatbot:
    # Its own label would lie over the first lines.
    return gr.Chatbot(
        [], elem_id=elem_id, height="clamp(200px, 36vh, 400px)", buttons=["copy"], sanitize_html=True,
        latex_delimiters=[], feedback_options=None, allow_tags=False, show_label=False, layout="bubble",
        group_consecutive_messages=False, placeholder=shell.text(_NOTHING_SAID),
    )  # fmt: skip


def _settings(shell: Shell) -> list[Any]:
    with gr.Accordion(shell.text(_SETTINGS), open=False, elem_id="chat-settings"):
        system = gr.Textbox(
            label=shell.text(_SYSTEM), info=shell.text(_SYSTEM_INFO), lines=2, max_length=MAX_QUESTION,
            elem_id="chat-system",
        )  # fmt: skip
        with gr.Row():
            temperature = gr.Slider(
                0, 2, 0, step=0.05, label=shell.text(_TEMPERATURE), info=shell.text(_TEMPERATURE_INFO), min_width=220
            )
            top_p = gr.Slider(
                0.05, 1, 1, step=0.05, label=shell.text(_TOP_P), info=shell.text(_TOP_P_INFO), min_width=220
            )
            longest = gr.Slider(
                8, 2048, 256, step=8, label=shell.text(_LONGEST), info=shell.text(_LONGEST_INFO), min_width=220
            )
    return [system, temperature, top_p, longest]


def _answerer(shell: Shell) -> Any:
    def answer(
        state: Conversation, target: str, question: str, system: str, temperature: float, top_p: float, longest: int,
        request: gr.Request,
    ) -> Iterator[Any]:  # fmt: skip
        question = (question or "").strip()[:MAX_QUESTION]
        if not question or not target or state.busy:
            yield (gr.skip(),) * 6  # a generator without a yield would empty all its outputs
            return
        if target != state.target:
            state.clear()
            state.target = target
        sampling = {"temperature": float(temperature), "top_p": float(top_p), "max_new_tokens": int(longest)}
        state.busy, state.halted = True, False
        try:
            yield from _turn(shell, state, question, system or "", sampling, shell.lang(request))
        finally:  # also when the reader closed the page in the middle of an answer
            state.halt()
            state.busy = False

    return answer


def _turn(
    shell: Shell, state: Conversation, question: str, system: str, sampling: dict[str, Any], lang: str
) -> Iterator[Any]:
    turn, drawn = Turn(question), 0.0
    asked = sides(shell.engine, state.target)
    state.turns.append(turn)
    yield _frame(state, gr.Button(interactive=False), gr.Button(interactive=True), "")
    told: Any = ""
    for side in asked:
        if state.halted:
            break
        turn.answers[side] = ""
        # The run may end at any moment: what is sent follows from how it stands when this side is asked, and what is said
        # of the answer from how it stands when that comes.
        trains = _trains(shell.engine.status(), state.target)
        said = state.messages(side, question, system, trains)
        forgotten = html.note(_LEFT_OUT.to(lang)) if state.left_out(side, trains) else html.Markup("")
        stream = shell.engine.chat(
            state.target, said, tuned=side == TUNED or len(asked) == 1, stop=state.next_answer(), **sampling
        )
        try:
            for text in stream:
                if side == TUNED and not turn.answers[side]:
                    turn.in_training, came_at = _came_at(shell, state.target, lang)
                    told = html.join([forgotten, came_at])
                turn.answers[side] = text
                if time.monotonic() - drawn >= REDRAW_SECONDS:
                    drawn = time.monotonic()
                    yield _frame(state, side=side)
        except WorkbenchError as error:
            told = error_html(error, lang)
            break
        finally:
            stream.close()
        yield _frame(state, side=side)  # a short answer may have ended between two redraws
    if not any(text.strip() for text in turn.answers.values()) and turn in state.turns:
        state.turns.remove(turn)  # nobody said anything: the question goes back to its box
        yield _frame(state, gr.Button(interactive=True), gr.Button(interactive=False), question, told)
        return
    yield _frame(state, gr.Button(interactive=True), gr.Button(interactive=False), gr.skip(), told)


def _frame(
    state: Conversation, send: Any = None, stop: Any = None, box: Any = None, notice: Any = None, side: str = ""
) -> tuple[Any, ...]:
    """The windows as they are now (or the one of `side`), and what else changes."""
    nothing = gr.skip()
    windows = [nothing if side not in ("", window) else state.shown(window) for window in (BASE, TUNED)]
    rest = [nothing if value is None else value for value in (box, send, stop)]
    told = notice if notice is not None else ("" if send is not None else nothing)
    return (*windows, told, *rest)


def _example(shell: Shell, answer: Any, number: int) -> Any:
    def ask(
        state: Conversation, target: str, system: str, temperature: float, top_p: float, longest: int,
        request: gr.Request,
    ) -> Iterator[Any]:  # fmt: skip
        question = dict(enumerate(_offered(state, shell.lang(request)))).get(number, "")
        yield from answer(state, target, question, system, temperature, top_p, longest, request)

    return ask


def _chooser(shell: Shell) -> Any:
    def choose(state: Conversation, target: str, request: gr.Request) -> Any:
        state.clear()
        state.target = target
        return [*_windows(shell, state, shell.lang(request)), ""]

    return choose


def _clear(state: Conversation) -> Any:
    state.clear()
    return [], [], ""


def _windows(shell: Shell, state: Conversation, lang: str) -> list[Any]:
    """Both windows as they belong to the target: two for a run, one for a model."""
    runs = shell.engine.runs()
    run = next((run for run in runs if run.id == state.target), None)
    names = {model.id: model.name for model in shell.engine.models.list()}
    base_id = run.base_model if run is not None else state.target
    base = _BASE.with_(name=names.get(base_id, base_id)) if run is not None else names.get(base_id, Text("", ""))
    label = shell.live.slot("chat-tuned-name", run.id, lang) if run is not None else ""
    said = [html.line(base.to(lang))]
    if run is None and not any(other.finished_well or other.status == "running" for other in runs):
        said.append(html.note(_NONE_TUNED.to(lang)))
    said += _notices(shell, state.target, lang)
    if run is not None and (how := how_to_ask(run.method)) is not None:
        said.append(html.note(how.to(lang)))
    return [
        html.join(said),
        state.shown(BASE),
        gr.Column(visible=run is not None),
        label,
        state.shown(TUNED),
        *_examples(state, shell.engine.events(run.id) if run is not None else [], lang),
    ]


def _notices(shell: Shell, target: str, lang: str) -> list[html.Markup]:
    """What to know about the answers of whom one talks to."""
    try:
        notice = shell.engine.answers_notice(target) if target else None
    except WorkbenchError:  # its model is gone or damaged: the answer says so
        notice = None
    return [html.note(notice.to(lang))] if notice is not None else []


def _tuned_name(shell: Shell, run_id: str, lang: str) -> html.Markup:
    """Above the window of the tuned side: which run answers, and with which step while it trains."""
    record = shell.engine.run(run_id)
    name = run_names(shell.engine, lang).get(run_id, record.name)
    if not record.active:
        return html.line(_TUNED.with_(name=name).to(lang))
    status = shell.engine.status()
    now = _ANSWERS_NOW.with_(step=status.step, total=status.total_steps).to(lang) if _trains(status, run_id) else ""
    return html.line(_LEARNS.with_(name=name).to(lang), now)


def _came_at(shell: Shell, run_id: str, lang: str) -> tuple[bool, html.Markup]:
    """Whether the answer that comes now is from a model in the middle of its training; and a note of it then."""
    status = shell.engine.status()
    if not _trains(status, run_id):
        return False, html.Markup("")
    return True, html.note(_CAME_AT.with_(step=status.step, total=status.total_steps).to(lang))


def _trains(status: Any, run_id: str) -> bool:
    return status.running is not None and status.running.id == run_id and bool(status.total_steps)


def _examples(state: Conversation, events: list[dict[str, Any]], lang: str) -> list[gr.Button]:
    """The buttons with the questions that suit the target: those that a run was asked while it learned, else the page's."""
    asked = dict.fromkeys(str(event["question"]) for event in events if event.get("type") == "sample")
    state.offered = tuple(asked)[: len(_EXAMPLES)]
    offered = [html.short(question, LONGEST_EXAMPLE) for question in _offered(state, lang)]
    hidden = [gr.Button(visible=False)] * (len(_EXAMPLES) - len(offered))
    return [*(gr.Button(question, visible=True) for question in offered), *hidden]


def _offered(state: Conversation, lang: str) -> tuple[str, ...]:
    return state.offered or tuple(text.to(lang) for text in _EXAMPLES)


# Send with nothing written: the box shows that it waits for words.
FOCUS_EMPTY = """() => {
  const box = document.querySelector('#chat-box textarea, #chat-box input');
  if (box && !box.value.trim()) box.focus();
}"""

# On a phone the two windows stand one above the other: what the tuned model said last has to be on the screen.
SHOW_ANSWER = """async () => {
  await new Promise(done => setTimeout(done, 150));
  if (!matchMedia('(max-width: 640px)').matches) return;
  const said = [...document.querySelectorAll('#chat-tuned .bot')].filter(one => one.getClientRects().length).pop();
  if (said) said.scrollIntoView({ block: 'nearest' });
}"""
