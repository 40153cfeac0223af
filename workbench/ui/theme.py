"""The look: one accent (teal) on warm neutral grey, hairline cards without shadow, system fonts with a Chinese fallback.

Colours stand here once; `style.css` uses them through Gradio's CSS variables and the `--wb-*` ones made below. Text on its
ground reaches WCAG AA (4.5 : 1) in light and dark; a test computes it from `PALETTE`.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FONT = ["system-ui", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "sans-serif"]
MONO = ["ui-monospace", "Noto Sans Mono CJK SC", "Consolas", "monospace"]

# name: (light, dark)
PALETTE = {
    "ground": ("#faf9f7", "#171614"),
    "surface": ("#ffffff", "#1f1e1b"),
    "raised": ("#f1efea", "#2b2925"),
    "line": ("#e7e3dc", "#35332e"),
    "input-line": ("#8f877a", "#746e64"),
    "text": ("#1c1917", "#f5f5f4"),
    "quiet": ("#57534e", "#b3ada3"),
    "accent": ("#0f766e", "#2dd4bf"),
    "fill": ("#0f766e", "#0f766e"),
    "fill-hover": ("#115e59", "#115e59"),
    "on-fill": ("#ffffff", "#ffffff"),
    "good-ground": ("#ccfbf1", "#134e4a"),
    "good-text": ("#115e59", "#99f6e4"),
    "warn": ("#b45309", "#f59e0b"),
    "warn-ground": ("#fef3c7", "#78350f"),
    "warn-text": ("#92400e", "#fde68a"),
    "no": ("#b91c1c", "#f87171"),
    "no-ground": ("#fee2e2", "#7f1d1d"),
    "no-text": ("#991b1b", "#fecaca"),
    "learned": ("#99f6e4", "#115e59"),
    "learned-text": ("#134e4a", "#ccfbf1"),
}

# Gradio's names for them; each is set for light and dark.
_GRADIO = {
    "body_background_fill": "ground",
    "body_text_color": "text",
    "body_text_color_subdued": "quiet",
    "background_fill_primary": "surface",
    "background_fill_secondary": "raised",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "color_accent_soft": "good-ground",
    "block_background_fill": "surface",
    "block_border_color": "line",
    "block_info_text_color": "quiet",
    "block_label_text_color": "quiet",
    "block_title_text_color": "text",
    "input_background_fill": "surface",
    "input_border_color": "input-line",
    "input_border_color_focus": "accent",
    "input_border_color_hover": "quiet",
    "input_placeholder_color": "quiet",
    "button_primary_background_fill": "fill",
    "button_primary_background_fill_hover": "fill-hover",
    "button_primary_border_color": "fill",
    "button_primary_border_color_hover": "fill-hover",
    "button_primary_text_color": "on-fill",
    "button_secondary_background_fill": "raised",
    "button_secondary_background_fill_hover": "line",
    "button_secondary_text_color": "text",
    "button_secondary_border_color": "line",
    "checkbox_border_color": "input-line",
    "checkbox_border_color_selected": "fill",
    "checkbox_background_color_selected": "fill",
    "checkbox_label_background_fill": "surface",
    "checkbox_label_background_fill_selected": "good-ground",
    "checkbox_label_text_color_selected": "good-text",
    "checkbox_label_border_color": "line",
    "checkbox_label_border_color_selected": "accent",
    "slider_color": "fill",
    "loader_color": "accent",
    "link_text_color": "accent",
    "link_text_color_hover": "accent",
    "link_text_color_visited": "accent",
    "link_text_color_active": "accent",
    "error_text_color": "no",
    "error_border_color": "no",
    "table_border_color": "line",
    "table_even_background_fill": "surface",
    "table_odd_background_fill": "ground",
    "code_background_fill": "raised",
    "panel_background_fill": "surface",
    "accordion_text_color": "text",
    "table_text_color": "text",
}


def theme() -> gr.themes.Base:
    """The theme that `launch` gets."""
    base = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        font=FONT,
        font_mono=MONO,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
    )
    colours: dict[str, str] = {}
    for name, ours in _GRADIO.items():
        colours[name], colours[f"{name}_dark"] = PALETTE[ours]
    colours["color_accent"] = PALETTE["accent"][0]
    return base.set(
        **colours,
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_title_text_weight="600",
        block_radius="10px",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="0 0 0 2px color-mix(in srgb, var(--wb-accent) 25%, transparent)",
        layout_gap="14px",
        form_gap_width="0px",
        panel_border_width="0px",
        section_header_text_weight="600",
        button_primary_shadow="none",
        button_secondary_shadow="none",
        shadow_drop="none",
        shadow_drop_lg="0 2px 10px rgb(0 0 0 / .08)",
    )


def css() -> str:
    """The style sheets, with the palette as variables before it."""
    blocks = []
    for selector, index in ((":root", 0), (".dark", 1)):
        lines = "".join(f"--wb-{name}:{pair[index]};" for name, pair in PALETTE.items())
        blocks.append(f"{selector}{{{lines}}}")
    files = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("pieces.css", "style.css"))
    return "\n".join([*blocks, *files])
