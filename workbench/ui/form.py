"""The form of a run, derived from the settings: one widget a setting, its label, help and unit from the knob.

A setting that counts only beside some other value (the option of a variant, say) is shown only then, and keeps what was typed.
Nothing here names a setting except to group it. `Form.read` turns the widgets' values into the nested dictionary that
`RunConfig.parse` checks; `Form.show` turns such a dictionary into values for the widgets. Bounds are checked by the config
alone, in both languages, and the answer is put at the field; the widgets themselves refuse nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.fields import Setting, knobs, value_at
from workbench.config.presets import read_yaml
from workbench.config.reading import LARGEST
from workbench.config.run import RunConfig
from workbench.config.text import Text, same
from workbench.ui.marks import Marks
from workbench.ui.shell import QUIET, Shell

KIND = "method.kind"
BY_NAME = ("model.base", "data.train", "data.eval")  # chosen from what there is, by id
NOTHING = Text("none: keep a share of the training data", "不选：从训练数据中留出一部分")

# Id (`fold-<id>` on the page), title, and the beginnings of the paths below it; what is left over comes last.
SECTIONS: tuple[tuple[str, Text, tuple[str, ...]], ...] = (
    ("method", Text("Options of the method", "方法的选项"), ("method.",)),
    ("adapter", Text("Adapter", "适配器"), ("adapter.",)),
    ("optimization", Text("Optimization", "优化"), ("optimization.",)),
    ("precision", Text("Precision and memory", "精度与内存"), ("model.", "precision.")),
    ("data", Text("Data", "数据"), ("data.",)),
    ("evaluation", Text("Evaluation", "评估"), ("evaluation.",)),
    ("checkpoints", Text("Checkpoints", "检查点"), ("checkpoints.",)),
)
OTHER = ("more", Text("More", "其他"), ("",))
_USUAL = Text("{help} Usually: {usual}.", "{help}默认：{usual}。")
_PLACE = Text("{section} › {label}", "{section} › {label}")
# Takes the reader to a field. The list of a dropdown would open over what is wrong with it.
FOCUS = """  const lead = field => {
    field.scrollIntoView({ block: 'center' });
    const input = field.querySelector('input:not([role=listbox]), textarea') || field;
    if (input === field) field.tabIndex = -1;
    input.focus({ preventScroll: true });
  };"""


@dataclass
class Field:
    """A setting on the page, and its widget."""

    setting: Setting
    name: str
    """Of the field in the ids of the page (`field-<name>`)."""
    widget: Any
    section: int | None
    """Index of the accordion around it; None for what is always shown."""


class Form:
    """The widgets of a `RunConfig`; call `basic()` and `advanced()` inside the page's layout, once each."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.fields: list[Field] = []
        self.sections: list[gr.Accordion] = []
        self.titles: list[Text] = []  # of the sections
        self.marks = Marks()
        self._settings = list(knobs(RunConfig))
        self._defaults = RunConfig().values()

    # -- layout -------------------------------------------------------------------------------------------------------

    def basic(self) -> None:
        """The settings that everybody sees."""
        basics = [setting for setting in self._settings if setting.knob.level == "basic"]
        order = sorted(basics, key=lambda setting: (setting.path not in BY_NAME, setting.path != KIND))
        with gr.Column(elem_classes="fields basics"):
            for setting in order:
                self._add(setting)

    def advanced(self) -> None:
        """All others, folded away by section."""
        left = [setting for setting in self._settings if setting.knob.level != "basic"]
        for name, title, beginnings in (*SECTIONS, OTHER):
            here = [setting for setting in left if setting.path.startswith(beginnings)]
            left = [setting for setting in left if setting not in here]
            if here:
                with self._accordion(name, title, here), gr.Column(elem_classes="fields"):
                    for setting in here:
                        self._add(setting, section=len(self.sections) - 1)

    def _accordion(self, name: str, title: Text, settings: Sequence[Setting]) -> gr.Accordion:
        shown = self._any(settings, self._defaults)
        made = gr.Accordion(
            self.shell.text(title), open=False, visible=shown, elem_id=f"fold-{name}", elem_classes="section"
        )
        self.sections.append(made)
        self.titles.append(title)
        return made

    def _add(self, setting: Setting, section: int | None = None) -> None:
        twins = sum(field.setting.path == setting.path for field in self.fields)  # of other variants
        name = slug(setting.path) + (f"-{setting.when[0].values[0]}" if twins else "")
        self.fields.append(Field(setting, name, self._widget(setting, name), section))

    # -- what depends on other values -----------------------------------------------------------------------------------

    def bind(self) -> None:
        """Show what counts beside the values that decide of it, whenever one of them changes; called once."""
        depend = [field for field in self.fields if field.setting.when]
        inside = [[f.setting for f in self.fields if f.section == n] for n in range(len(self.sections))]
        folds = [n for n, settings in enumerate(inside) if all(setting.when for setting in settings)]

        def follow(*values: Any) -> Any:
            nested = self.beside(values)
            updates = [gr.update(visible=field.setting.applies(nested)) for field in depend]
            updates += [gr.update(visible=self._any(inside[n], nested)) for n in folds]
            return updates if len(updates) != 1 else updates[0]

        if depend:
            given, outputs = [field.widget for field in self.deciding], [field.widget for field in depend]
            outputs += [self.sections[n] for n in folds]
            gr.on([one.change for one in given], self.shell.safe(follow), given, outputs, **QUIET)

    @property
    def deciding(self) -> list[Field]:
        """The fields that decide whether others count."""
        paths = {one.path for field in self.fields for one in field.setting.when}
        return [field for field in self.fields if field.setting.path in paths]

    def beside(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of `deciding`, nested: enough for `Setting.applies`."""
        return _nested(list(zip(self.deciding, values, strict=True)))

    @staticmethod
    def _any(settings: Sequence[Setting], nested: Mapping[str, Any]) -> bool:
        return any(setting.applies(nested) for setting in settings)

    def _widget(self, setting: Setting, name: str) -> Any:
        text, label = self.shell.text, setting.knob.label
        if setting.knob.unit:
            label = Text("{label} ({unit})", "{label}（{unit}）").with_(label=label, unit=setting.knob.unit)
        common = {
            "label": text(label),
            "info": text(_help(setting)),
            "elem_id": f"field-{name}",
            "elem_classes": ["field", "wide"] if setting.kind in ("texts", "rows") else ["field"],
            "visible": setting.applies(self._defaults),
            "interactive": True,
        }
        value = show_value(setting, setting.default)
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
        lines = 4 if setting.knob.level == "basic" or setting.kind == "rows" else 1
        return gr.Textbox(value, lines=lines if setting.kind in ("texts", "rows") else 1, max_lines=8, **common)

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

    def field(self, path: str, nested: Mapping[str, Any] | None = None) -> Field:
        """The field of a setting; beside these values, where several variants have one of this name."""
        found = [field for field in self.fields if field.setting.path == path]
        return next((field for field in found if nested is not None and field.setting.applies(nested)), found[0])

    def read(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values that count as nested dictionaries, in the shape of YAML; unchecked."""
        return _nested(list(zip(self.fields, values, strict=True)))

    def show(self, config: dict[str, Any]) -> list[Any]:
        """One value a widget for the nested values of a whole config; what does not count beside them gets its default."""
        shown = []
        for field in self.fields:
            value = value_at(config, field.setting.path) if field.setting.applies(config) else None
            kept = field.setting.default if value is None and not field.setting.optional else value
            shown.append(show_value(field.setting, kept))
        return shown

    # -- problems -----------------------------------------------------------------------------------------------------

    @property
    def slots(self) -> list[Any]:
        """What `mark` updates: the sentences at the fields, then the sections that may have to open."""
        return [self.marks.said, *self.sections]

    def mark(
        self,
        problems: Sequence[Problem],
        nested: Mapping[str, Any],
        lang: str,
        shown: dict[str, str],
        reveal: bool = False,
    ) -> tuple[list[Any], dict]:
        """Updates for `slots`, and what is shown now (field's name to sentence); what did not change is skipped.

        A section opens when something in it becomes wrong; with `reveal` also one that was closed again.
        """
        now: dict[str, str] = {}
        opened: set[int | None] = set()
        for field in self.fields:
            if field.setting.applies(nested):
                here = [problem for problem in problems if _is_of(problem, field)]
                if here:
                    now[field.name] = ("" if lang == "zh" else " ").join(sentence(problem, lang) for problem in here)
                    opened |= {field.section} if reveal or field.name not in shown else set()
        updates: list[Any] = [gr.skip() if now == shown else self.marks.value(now)]
        updates += [gr.update(open=True) if i in opened else gr.skip() for i in range(len(self.sections))]
        return updates, now

    def place(self, path: str, nested: Mapping[str, Any]) -> Text | None:
        """Where a setting stands, as people find it: "Adapter › Rank (r)"; None when it has no field."""
        for field in self.fields:
            if field.setting.path == path and field.setting.applies(nested):
                label = field.setting.knob.label
                if field.section is None:
                    return label
                return _PLACE.with_(section=self.titles[field.section], label=label)
        return None

    def elsewhere(self, problems: Sequence[Problem], nested: Mapping[str, Any]) -> list[Problem]:
        """Problems that belong to no field of the form."""
        here = [field for field in self.fields if field.setting.applies(nested)]
        return [problem for problem in problems if not any(_is_of(problem, field) for field in here)]

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


def _help(setting: Setting) -> Text:
    """What a setting does, and its usual value where that can be said in a word."""
    default = setting.default
    if setting.path in BY_NAME or setting.kind in ("texts", "rows", "text") or default in (None, ""):
        return setting.knob.help
    usual = same(str(show_value(setting, default)))
    if setting.kind == "choice":
        usual = next(name for key, name in setting.choices if key == default)
    elif setting.kind == "switch":
        usual = Text("on", "开") if default else Text("off", "关")
    return _USUAL.with_(help=setting.knob.help, usual=usual)


def _nested(given: Sequence[tuple[Field, Any]]) -> dict[str, Any]:
    """Those of the widgets' values that count beside the others, nested, in the order in which they are given."""
    nested: dict[str, Any] = {}
    counts = set()
    for index in sorted(range(len(given)), key=lambda index: len(given[index][0].setting.when)):
        field, value = given[index]
        if field.setting.applies(nested):
            counts.add(index)
            _place(nested, field.setting, value)
    ordered: dict[str, Any] = {}
    for index in sorted(counts):
        _place(ordered, given[index][0].setting, given[index][1])
    return ordered


def _place(nested: dict[str, Any], setting: Setting, value: Any) -> None:
    section, _, name = setting.path.rpartition(".")
    inside = nested.setdefault(section, {}) if section else nested
    inside[name] = read_value(setting, value)


def _is_of(problem: Problem, field: Field) -> bool:
    """Whether a problem stands at a field; what is wrong in a row stands at the list."""
    path = field.setting.path
    return problem.field == path or (field.setting.kind == "rows" and str(problem.field).startswith(f"{path}."))


def read_value(setting: Setting, value: Any) -> Any:
    """A widget's value as the config expects it; what makes no sense stays as it is and is refused there."""
    if setting.kind == "texts":
        text = str(value or "")
        parts = text.splitlines() if setting.knob.level == "basic" else text.replace("\n", ",").split(",")
        return [part.strip() for part in parts if part.strip()]
    if setting.kind == "rows":
        return _read_rows(str(value or ""))
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
    if setting.kind == "rows":
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in value or [])
    if setting.kind == "number" and isinstance(value, float) and value.is_integer():
        return int(value)
    return "" if value is None else value


def _read_rows(text: str) -> Any:
    """Rows as they are typed: one a line, `kind=length weight=0.5` or as JSON; what is neither is refused by the config."""
    rows: list[Any] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        words = [word.partition("=") for word in line.split()]
        try:
            rows.append(read_yaml(line, "") if line[0] == "{" else {name: read_yaml(v, "") for name, _, v in words})
        except WorkbenchError:
            rows.append(line)
    return rows


def sentence(problem: Problem, lang: str) -> str:
    """A problem without the name of its field, which stands above it."""
    return WorkbenchError(problem.message, problem.hint).to(lang)


def slug(path: str) -> str:
    """A dotted path as the page's ids have it."""
    return path.replace(".", "-")
