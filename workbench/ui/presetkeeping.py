"""Below the list of presets: keep the settings as a preset of one's own, take them home as YAML, bring some, delete one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.config.run import RunConfig
from workbench.config.text import Text, listed
from workbench.ui import html
from workbench.ui.shell import Shell
from workbench.ui.tabtools import TOLD, confirm, panel

_TITLE = Text("Your own presets", "你自己的预设")
_NAME = Text("Name", "名称")
_NAME_HELP = Text(
    "Keeps all settings of this form in the list above; the name of a preset of your own replaces it. A YAML file that you "
    "bring never replaces one: it gets a number where its name is taken.",
    "把表单中的所有设置保存到上面的列表里；若与自己已有的预设同名，则替换它。导入的 YAML 文件不会替换已有预设，重名时自动加编号。",
)
_SAVE = Text("Save as a preset", "保存为预设")
_TAKE = Text("Download as YAML", "下载为 YAML")
_BRING = Text("Bring a YAML file", "导入 YAML 文件")
_DELETE = Text("Delete this preset", "删除这个预设")
_SURE = Text("Delete", "删除")
_QUESTION = Text("Delete the preset “{name}”? This cannot be undone.", "删除预设“{name}”？此操作无法撤销。")
_SAVED = Text("Saved as “{name}”. It is in the list above.", "已保存为“{name}”，可在上面的列表中找到。")
_BROUGHT = Text("Brought as “{name}”; the form shows it.", "已导入为“{name}”，表单显示的就是它。")
_GONE = Text("Deleted.", "已删除。")
_UNREADABLE = Text(
    "Of your own presets these can't be read, and are not in the list: {names}.",
    "你自己的预设中，以下无法读取，未列出：{names}。",
)
_WRONG = Text("{file}: {why}", "{file}：{why}")

# The form's YAML as a file, made by the browser: nothing of it has to lie on the server.
_DOWNLOAD = """yaml => {
  if (!yaml) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([yaml], { type: 'application/yaml' }));
  link.download = 'run.yaml';
  link.click();
  URL.revokeObjectURL(link.href);
}"""


class PresetKeeper:
    """The section. `bind` when the form is whole."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        with gr.Accordion(shell.text(_TITLE), open=False, elem_id="fold-presets", elem_classes="section"):
            self.name = gr.Textbox(
                label=shell.text(_NAME), info=shell.text(_NAME_HELP), max_lines=1, elem_id="preset-name",
            )  # fmt: skip
            with gr.Row():
                self.save = gr.Button(shell.text(_SAVE), size="sm", scale=0, min_width=150, elem_id="preset-save")
                self.take = gr.Button(shell.text(_TAKE), size="sm", scale=0, min_width=150, elem_id="preset-take")
                self.bring = gr.UploadButton(
                    shell.text(_BRING), file_types=[".yaml", ".yml"], size="sm", scale=0,
                    min_width=150, elem_id="preset-bring",
                )  # fmt: skip
                ask = gr.Button(
                    shell.text(_DELETE), size="sm", scale=0, min_width=150, visible=False, elem_id="preset-delete"
                )
            self.sure = confirm(shell, ask, _SURE, "preset-delete")
            self.note = panel("preset-note")

    def bind(
        self,
        yaml: gr.Textbox,
        given: list[Any],
        outputs: list[Any],
        read: Callable[[Sequence[Any]], RunConfig],
        use: Callable[..., list[Any]],
        seen: Callable[[Any], None],
        chosen: Callable[[str], str],
    ) -> None:
        """React.

        Args:
            yaml: shows the form's settings as YAML, where they are right.
            given: what the form is read from, the visitor first.
            outputs: what shows another preset.
            read: makes a config of `given`.
            use: the outputs' values after a preset was chosen; called with its id, the language and `given`.
            seen: called with each event that changes the form.
            chosen: gives the preset that a visitor's draft has.
        """
        shell = self._shell
        told = [*outputs, self.note, self.sure.ask, self.sure.row]

        def shown(preset_id: str, words: list[Text], lang: str, values: Sequence[Any]) -> list[Any]:
            said = [html.note(text.to(lang)) for text in (*words, *self._damaged(lang))]
            own = any(one.id == preset_id and one.own for one in shell.engine.presets())
            return [*use(preset_id, lang, *values), html.join(said), gr.Button(visible=own), gr.Column(visible=False)]

        def save(name: str, *values: Any, request: gr.Request) -> Any:
            preset = shell.engine.save_preset(name, read(values))
            return shown(preset.id, [_SAVED.with_(name=preset.title)], shell.lang(request), values)

        def bring(file: str, *values: Any, request: gr.Request) -> Any:
            preset = shell.engine.add_preset(Path(file).read_bytes(), Path(file).name)
            return shown(preset.id, [_BROUGHT.with_(name=preset.title), *preset.notes], shell.lang(request), values)

        def ask(visitor: str, request: gr.Request) -> Any:
            preset = shell.engine.preset(chosen(visitor))
            return gr.Column(visible=True), html.esc(_QUESTION.with_(name=preset.title).to(shell.lang(request)))

        def delete(*values: Any, request: gr.Request) -> Any:
            shell.engine.delete_preset(chosen(values[0]))
            return shown("", [_GONE], shell.lang(request), values)

        seen(self.save.click(shell.safe(save), [self.name, *given], told, **TOLD))
        seen(self.bring.upload(shell.safe(bring), [self.bring, *given], told, **TOLD))
        self.take.click(None, yaml, None, js=_DOWNLOAD)
        self.sure.ask.click(shell.safe(ask), given[0], [self.sure.row, self.sure.question], **TOLD)
        seen(self.sure.yes.click(shell.safe(delete), given, told, **TOLD))

    def shown(self, preset_id: str) -> Any:
        """How the button looks that deletes the chosen one."""
        return gr.Button(visible=any(one.id == preset_id and one.own for one in self._shell.engine.presets()))

    def _damaged(self, lang: str) -> list[Text]:
        found = self._shell.engine.damaged_presets()
        names = [_WRONG.with_(file=file, why=error.message) for file, error in found.items()]
        return [_UNREADABLE.with_(names=listed(names))] if names else []
