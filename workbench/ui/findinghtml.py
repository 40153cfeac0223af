"""What an evaluation of a classification shows beside numbers: which labels are confused, and the surest mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.config.text import Text
from workbench.ui import html

MOST_LABELS = 10  # in a table; of more, the most frequent confusions are listed
LISTED = 8

_TITLE = Text("Which labels are confused", "哪些标签容易混淆")
_ABOUT = Text(
    "Rows kept back, at step {step}. Each line is a label, each column what the model said; right ones are on the diagonal.",
    "留出的样本，第 {step} 步。每一行是真实标签，每一列是模型的判断；对角线上是判断正确的。",
)
_LABEL = Text("label", "标签")
_OF_ALL = Text("right", "正确")
_CONFUSED = Text("{label} called {said}: {count}", "{label} 被判为 {said}：{count}")
_NONE = Text("Nothing was confused.", "没有混淆。")
_WRONG = Text("The surest mistakes", "最有把握的错误")
_WRONG_ABOUT = Text(
    "Often their own label is the mistake: look at them first.", "常常是样本自己的标签标错了：请先看看它们。"
)
_SAID = Text("{label}, and the model is {sure} sure of {said}", "标签是 {label}，模型有 {sure} 的把握认为是 {said}")


def shown(findings: Mapping[str, Any] | None, lang: str) -> html.Markup:
    """The table and the mistakes of the last evaluation; nothing where there are none."""
    if not findings:
        return html.Markup("")
    labels, table = [str(label) for label in findings["labels"]], findings["table"]
    made = [
        html.Markup(f"<h2>{html.esc(_TITLE.to(lang))}</h2>"),
        html.note(_ABOUT.with_(step=findings["step"]).to(lang)),
    ]
    made.append(_table(labels, table, lang) if len(labels) <= MOST_LABELS else _listed(labels, table, lang))
    wrong = findings.get("wrong") or []
    if wrong:
        made += [html.Markup(f"<h2>{html.esc(_WRONG.to(lang))}</h2>"), html.note(_WRONG_ABOUT.to(lang))]
        mistakes = html.join([_mistake(one, lang) for one in wrong])
        made.append(html.Markup(f'<div class="mistakes">{mistakes}</div>'))
    return html.join(made)


def _table(labels: list[str], table: list[list[int]], lang: str) -> html.Markup:
    head = "".join(f'<th scope="col">{html.esc(name)}</th>' for name in [_LABEL.to(lang), *labels, _OF_ALL.to(lang)])
    lines = []
    for place, (label, row) in enumerate(zip(labels, table, strict=True)):
        total = sum(row)
        cells = "".join(
            f'<td class="{"right" if at == place else "wrong" if count else "none"}"'
            f' style="--share: {count / total if total else 0:.2f}">{count}</td>'
            for at, count in enumerate(row)
        )
        share = f"{100 * row[place] / total:.0f} %" if total else "–"
        lines.append(f'<tr><th scope="row">{html.esc(label)}</th>{cells}<td>{share}</td></tr>')
    body = "".join(lines)
    return html.Markup(
        f'<div class="card scrolled-x" tabindex="0" role="region" aria-label="{html.esc(_TITLE.to(lang))}">'
        f'<table class="confusions"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _listed(labels: list[str], table: list[list[int]], lang: str) -> html.Markup:
    found = [
        (count, labels[own], labels[said])
        for own, row in enumerate(table)
        for said, count in enumerate(row)
        if own != said and count
    ]
    lines = [
        _CONFUSED.with_(label=own, said=said, count=count).to(lang)
        for count, own, said in sorted(found, key=lambda one: -one[0])[:LISTED]
    ]
    return html.card("", *(lines or [_NONE.to(lang)]))


def _mistake(one: Mapping[str, Any], lang: str) -> html.Markup:
    sure = f"{100 * float(one.get('share', 0)):.0f} %"
    said = _SAID.with_(label=str(one.get("label", "")), said=str(one.get("said", "")), sure=sure).to(lang)
    return html.Markup(
        f'<div class="card answer"><p>{html.esc(said)}</p><div>{html.esc(str(one.get("text", "")))}</div></div>'
    )
