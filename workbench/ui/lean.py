"""A page without what Gradio sends of every component and its own script never reads.

Half of a page's config says, for each component: its types as its API describes them (three times, and an example), a digest of
its class, and switches that only other kinds have. The API's page (`/info`) needs the types of what public endpoints take and
give; those stay.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

TYPES = ("api_info_as_input", "api_info_as_output")
OFF = ("_retryable", "_undoable", "_selectable", "likeable", "streamable")  # what is off is as if it were not there
# What the script of a kind takes where nothing is said (gradio 6.31.0, `HTML-*.js`): the page holds eighty of these.
USUAL: dict[str, dict[str, Any]] = {
    "html": {
        "html_template": "${value}", "css_template": "", "apply_default_css": True, "buttons": [], "props": {},
        "elem_classes": [], "autoscroll": False, "show_label": False, "component_class_name": "HTML",
    }
}  # fmt: skip


class LeanBlocks(gr.Blocks):
    """A `gr.Blocks` whose config says only what somebody reads."""

    def get_config_file(self) -> Any:
        config = super().get_config_file()
        public = _public(config)
        return {**config, "components": [lean(one, one["id"] in public) for one in config["components"]]}


def lean(component: dict[str, Any], public: bool) -> dict[str, Any]:
    """A component's config; its types only where it is `public`."""
    made = {name: value for name, value in component.items() if name not in (*TYPES, "example_inputs", "key")}
    if component.get("key") is not None:
        made["key"] = component["key"]
    types = made.pop("api_info", None)
    if public:
        made |= {"api_info": types, **{name: component[name] for name in TYPES if component.get(name) != types}}
    if not str(component.get("component_class_id")).startswith("custom"):  # what is built in is known by its type
        made["component_class_id"] = component["type"]
    usual = USUAL.get(component["type"], {})
    kept = {
        name: value
        for name, value in component["props"].items()
        if (value or name not in OFF) and not (name in usual and usual[name] == value)
    }
    if component.get("key") is None:
        kept.pop("preserved_by_key", None)  # for what is drawn again under its key
    return {**made, "props": kept}


def _public(config: Any) -> set[int]:
    """Ids of the components that public endpoints take or give."""
    ends = [end for end in config["dependencies"] if end.get("api_visibility") == "public"]
    return {component for end in ends for component in (*end["inputs"], *end["outputs"])}
