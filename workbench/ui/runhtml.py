"""What the Run tab says about a run, as escaped HTML in the reader's language. Knows no gradio and asks no engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from workbench.adapters import ADAPTERS
from workbench.config.text import Text, same
from workbench.engine.names import KEPT_BACK_LOSS, NOT_ANSWERED, RECENT_LOSS, recent_steps, status_name
from workbench.engine.plan import evaluate_every
from workbench.engine.records import DAMAGED
from workbench.engine.runview import Answers, RunView
from workbench.engine.verdict import BAD
from workbench.methods import METHODS
from workbench.methods.metrics import OF_EVALUATION, Metric
from workbench.ui import html

_NAMES = {kind: adapter.name for kind, adapter in ADAPTERS.items()}
_ABOUT = Text("{name}: {method} with {adapter} on {model}", "{name}：用 {adapter} 对“{model}”做 {method}")
_ABOUT_FULL = Text("{name}: {method} of the whole model {model}", "{name}：对“{model}”做 {method}（全量微调）")
_NAMED = Text("{name}", "{name}")  # of a damaged one, of which nothing else is known
_STEP = Text("{status} · step {step} of {total}", "{status} · 第 {step} / {total} 步")
_LEFT = Text("{time} left", "剩余 {time}")
_TOOK = Text("took {time}", "用时 {time}")
_DONE_OF = Text("{text}: {done} of {total}", "{text}：{done} / {total}")

_MEAN = Text(
    "On the rows that it learns: the mean of the last fifth of the steps done. It also falls where a model only learns by heart.",
    "在正在学习的样本上，取已训练步数中最后五分之一的平均值。死记硬背时它也会下降。",
)
_CHECKED = Text(
    "On rows that it does not learn. When this rises while the other one falls, it learns by heart.",
    "在没有参与学习的样本上。如果它上升而训练损失下降，说明模型在死记硬背。",
)
_TILES = (
    (RECENT_LOSS, "loss"),
    (KEPT_BACK_LOSS, "eval_loss"),
    (Text("learning rate", "学习率"), "learning_rate"),
    (Text("tokens / s", "词元/秒"), "tokens_per_second"),
    (Text("memory", "内存"), "memory_bytes"),
)

_BEFORE = Text("before training", "训练前")
_AT_STEP = Text("step {step}", "第 {step} 步")
_NOW = Text("now, step {step}", "现在，第 {step} 步")
_AFTER = Text("after training, step {step}", "训练后，第 {step} 步")
_NO_ANSWER = Text("(no answer)", "（没有回答）")
_IN_TRAINING = Text("in training", "训练中")
_AT = Text("at step {step}", "第 {step} 步时")
_SOON = Text("This answer comes in a moment.", "马上就会有这个回答。")
_THEN = Text("This answer comes then.", "到那时会有这个回答。")
_NO_LATER = Text("The run ended before the next answer.", "运行在下一次回答之前就结束了。")
_QUESTIONS = Text("Before and after", "训练前后对比")

_WAITS = (
    Text("Waiting.", "排队中。"),
    Text("It starts as soon as the run before it has ended.", "前一个运行结束后会立即开始。"),
)
_BEHIND = Text(
    "“{name}” is training now; this run starts by itself when its turn comes.",
    "“{name}”正在训练，轮到这个运行时会自动开始。",
)
_RUNS = (
    Text("You can close this page.", "可以关闭此页面。"),
    Text(
        "Training goes on without it, and the curve is here again when you come back. Stop and save keeps what was "
        "learned so far; Resume goes on from there.",
        "训练会继续进行，再打开时曲线还在。“停止并保存”会保留已学到的内容，之后可以“继续训练”。",
    ),
)
_STOPPING = (
    Text("Stopping.", "正在停止。"),
    Text("The run ends after this step and is saved.", "这一步完成后结束并保存。"),
)
_COMPLETED = (Text("Finished.", "训练完成。"), Text("Talk to it, or export it.", "可以和它聊聊，或者导出。"))
_STOPPED = (
    Text("Stopped and saved at step {step}.", "已停止，并在第 {step} 步保存。"),
    Text("You can talk to it as it is; Resume goes on from there.", "现在就能和它聊聊；点“继续训练”可从这里接着训练。"),
)
_STOPPED_EARLY = (
    Text("Stopped before the first step.", "在第一步之前就停止了。"),
    Text("Resume starts it again.", "点“继续训练”会从头开始。"),
)
_INTERRUPTED = (
    Text("The workbench was closed while this run was training.", "训练过程中工作台被关闭。"),
    Text(
        "Resume goes on from the last checkpoint (step {step}).",
        "点“继续训练”可从最近的检查点（第 {step} 步）接着训练。",
    ),
)
_INTERRUPTED_EARLY = Text(
    "Resume starts it again: there is no checkpoint yet.", "还没有检查点，点“继续训练”会从头开始。"
)
_FAILED = Text("This run failed.", "这个运行失败了。")
_KIND = {True: "warn", False: ""}  # of a verdict: whether somebody should do something about it
_DAMAGED = Text("A part of this run is damaged: {what}.", "这个运行有一部分已损坏：{what}。")
_DAMAGED_MORE = Text(
    "Everything else of it can be used. Put the file back from a backup, or delete this run.",
    "其余部分仍可使用。请从备份恢复该文件，或删除这个运行。",
)
_SEE_LOG = Text("The log below has the details.", "详情见下方日志。")


def choices(records: Sequence[Any], names: Mapping[str, str], lang: str) -> list[tuple[str, str]]:
    """Runs as a list of runs shows them: name (of `name_each`), state, date; and their ids."""
    return [(f"{names[run.id]} · {status_name(run.status).to(lang)} · {when(run.created)}", run.id) for run in records]


def name_each(records: Sequence[Any], data: Mapping[str, Text], lang: str) -> dict[str, str]:
    """The name of each run by its id; those of the same name get a number, oldest first, and how and on what they learn.

    Args:
        records: all runs, so that a run has the same number in every list.
        data: what people call the data sets, by id.
    """
    alike = Counter(run.name for run in records)
    numbers: Counter[str] = Counter()
    found = {}
    for run in sorted(records, key=lambda run: (run.created, run.id)):
        found[run.id] = run.name
        if alike[run.name] > 1:
            numbers[run.name] += 1
            how = f"{_called(run.method).to(lang)} {_NAMES.get(run.adapter, '')}".strip()
            learned = data.get(run.dataset, same(run.dataset)).to(lang)
            parts = [f"{run.name} ({numbers[run.name]})", how, *([learned] if learned != run.name else [])]
            found[run.id] = " · ".join(parts)
    return found


def _called(method: str) -> Text:
    known = METHODS.get(method)
    return known.called if known is not None else same(method.upper())


def when(iso: str) -> str:
    """A time of the record, on this machine's clock: `11-20 14:05`."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%m-%d %H:%M")
    except ValueError:
        return iso


def headline(record: Any, view: RunView, lang: str, base: str = "") -> html.Markup:
    """What is trained, how far it is, and how long it still takes."""
    about = _ABOUT_FULL if record.adapter == "none" else _ABOUT if record.status != DAMAGED else _NAMED
    about = about.with_(
        name=record.name,
        method=_called(record.method),
        adapter=_NAMES.get(record.adapter, record.adapter),
        model=base or record.base_model,
    )
    step, total = _step(record, view), view.last.get("total_steps") or record.total_steps
    left = status_name(record.status).to(lang)
    left = left[:1].upper() + left[1:]
    share: float | None = step / total if total else 0.0
    if record.active and view.stage is not None:
        left, share = _stage(view.stage, lang)
    elif total:
        left = _STEP.with_(status=left, step=step, total=total).to(lang)
    elif record.status == "running":
        share = None
    bar = html.progress(share, left, _time(record, view, lang))
    return html.join([html.lead(about.to(lang)), html.Markup(f'<div class="card">{bar}</div>')])


def tiles(record: Any, view: RunView, lang: str, kept_back: bool = True) -> html.Markup:
    """The numbers that people look at; the loss of a run that is over is the one that its record keeps.

    Args:
        kept_back: whether a loss on rows kept back is still to come; without one there is no tile for it.
    """
    now = {**view.last, "loss": view.loss.recent(recent_steps(_step(record, view)))}
    if not record.active and record.train_loss is not None:
        now["loss"] = record.train_loss
    helps = {"loss": _MEAN.to(lang), "eval_loss": _CHECKED.to(lang)}
    shown = [(label, key) for label, key in _TILES if key != "eval_loss" or kept_back or now.get(key) is not None]
    made = [(label.to(lang), number(key, now.get(key)), helps.get(key, "")) for label, key in shown]
    made[len(made) - 3 : len(made) - 3] = list(_own_numbers(record, view, lang))
    return html.kpis(made)


def metrics_of(record: Any) -> tuple[Metric, ...]:
    """The numbers that a run's method declares."""
    method = METHODS.get(record.method)
    return method.metrics if method is not None else ()


def _own_numbers(record: Any, view: RunView, lang: str) -> Iterator[tuple[str, str, str]]:
    """Label, value and help of the method's main numbers, on the rows kept back where there are such."""
    for metric in metrics_of(record):
        for name in (f"{OF_EVALUATION}{metric.name}", metric.name):
            value = view.numbers[name].latest if name in view.numbers else None
            if metric.main and value is not None:
                yield metric.label.to(lang), metric.written(value), metric.help.to(lang)
                break


def sentence(record: Any, view: RunView, lang: str, ahead: str = "", damage: Sequence[Text] = ()) -> html.Markup:
    """What the state means and what can be done, with the run's problems.

    Args:
        ahead: the name of the run that trains now, for a run that waits.
        damage: what of its files cannot be read.
    """
    step = view.checkpoint or 0
    if record.status in ("failed", DAMAGED):
        parts = [_told(record.error, lang) or html.verdict(_FAILED.to(lang), _SEE_LOG.to(lang), "no")]
    elif record.status == "interrupted":
        after = _INTERRUPTED[1].with_(step=step) if step else _INTERRUPTED_EARLY
        parts = [html.verdict(_INTERRUPTED[0].to(lang), after.to(lang), "warn")]
    elif record.status == "stopped":
        at = _step(record, view)
        first, second = (_STOPPED[0].with_(step=at), _STOPPED[1]) if at else _STOPPED_EARLY
        parts = [html.verdict(first.to(lang), second.to(lang), "" if at else "warn")]
    else:
        known = {"queued": _WAITS, "running": _RUNS, "stopping": _STOPPING, "completed": _COMPLETED}
        first, second = known.get(record.status, _RUNS)
        if record.status == "queued" and ahead:
            second = _BEHIND.with_(name=ahead)
        if record.active and (method := METHODS.get(record.method)) is not None and method.watch.to(lang):
            second = Text("{second} {watch}", "{second}{watch}").with_(second=second, watch=method.watch)
        shown = view.verdict if record.status == "completed" else None
        parts = [_judged(shown, lang) if shown else html.verdict(first.to(lang), second.to(lang))]
    if record.status == "stopped" and view.verdict:
        parts.append(_judged(view.verdict, lang, None))
    error_text = _of(record.error, "message", lang) if record.status == "failed" else None
    parts += [html.verdict(_DAMAGED.with_(what=what).to(lang), _DAMAGED_MORE.to(lang), "warn") for what in damage]
    problems = [problem for problem in view.problems if _of(problem, "message", lang) != error_text]
    parts += [told for problem in problems if (told := _told(problem, lang, "warn")) is not None]
    return html.join(part for part in parts if part)


def answers(record: Any, view: RunView, lang: str, asked: Sequence[str] = (), every: int | None = None) -> html.Markup:
    """First and latest answer to each of the person's questions, side by side; empty without questions.

    Those that changed come first when the run is over: they are what people look for.

    Args:
        asked: the run's questions, for those that have no answer yet.
        every: after how many steps each is asked again; 0 is a tenth of all, None only at the end.
    """
    said = list(view.answers.values())
    if record.active:
        following = _next_asked(record, view, every)
        waiting = [question for question in asked if question not in view.answers]
        cards = [_pair(record, one, lang, following) for one in said]
        cards += [_awaited(question, following, lang) for question in waiting]
    else:
        cards = [_pair(record, one, lang) for one in sorted(said, key=lambda one: one.first[1] == one.latest[1])]
    if not cards:
        return html.Markup("")
    return html.join([html.Markup(f"<h2>{html.esc(_QUESTIONS.to(lang))}</h2>"), *cards])


def _next_asked(record: Any, view: RunView, every: int | None) -> int | None:
    total = int(view.last.get("total_steps") or record.total_steps or 0)
    if every is None or not total:
        return total or None
    every = every or evaluate_every(total)
    return min((_step(record, view) // every + 1) * every, total)


def _pair(record: Any, said: Answers, lang: str, following: int | None = None) -> html.Markup:
    step, text = said.first
    label = (_BEFORE if step == 0 else _AT_STEP.with_(step=step)).to(lang)
    left = _answer(label, text, lang, said.reasons.get(step))
    step, text = said.latest
    if said.latest is not said.first:
        label = (_NOW if record.active else _AFTER).with_(step=step).to(lang)
        right = _answer(label, text, lang, said.reasons.get(step))
    else:
        right = _coming(following, lang) if record.active else html.card("", _NO_LATER.to(lang))
    return _asked(said.question, left, right)


def _awaited(question: str, following: int | None, lang: str) -> html.Markup:
    """A question that nobody has answered yet."""
    return _asked(question, _empty(_BEFORE.to(lang), _SOON.to(lang)), _coming(following, lang))


def _asked(question: str, left: html.Markup, right: html.Markup) -> html.Markup:
    return html.join([html.Markup(f'<p class="question">{html.esc(question)}</p>'), html.two(left, right)])


def _coming(step: int | None, lang: str) -> html.Markup:
    if step is None:
        return _empty(_IN_TRAINING.to(lang), _SOON.to(lang))
    return _empty(_AT.with_(step=step).to(lang), _THEN.to(lang))


def _answer(label: str, text: str, lang: str, why: dict[str, str] | None = None) -> html.Markup:
    shown = text.strip() or (NOT_ANSWERED.with_(why=why[lang]) if why else _NO_ANSWER).to(lang)
    return html.Markup(f'<div class="card answer"><p>{html.esc(label)}</p><div>{html.esc(shown)}</div></div>')


def _empty(label: str, promise: str) -> html.Markup:
    return html.Markup(f'<div class="card answer to-come"><p>{html.esc(label)}</p><div>{html.esc(promise)}</div></div>')


def _stage(stage: dict[str, Any], lang: str) -> tuple[str, float | None]:
    text = _of(stage, "text", lang) or ""
    done, total = stage.get("done"), stage.get("total")
    if done is None or not total:
        return text, None
    return _DONE_OF.with_(text=text, done=f"{done:,}", total=f"{total:,}").to(lang), done / total


def _step(record: Any, view: RunView) -> int:
    return int(view.last.get("step", record.last_step or 0))


def _time(record: Any, view: RunView, lang: str) -> str:
    if record.status == "running":
        left = view.last.get("seconds_left")
        return _LEFT.with_(time=html.duration(left)).to(lang) if left is not None and view.stage is None else ""
    try:
        took = datetime.fromisoformat(record.finished) - datetime.fromisoformat(record.started)
    except (TypeError, ValueError):
        return ""
    return _TOOK.with_(time=html.duration(took.total_seconds())).to(lang)


def number(key: str, value: float | None) -> str:
    """A run's number as the tiles show it; `key` is its name in the events."""
    if value is None:
        return "–"
    if key == "memory_bytes":
        return html.size(value)
    if key == "tokens_per_second":
        return f"{value:,.0f}"
    if key == "learning_rate":
        return _exponent(value)
    if 0 < value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def _exponent(value: float) -> str:
    """`2e-4`, `1.25e-3`: learning rates as people write them."""
    if value == 0:
        return "0"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def _judged(verdict: dict[str, Any], lang: str, headline: Text | None = _COMPLETED[0]) -> html.Markup:
    """What curve and answers show, with the next thing to try; amber where something should be done."""
    between = "" if lang == "zh" else " "
    said = between.join(_of(verdict, key, lang) or "" for key in ("message", "hint"))
    return html.verdict(headline.to(lang) if headline else "", said, _KIND[verdict["words"][0] in BAD])


def _told(problem: dict[str, Any] | None, lang: str, kind: str = "no") -> html.Markup | None:
    message = _of(problem, "message", lang)
    if not message:
        return None
    return html.verdict(message[:1].upper() + message[1:], _of(problem, "hint", lang) or "", kind)


def _of(source: dict[str, Any] | None, key: str, lang: str) -> str | None:
    """One language of a `{"en", "zh"}` pair."""
    value = (source or {}).get(key)
    if isinstance(value, dict):
        return str(value.get(lang) or value.get("en") or "")
    return str(value) if value else None
