"""The form of a run, derived from the settings: one widget a setting, its label, help and unit from the knob.

Nothing here names a setting except to group it. `Form.read` turns the widgets' values into the nested dictionary that
`RunConfig.parse` checks; `Form.show` turns such a dictionary into values for the widgets. Bounds are checked by the config
alone, in both languages, and the answer is put at the field; the widgets themselves refuse nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.config.errors import Problem
from workbench.config.fields import Setting, knobs
from workbench.config.reading import LARGEST
from workbench.config.registry import options_of
from workbench.config.run import RunConfig
from workbench.config.text import Text, same
from workbench.methods import METHODS
from workbench.ui import html
from workbench.ui.shell import Shell, made_html

KIND = "method.kind"
BY_NAME = ("model.base", "data.train", "data.eval")  # chosen from what there is, by id
NOTHING = Text("none: keep a share of the training data", "不选：从训练数据中留出一部分")

# Id (`fold-<id>` on the page), title, and the beginnings of the paths below it; the method's own options come first, what is left over last.
SECTIONS: tuple[tuple[str, Text, tuple[str, ...]], ...] = (
    ("adapter", Text("Adapter", "适配器"), ("adapter.",)),
    ("optimization", Text("Optimization", "优化"), ("optimization.",)),
    ("precision", Text("Precision and memory", "精度与内存"), ("model.", "precision.")),
    ("data", Text("Data", "数据"), ("data.",)),
    ("evaluation", Text("Evaluation", "评估"), ("evaluation.",)),
    ("checkpoints", Text("Checkpoints", "检查点"), ("checkpoints.",)),
)
OTHER = ("more", Text("More", "其他"), ("",))
_PLACE = Text("{section} › {label}", "{section} › {label}")
# Takes the reader to a field. The list of a dropdown would open over what is wrong with it.
FOCUS = """  const lead = field => {
    field.scrollIntoView({ block: 'center' });
    const input = field.querySelector('input:not([role=listbox]), textarea') || field;
    if (input === field) field.tabIndex = -1;
    input.focus({ preventScroll: true });
  };"""
METHOD_SECTION = Text("Options of the method", "方法的选项")


@dataclass
class Field:
    """A setting on the page: its widget, the place for its problem, and the method it belongs to (None: all)."""

    setting: Setting
    widget: Any
    slot: gr.HTML
    method: str | None
    section: int | None
    """Index of the accordion around it; None for what is always shown."""


class Form:
    """The widgets of a `RunConfig`; call `basic()` and `advanced()` inside the page's layout, once each."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.fields: list[Field] = []
        self.sections: list[gr.Accordion] = []
        self.titles: list[Text] = []  # of the sections
        self.method_groups: dict[str, gr.Column] = {}
        self._settings = [setting for setting in knobs(RunConfig) if setting.path != KIND]
        # `knobs(RunConfig)` sees the options that all methods share; each method's own class may have more.
        self._settings = [setting for setting in self._settings if not setting.path.startswith("method.")]

    # -- layout -------------------------------------------------------------------------------------------------------

    def basic(self) -> None:
        """The settings that everybody sees."""
        kind = next(setting for setting in knobs(RunConfig) if setting.path == KIND)
        basics = [setting for setting in self._settings if setting.knob.level == "basic"]
        first = [setting for setting in basics if setting.path in BY_NAME]
        rest = [setting for setting in basics if setting.path not in BY_NAME]
        with gr.Column(elem_classes="fields basics"):
            for setting in (*first, kind, *rest):
                self._add(setting)

    def advanced(self) -> None:
        """All others, folded away by section."""
        self._method_sections()
        left = [setting for setting in self._settings if setting.knob.level != "basic"]
        for name, title, beginnings in (*SECTIONS, OTHER):
            here = [setting for setting in left if setting.path.startswith(beginnings)]
            left = [setting for setting in left if setting not in here]
            if here:
                with self._accordion(name, title), gr.Column(elem_classes="fields"):
                    for setting in here:
                        self._add(setting, section=len(self.sections) - 1)

    def _method_sections(self) -> None:
        own = {kind: list(knobs(options_of(kind), "method.")) for kind in METHODS}  # type: ignore[arg-type]
        own = {kind: [s for s in settings if s.path != KIND] for kind, settings in own.items()}
        first = self._default(KIND)
        if not any(own.values()):
            return
        for kind, settings in own.items():
            if not settings:
                continue
            with gr.Column(visible=kind == first, elem_classes="own") as self.method_groups[kind]:
                title = Text("{section}: {method}", "{section}：{method}").with_(
                    section=METHOD_SECTION, method=METHODS[kind].label
                )
                with self._accordion(f"method-{kind}", title), gr.Column(elem_classes="fields"):
                    for setting in settings:
                        self._add(setting, method=kind, section=len(self.sections) - 1)

    def _accordion(self, name: str, title: Text) -> gr.Accordion:
        made = gr.Accordion(self.shell.text(title), open=False, elem_id=f"fold-{name}", elem_classes="section")
        self.sections.append(made)
        self.titles.append(title)
        return made

    def _add(self, setting: Setting, method: str | None = None, section: int | None = None) -> None:
        wide = " wide" if setting.kind == "texts" else ""
        with gr.Column(elem_classes=f"field{wide}", min_width=0):
            widget = self._widget(setting)
            slot = made_html(visible=False, elem_id=f"problem-{slug(setting.path)}")
        self.fields.append(Field(setting, widget, slot, method, section))

    def _widget(self, setting: Setting) -> Any:
        text, label = self.shell.text, setting.knob.label
        if setting.knob.unit:
            label = Text("{label} ({unit})", "{label}（{unit}）").with_(label=label, unit=setting.knob.unit)
        common = {
            "label": text(label),
            "info": text(setting.knob.help),
            "elem_id": f"field-{slug(setting.path)}",
            "interactive": True,
        }
        value = show_value(setting, setting.default)
        if setting.path == KIND:
            choices = [(text(method.label), kind) for kind, method in METHODS.items()]
            return gr.Dropdown(choices, value=value, filterable=False, **common)
        if setting.path in BY_NAME:
            choices = self.names(setting.path, None, value)
            return gr.Dropdown(choices, value=value, filterable=len(choices) > 12, **common)
        if setting.kind == "choice":
            choices = [(text(name), key) for key, name in setting.choices]
            return gr.Dropdown(choices, value=value, filterable=False, **common)
        if setting.kind == "switch":
            return gr.Checkbox(value, **common)
        if setting.kind in ("number", "integer"):
            return gr.Number(value, step=1 if setting.kind == "integer" else None, **common)
        lines = 4 if setting.knob.level == "basic" else 1
        return gr.Textbox(value, lines=lines if setting.kind == "texts" else 1, max_lines=8, **common)

    def names(self, path: str, lang: str | None, value: str | None = None) -> list[tuple[Any, str]]:
        """The choices of a setting that is chosen by name; `lang` None while the page is built.

        A `value` that is not (or no longer) there is offered as it is: `engine.check` says at the field what is wrong.
        """
        found = self.shell.engine.models.list() if path == "model.base" else self.shell.engine.data.list()
        first = [(NOTHING, "")] if path == "data.eval" else []
        usable = [(info.name, info.id) for info in found if not getattr(info, "problem", None)]
        if value and value not in [known for _, known in usable]:
            usable.append((same(value), value))
        return [(name.to(lang) if lang else self.shell.text(name), known) for name, known in (*first, *usable)]

    # -- values -------------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        """All widgets, in the order that `read` expects."""
        return [field.widget for field in self.fields]

    def field(self, path: str, method: str | None = None) -> Field:
        """The field of a setting."""
        return next(f for f in self.fields if f.setting.path == path and f.method in (None, method))

    def read(self, values: Sequence[Any]) -> dict[str, Any]:
        """The widgets' values as nested dictionaries, in the shape of YAML; unchecked."""
        kind = values[self.fields.index(self.field(KIND))]
        nested: dict[str, Any] = {}
        for field, value in zip(self.fields, values, strict=True):
            if field.method in (None, kind):
                section, _, name = field.setting.path.partition(".")
                nested.setdefault(section, {})[name] = read_value(field.setting, value)
        return nested

    def show(self, config: dict[str, Any]) -> list[Any]:
        """One value a widget for the nested values of a whole config; options of other methods become their defaults."""
        shown = []
        for field in self.fields:
            section, _, name = field.setting.path.partition(".")
            chosen = field.method in (None, config.get("method", {}).get("kind"))
            value = config.get(section, {}).get(name, field.setting.default) if chosen else field.setting.default
            shown.append(show_value(field.setting, value))
        return shown

    # -- problems -----------------------------------------------------------------------------------------------------

    @property
    def slots(self) -> list[Any]:
        """The places for problems, one a field, then the accordions that may have to open."""
        return [*(field.slot for field in self.fields), *self.sections]

    def mark(
        self, problems: Sequence[Problem], kind: str, lang: str, shown: dict[str, str], reveal: bool = False
    ) -> tuple[list[Any], dict]:
        """Updates for `slots`, and what is shown now (field's id to sentence); what did not change is skipped.

        A section opens when something in it becomes wrong; with `reveal` also one that was closed again.
        """
        now: dict[str, str] = {}
        for index, field in enumerate(self.fields):
            if field.method in (None, kind):
                here = [problem for problem in problems if problem.field == field.setting.path]
                if here:
                    now[str(index)] = ("" if lang == "zh" else " ").join(sentence(problem, lang) for problem in here)
        updates: list[Any] = []
        for index in range(len(self.fields)):
            said = now.get(str(index), "")
            if said == shown.get(str(index), ""):
                updates.append(gr.skip())
            else:
                made = html.Markup(f'<div class="problem" role="alert">{html.esc(said)}</div>')
                updates.append(gr.update(value=made if said else "", visible=bool(said)))
        opened = {self.fields[int(index)].section for index in (now.keys() if reveal else now.keys() - shown.keys())}
        updates += [gr.update(open=True) if i in opened else gr.skip() for i in range(len(self.sections))]
        return updates, now

    def place(self, path: str, kind: str) -> Text | None:
        """Where a setting stands, as people find it: "Adapter › Rank (r)"; None when it has no field."""
        for field in self.fields:
            if field.setting.path == path and field.method in (None, kind):
                label = field.setting.knob.label
                if field.section is None:
                    return label
                return _PLACE.with_(section=self.titles[field.section], label=label)
        return None

    def elsewhere(self, problems: Sequence[Problem], kind: str) -> list[Problem]:
        """Problems that belong to no field of the form."""
        paths = {field.setting.path for field in self.fields if field.method in (None, kind)}
        return [problem for problem in problems if problem.field not in paths]

    # -- events -------------------------------------------------------------------------------------------------------

    def on_edit(
        self,
        handler: Callable[..., Any],
        inputs: list[Any],
        outputs: list[Any],
        also: Sequence[Any] = (),
        **options: Any,
    ) -> Any:
        """Call `handler` when a person has changed a value: at once for choices, on leaving the field for text.

        Args:
            also: further events that call it.
        """
        triggers = [*also]
        for field in self.fields:
            typed = isinstance(field.widget, gr.Number | gr.Textbox)
            triggers += [field.widget.blur, field.widget.submit] if typed else [field.widget.input]
        return gr.on(triggers, handler, inputs, outputs, **options)

    def _default(self, path: str) -> Any:
        return next(setting.default for setting in knobs(RunConfig) if setting.path == path)


def read_value(setting: Setting, value: Any) -> Any:
    """A widget's value as the config expects it; what makes no sense stays as it is and is refused there."""
    if setting.kind == "texts":
        text = str(value or "")
        parts = text.splitlines() if setting.knob.level == "basic" else text.replace("\n", ",").split(",")
        return [part.strip() for part in parts if part.strip()]
    if setting.optional and value in ("", None):
        return None
    if setting.kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) <= LARGEST else value  # what no float holds is refused as it is
    if setting.kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if setting.kind == "text" and value is None:
        return ""
    return value


def show_value(setting: Setting, value: Any) -> Any:
    """A config's value as its widget shows it."""
    if setting.kind == "texts":
        return ("\n" if setting.knob.level == "basic" else ", ").join(value or [])
    if setting.kind == "number" and isinstance(value, float) and value.is_integer():
        return int(value)
    return "" if value is None else value


def sentence(problem: Problem, lang: str) -> str:
    """A problem without the name of its field, which stands above it."""
    from workbench.config.errors import WorkbenchError

    return WorkbenchError(problem.message, problem.hint).to(lang)


def slug(path: str) -> str:
    """A dotted path as the page's ids have it."""
    return path.replace(".", "-")
