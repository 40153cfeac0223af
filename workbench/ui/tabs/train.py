"""The Train tab: a preset, the settings, what the run will take, and Start.

The form is derived (`workbench.ui.form`); this file decides what happens around it. Everything typed is kept in the
browser, so that a reload (the language switch is one) loses nothing. When other data is chosen, the settings that nobody
wrote go with it (`workbench.ui.suited`).
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
from workbench.engine.draft import DATA, MODEL, Draft, copied
from workbench.ui import html, presetlist, suited, summary
from workbench.ui.fits import Advice
from workbench.ui.forecast import forecast_card
from workbench.ui.form import BY_NAME, Form
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
    draft: gr.Textbox
    """What the workbench filled into the form (`Draft`, as JSON); "" until the form shows what the browser remembers.
    Hidden, and no `gr.State`: the browser sends it along with the values that it had at that moment."""
    click: gr.Textbox
    """What the next Start is known by, so that pressing twice is one run; another one comes with a Start's answer."""

    @property
    def everything(self) -> list[Any]:
        """What a draft is shown by and read from."""
        return [self.draft, self.preset, *self.form.inputs]

    def read(self, filled: str, preset: str, values: Sequence[Any]) -> Draft:
        """The draft that the form shows."""
        nested, known = self.form.read(values), json.loads(filled)
        draft = Draft.parse({**known, "values": known["filled"]})
        return Draft(preset, nested, nested) if draft is None else replace(draft, values=nested)

    def show(self, draft: Draft, lang: str, there: Sequence[Any] = ()) -> list[Any]:
        """Values for `everything`; what is `there` already is not sent again."""
        kept = {key: value for key, value in draft.as_dict().items() if key != "values"}
        return [json.dumps(kept), draft.preset, *_show(self.form, draft.values, lang, there)]


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
    part = _Part(
        form,
        preset,
        keeper,
        card,
        advice,
        measure,
        yaml,
        shown,
        note,
        reset,
        start,
        *(gr.Textbox("", visible=False) for _ in range(2)),
    )
    shell.shared["train.start_button"] = start
    _react(shell, part)
    _tell_of_the_queue(shell, waits)


def _react(shell: Shell, part: _Part) -> None:
    form = part.form
    looks = [*form.slots, part.shown, part.card, part.yaml, part.start, part.measure.button, *part.advice.buttons]
    given, started = [part.shown, *form.inputs], [*looks, shell.run, shell.tabs, part.click]

    def check(filled: str, preset: str, shown: dict, *values: Any, request: gr.Request) -> Any:
        if not filled:  # the form does not yet show what the browser remembers
            return gr.skip()
        draft, lang = part.read(filled, preset, values), shell.lang(request)
        note, changed = presetlist.note(shell.engine, form, draft, lang)
        looked = _look(shell, part, draft.values, shown, lang)
        return [*looked, draft.as_dict(), note, gr.Button(visible=changed), part.keeper.chosen(preset)]

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
        event.then(None, part.draft, None, js=f"filled => {{ if (filled) ({press(again)})() }}")

    # All looks are one event, so that they come one after the other: of two that overlap, the one that was asked about
    # older values could answer last, and take the mark off a value that is wrong.
    again = shell.unseen("train-look")
    asked, told = [part.draft, part.preset, *given], [*looks, shell.form, part.note, part.reset, part.keeper.sure.ask]
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
        change: Callable[[RunConfig], dict[str, Any]], filled: str, preset: str, *values: Any, request: gr.Request
    ) -> Any:
        draft = part.read(filled, preset, values)
        nested = copied(draft.values)
        for path, value in change(RunConfig.parse(nested)).items():
            put(nested, path, value)
        return part.show(replace(draft, values=nested), shell.lang(request), values)

    for click in part.advice.bind(take, part.everything, part.everything):
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
    def shown(draft: Draft, lang: str) -> list[Any]:
        return [*part.show(draft, lang), draft.as_dict(), draft.value(DATA), draft.value(MODEL)]

    def use(filled: str, preset: str, *values: Any, request: gr.Request) -> Any:
        draft = part.read(filled, preset, values)
        if draft.preset == preset:
            return gr.skip()  # the list was only opened and closed: what was changed stays
        return shown(suited.choose_preset(shell.engine, draft, preset), shell.lang(request))

    def reset(filled: str, preset: str, *values: Any, request: gr.Request) -> Any:
        return shown(suited.back_to_preset(shell.engine, part.read(filled, preset, values)), shell.lang(request))

    def fill(preset: str, lang: str) -> list[Any]:
        """The form as this preset alone fills it."""
        blank = RunConfig().values()
        return shown(suited.choose_preset(shell.engine, Draft(preset, blank, blank), preset), lang)

    def kept(preset: str, lang: str, filled: str, before: str, *values: Any) -> list[Any]:
        """The form with the preset that was just kept, which says all of it; or as it is, without the one that is gone."""
        draft = part.read(filled, before, values)
        if preset:
            nested = shell.engine.preset(preset).config().changed({"output.name": draft.value("output.name") or ""})
            draft = Draft(preset, nested.values(), nested.values())
        else:
            other = suited.choose_preset(shell.engine, draft, suited.first_preset(shell.engine, lang))
            draft = replace(other, values=draft.values)
        made = shown(draft, lang)
        made[1] = _presets(shell, draft.preset, lang)
        return made

    outputs = [*part.everything, shell.form, shell.dataset, shell.model]
    part.keeper.bind(
        part.yaml, part.everything, outputs, lambda given: RunConfig.parse(part.form.read(given[2:])), kept, seen
    )
    seen(part.preset.input(shell.safe(use), part.everything, outputs, **QUIET))
    seen(part.reset.click(shell.safe(reset), part.everything, outputs, **QUIET))
    shell.shared["train.fill"] = (fill, outputs)


def bind(shell: Shell) -> None:
    """Follow the choices made on the other tabs, and bring back what was typed before a reload."""
    part: _Part = shell.shared["train.parts"]
    form = part.form
    base, train = (form.field(path).widget for path in ("model.base", "data.train"))

    def follow(draft: Draft, model: str, dataset: str, lang: str) -> Draft:
        """The draft with the model and the data set that were chosen on the other tabs."""
        if model and not draft.settled(MODEL, model):
            draft = suited.choose_model(shell.engine, draft, model)
        if dataset and not draft.settled(DATA, dataset):
            draft = suited.choose_data(shell.engine, draft, dataset, lang)
        return draft

    def restore(kept: dict, model: str, dataset: str, request: gr.Request) -> Any:
        lang = shell.lang(request)
        draft = Draft.parse(kept) or suited.first_draft(shell.engine, model, dataset, lang)
        known = {preset.id for preset in shell.engine.presets()}
        if draft.preset not in known:  # deleted since
            draft = replace(draft, preset=suited.first_preset(shell.engine, lang))
        made = part.show(follow(draft, model, dataset, lang), lang)
        made[1] = _presets(shell, made[1], lang)
        return [*made, json.dumps([model, dataset])]

    def chosen(model: str, dataset: str, filled: str, preset: str, *values: Any, request: gr.Request) -> Any:
        if not filled:  # not until the form shows what the browser remembers
            return gr.skip()
        lang, before = shell.lang(request), part.read(filled, preset, values)
        after = follow(before, model, dataset, lang)
        return gr.skip() if after is before else part.show(after, lang, values)

    def chosen_model(model: str, *rest: Any, request: gr.Request) -> Any:
        return chosen(model, "", *rest, request=request)

    def chosen_data(dataset: str, *rest: Any, request: gr.Request) -> Any:
        return chosen("", dataset, *rest, request=request)

    def grouped(request: gr.Request) -> Any:
        """A model may have come, and what this computer has is known exactly only after a while."""
        return _presets(shell, None, shell.lang(request))

    on_open(shell, ID, grouped, None, part.preset)
    brought = gr.Textbox("", visible=False)
    shell.on_load(restore, [shell.form, shell.model, shell.dataset], [*part.everything, brought])
    late, both = shell.unseen("train-follow"), [shell.model, shell.dataset]
    scripts = {"look": press(shell.shared["train.again"]), "follow": press(late)}
    shell.after_load(_LOOK_OR_FOLLOW % scripts, [brought, *both])
    for event, handler, given in (
        (late.click, chosen, both),
        (shell.model.change, chosen_model, [shell.model]),
        (shell.dataset.change, chosen_data, [shell.dataset]),
    ):
        shell.shared["train.seen"](event(shell.safe(handler), [*given, *part.everything], part.everything, **QUIET))
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


def _show(form: Form, nested: dict[str, Any], lang: str, there: Sequence[Any] = ()) -> list[Any]:
    """Values for all widgets; those chosen by name get the names that there are now.

    What is `there` already is not sent again: somebody may be typing in that field now.
    """
    made: list[Any] = []
    for index, value in enumerate(form.show(nested)):
        path = form.fields[index].setting.path
        if path in BY_NAME:
            made.append(gr.Dropdown(choices=form.names(path, lang, value), value=value))
        elif not form.fields[index].setting.applies(nested):
            made.append(gr.skip())  # what was typed there is there again when it counts again
        else:
            made.append(gr.skip() if there and there[index] == value else value)
    return made


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
