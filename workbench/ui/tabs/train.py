"""The Train tab: a preset, the settings, what the run will take, and Start.

The form is derived (`workbench.ui.form`); this file decides what happens around it. Everything typed is kept in the
visitor's draft (`workbench.ui.drafting`), so that a reload (the language switch is one) loses nothing. When other data is
chosen, the settings that nobody wrote go with it (`workbench.engine.suited`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.presets import dump
from workbench.config.run import RunConfig, put
from workbench.config.text import Text
from workbench.engine import suited
from workbench.engine.draft import DATA, MODEL, Draft, copied
from workbench.engine.drafts import Kept
from workbench.ui import html, presetlist, summary
from workbench.ui.drafting import HEAR, NEWEST, DraftForm, subject
from workbench.ui.fits import Advice
from workbench.ui.forecast import forecast_card
from workbench.ui.form import Form
from workbench.ui.measuring import Measure
from workbench.ui.presetkeeping import PresetKeeper
from workbench.ui.settingsearch import SettingSearch
from workbench.ui.shell import QUIET, Shell, made_html, press
from workbench.ui.summary import FIND_PROBLEM, START
from workbench.ui.tabtools import on_open, panel

ID = "train"
ORDER = 30
TITLE = Text("Train", "训练")

_LEAD = Text(
    "Pick a preset and press Start. Everything else has a sensible default.",
    "选一个预设，点“开始训练”。其余都有合适的默认值。",
)
_PRESET = Text("Preset", "预设")
_PRESET_HELP = Text(
    "A tested set of settings. You can change any of them below.", "一组测试过的设置，下面每一项都可以改。"
)
_RESET = Text("Back to the preset", "恢复预设")
_WAITS = Text(
    "“{name}” is training now; this run will wait its turn.", "“{name}”正在训练，现在开始的话，这次运行会先排队。"
)
_YAML = Text("These settings as YAML", "以 YAML 查看这些设置")
_YAML_HELP = Text(
    "The same run from a command line: save this as run.yaml, then python -m workbench train run.yaml",
    "也可以从命令行运行：存为 run.yaml，再执行 python -m workbench train run.yaml",
)


@dataclass
class _Part:
    """The components of this tab that its handlers reach."""

    form: Form
    draft: DraftForm
    preset: gr.Dropdown
    keeper: PresetKeeper
    card: gr.HTML
    advice: Advice
    measure: Measure
    yaml: gr.Textbox
    shown: gr.State
    note: gr.HTML
    reset: gr.Button
    start: gr.Button
    click: gr.Textbox
    """What the next Start is known by, so that pressing twice is one run; another one comes with a Start's answer."""


def build(shell: Shell) -> None:
    """Form on the left, what it takes and Start on the right."""
    shell.lead(_LEAD)
    form = Form(shell)
    shown = gr.State({})
    with gr.Row(equal_height=False, elem_classes="train"):
        with gr.Column(scale=3, min_width=300):
            presets = presetlist.choices(shell.engine, shell.text)
            preset = gr.Dropdown(
                presets,
                value=presets[0][1] if presets else None,
                label=shell.text(_PRESET),
                info=shell.text(_PRESET_HELP),
                filterable=len(presets) > 12,
                elem_id="train-preset",
                elem_classes="panel-field",
            )
            with gr.Row(elem_id="train-preset-about"):
                note = panel("train-preset-note")
                reset = gr.Button(
                    shell.text(_RESET), size="sm", scale=0, min_width=150, visible=False, elem_id="train-reset"
                )
            keeper = PresetKeeper(shell)
            form.basic()
            search = SettingSearch(shell)
            form.advanced()
            search.bind(form)
            with gr.Accordion(shell.text(_YAML), open=False, elem_classes="section"):
                yaml = gr.Textbox(
                    label="run.yaml", info=shell.text(_YAML_HELP), lines=8, max_lines=24, interactive=False,
                    buttons=["copy"], elem_id="train-yaml", elem_classes="code",
                )  # fmt: skip
        with gr.Column(scale=2, min_width=280, elem_classes="side"):
            card = made_html(elem_id="train-forecast")
            measure = Measure(shell)
            advice = Advice(shell)
            waits = made_html(elem_id="train-waits")
            start = gr.Button(shell.text(START), variant="primary", size="lg", elem_id="train-start")
    draft, click = DraftForm(shell, form, preset), gr.Textbox("", visible=False)
    part = _Part(form, draft, preset, keeper, card, advice, measure, yaml, shown, note, reset, start, click)
    shell.shared["train.start_button"] = start
    _react(shell, part)
    _tell_of_the_queue(shell, waits)


def _react(shell: Shell, part: _Part) -> None:
    form = part.form
    looks = [*form.slots, part.shown, part.card, part.yaml, part.start, part.measure.button, *part.advice.buttons]
    given, started = [part.shown, *form.inputs], [*looks, shell.run, shell.tabs, part.click]

    def check(shown: dict, visitor: str, number: str, *values: Any, request: gr.Request) -> Any:
        if not number:  # the form does not yet show what the home remembers
            return gr.skip()
        lang = shell.lang(request)
        kept = part.draft.changed(visitor, number, values, lang)
        draft = kept.draft
        looked = _look(shell, part, form.read(values), shown, lang)
        changes = part.draft.changes(visitor, draft, lang)
        note = html.join([presetlist.note(shell.engine, form, draft, lang), changes])
        told = [note, gr.Button(visible=bool(changes)), part.keeper.shown(draft.preset)]
        return [*looked, str(kept.number), part.draft.styles(draft, lang), *told]

    def begin(click: str, shown: dict, *values: Any, request: gr.Request) -> Any:
        lang, nested = shell.lang(request), form.read(values)
        try:
            run_id = shell.engine.submit(RunConfig.parse(nested), str(click)[:64])
        except WorkbenchError as error:
            problems = _with_ways_out(shell, nested, error.problems)
            return [*_marks(part, problems, nested, shown, lang, reveal=True), gr.skip(), gr.skip(), gr.skip()]
        updates, now = form.mark([], nested, lang, shown)
        rest = [gr.skip()] * (len(looks) - len(updates) - 1)
        return [*updates, now, *rest, run_id, shell.go("run"), _new_click()]

    def seen(event: Any) -> None:
        """After `event` has changed the form: say what is wrong with it, and remember it."""
        event.then(None, part.draft.number, None, js=f"number => {{ if (number) ({press(again)})() }}")

    # All looks are one event, so that they come one after the other: of two that overlap, the one that was asked about
    # older values could answer last, and take the mark off a value that is wrong.
    again = shell.unseen("train-look")
    asked = [part.shown, *part.draft.given]
    told = [*looks, part.draft.number, part.draft.who, part.note, part.reset, part.keeper.sure.ask]
    form.on_edit(shell.safe(check), asked, told, also=[again.click], trigger_mode="always_last", **QUIET)
    part.measure.bind(form.read, form.inputs, again)
    _bind_advice(shell, part, seen)
    _bind_preset(shell, part, seen)
    form.bind()
    shell.on_load(_new_click, outputs=[part.click])
    meant = [part.click, *given]
    begun = part.start.click(shell.safe(begin), meant, started, show_progress="minimal", api_name="train")
    begun.then(None, None, None, js=FIND_PROBLEM)
    shell.shared["train.begin"], shell.shared["train.check"] = (begin, meant, started), (check, asked, told)
    shell.shared["train.form"], shell.shared["train.preset"], shell.shared["train.parts"] = form, part.preset, part
    shell.shared["train.seen"], shell.shared["train.again"] = seen, again


def _bind_advice(shell: Shell, part: _Part, seen: Any) -> None:
    """What would make a run fit that does not, as buttons: each changes one setting."""

    def take(
        change: Callable[[RunConfig], dict[str, Any]], visitor: str, number: str, *values: Any, request: gr.Request
    ) -> Any:
        def taken(draft: Draft) -> Draft:
            nested = copied(draft.values)
            for path, value in change(RunConfig.parse(nested)).items():
                put(nested, path, value)
            return replace(draft, values=nested)

        lang = shell.lang(request)
        return part.draft.show(part.draft.changed(visitor, number, values, lang, taken), lang, values)

    for click in part.advice.bind(take, part.draft.given, part.draft.shown):
        seen(click)


def _new_click() -> str:
    return secrets.token_hex(16)


def _tell_of_the_queue(shell: Shell, place: gr.HTML) -> None:
    """Above Start: that a run which is started now waits, and for which one."""
    last = gr.State("")

    def look(before: str, request: gr.Request) -> Any:
        running = shell.engine.status().running
        said = html.note(_WAITS.with_(name=running.name).to(shell.lang(request))) if running is not None else ""
        return gr.skip() if said == before else (said, said)

    shell.on_tick(look, [last], [place, last])


def _bind_preset(shell: Shell, part: _Part, seen: Any) -> None:
    engine, draft = shell.engine, part.draft

    def shown(kept: Kept, lang: str) -> list[Any]:
        return [*draft.show(kept, lang), *subject(kept.draft)]

    def use(preset: str, visitor: str, number: str, *values: Any, request: gr.Request) -> Any:
        def chosen(before: Draft) -> Draft:  # the list may only have been opened and closed: what was changed stays
            return before if before.preset == preset else suited.choose_preset(engine, before, preset)

        lang = shell.lang(request)
        return shown(draft.changed(visitor, number, values, lang, chosen), lang)

    def reset(visitor: str, number: str, *values: Any, request: gr.Request) -> Any:
        lang = shell.lang(request)
        return shown(draft.changed(visitor, number, values, lang, lambda d: suited.back_to_preset(engine, d)), lang)

    def fill(preset: str, visitor: str, lang: str) -> list[Any]:
        """The form as this preset alone fills it."""
        return shown(engine.drafts.change(visitor, lambda _: suited.preset_alone(engine, preset)), lang)

    def kept(preset: str, lang: str, visitor: str, number: str, *values: Any) -> list[Any]:
        """The form with the preset that was just kept, which says all of it; or as it is, without the one that is gone."""

        def named(before: Draft) -> Draft:
            if preset:
                return suited.now_kept(engine, before, preset)
            other = suited.choose_preset(engine, before, suited.first_preset(engine, lang))
            return replace(other, values=before.values)

        made = shown(draft.changed(visitor, number, values, lang, named), lang)
        made[1] = _presets(shell, made[1], lang)
        return made

    def preset_of(visitor: str) -> str:
        known = engine.drafts.get(visitor)
        return known.draft.preset if known is not None else ""

    outputs = [*draft.shown, shell.dataset, shell.model]
    part.keeper.bind(
        part.yaml, draft.given, outputs, lambda given: RunConfig.parse(part.form.read(given[2:])), kept, seen,
        preset_of,
    )  # fmt: skip
    seen(part.preset.input(shell.safe(use), [part.preset, *draft.given], outputs, **QUIET))
    seen(part.reset.click(shell.safe(reset), draft.given, outputs, **QUIET))
    shell.shared["train.fill"] = (fill, outputs)

    def newest(visitor: str, number: str, *values: Any, request: gr.Request) -> Any:
        """What another tab, or a click on a change, has made of the draft."""
        lang = shell.lang(request)
        now = draft.changed(visitor, number, values, lang) if number else None
        return gr.skip() if now is None or str(now.number) == number else shown_there(now, lang, values)

    def shown_there(now: Kept, lang: str, values: Sequence[Any]) -> list[Any]:
        return [*draft.show(now, lang, values), *subject(now.draft)]

    shell.shared["train.newest"] = again = shell.unseen(NEWEST)
    seen(again.click(shell.safe(newest), draft.given, outputs, trigger_mode="always_last", **QUIET))


def bind(shell: Shell) -> None:
    """Follow the choices made on the other tabs, and bring back what was typed before a reload."""
    part: _Part = shell.shared["train.parts"]
    form, draft = part.form, part.draft
    base, train = (form.field(path).widget for path in ("model.base", "data.train"))

    def follow(before: Draft, model: str, dataset: str, lang: str) -> Draft:
        """The draft with the model and the data set that were chosen on the other tabs."""
        if model and not before.settled(MODEL, model):
            before = suited.choose_model(shell.engine, before, model)
        if dataset and not before.settled(DATA, dataset):
            before = suited.choose_data(shell.engine, before, dataset, lang)
        return before

    def restore(remembered: Any, model: str, dataset: str, request: gr.Request) -> Any:
        lang = shell.lang(request)

        def opened(before: Draft | None) -> Draft:
            before = before or suited.first_draft(shell.engine, model, dataset, lang)
            if before.preset not in {preset.id for preset in shell.engine.presets()}:  # deleted since
                before = replace(before, preset=suited.first_preset(shell.engine, lang))
            return follow(before, model, dataset, lang)

        visitor, kept = draft.opened(remembered, opened)
        made = draft.show(kept, lang)
        made[1] = _presets(shell, made[1], lang)
        return [visitor, *made, json.dumps([model, dataset])]

    def chosen(model: str, dataset: str, visitor: str, number: str, *values: Any, request: gr.Request) -> Any:
        if not number:  # not until the form shows what the home remembers
            return gr.skip()
        lang = shell.lang(request)
        kept = draft.changed(visitor, number, values, lang, lambda before: follow(before, model, dataset, lang))
        return gr.skip() if str(kept.number) == number else draft.show(kept, lang, values)

    def chosen_model(model: str, *rest: Any, request: gr.Request) -> Any:
        return chosen(model, "", *rest, request=request)

    def chosen_data(dataset: str, *rest: Any, request: gr.Request) -> Any:
        return chosen("", dataset, *rest, request=request)

    def grouped(request: gr.Request) -> Any:
        """A model may have come, and what this computer has is known exactly only after a while."""
        return _presets(shell, None, shell.lang(request))

    on_open(shell, ID, grouped, None, part.preset)
    brought = gr.Textbox("", visible=False)
    shell.on_load(restore, [shell.form, shell.model, shell.dataset], [shell.form, *draft.shown, brought])
    shell.after_load(HEAR % press(shell.shared["train.newest"]), [])
    late, both = shell.unseen("train-follow"), [shell.model, shell.dataset]
    scripts = {"look": press(shell.shared["train.again"]), "follow": press(late)}
    shell.after_load(_LOOK_OR_FOLLOW % scripts, [brought, *both])
    for event, handler, given in (
        (late.click, chosen, both),
        (shell.model.change, chosen_model, [shell.model]),
        (shell.dataset.change, chosen_data, [shell.dataset]),
    ):
        shell.shared["train.seen"](event(shell.safe(handler), [*given, *draft.given], draft.shown, **QUIET))
    for state, widget in ((shell.model, base), (shell.dataset, train)):
        widget.input(lambda value: value, widget, state, **QUIET)


# What was chosen on the other tabs while the form was still being brought back is followed now.
_LOOK_OR_FOLLOW = """(brought, model, dataset) => {
  const same = brought === '' || JSON.stringify(JSON.parse(brought)) === JSON.stringify([model, dataset]);
  (same ? %(look)s : %(follow)s)();
}"""


def _presets(shell: Shell, chosen: str | None, lang: str) -> Any:
    """The list as it is now; what is chosen stays where that is None."""
    value = {} if chosen is None else {"value": chosen}
    return gr.Dropdown(choices=presetlist.choices(shell.engine, lambda text: text.to(lang)), **value)


def _with_ways_out(shell: Shell, nested: dict[str, Any], problems: Any) -> Any:
    """`problems`; where the data does not suit the method, each says exactly what to choose."""
    try:
        return suited.explained(shell.engine, RunConfig.parse(nested), problems)
    except WorkbenchError:
        return problems


def _look(shell: Shell, part: _Part, nested: dict[str, Any], shown: dict, lang: str) -> list[Any]:
    """Problems at their fields, the card, and the YAML, for the form as it is now."""
    form = part.form
    try:
        config = RunConfig.parse(nested)
        problems = suited.explained(shell.engine, config, shell.engine.check(config))
    except WorkbenchError as error:
        return _marks(part, error.problems, nested, shown, lang)
    if problems:
        return _marks(part, problems, nested, shown, lang, dump(config))
    updates, now = form.mark([], nested, lang, shown)
    engine = shell.engine
    forecast = engine.forecast(config)
    card = forecast_card(forecast, engine.overlap(config), lang, engine.unused(config))
    start = summary.start_button(form, [], nested, lang)
    told = part.measure.shown(forecast), *part.advice.shown(forecast.fit, lang)
    return [*updates, now, card, dump(config), start, *told]


def _marks(
    part: _Part, problems: Any, nested: dict[str, Any], shown: dict, lang: str, yaml: Any = None, reveal: bool = False
) -> list[Any]:
    updates, now = part.form.mark(problems, nested, lang, shown, reveal)
    card = summary.card(part.form, problems, nested, lang)
    start = summary.start_button(part.form, problems, nested, lang)
    told = part.measure.shown(None), *part.advice.shown(None, lang)
    return [*updates, now, card, gr.skip() if yaml is None else yaml, start, *told]
