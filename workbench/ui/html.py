"""Small pieces of HTML, escaped. Everything that a caller hands in is text unless another function here made it.

The pieces know nothing about the engine or the language; callers pass strings in the reader's language. `both` is for
pieces that are made when the page is built and have no reader yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from workbench.config.text import Text
from workbench.config.text import size as size  # the page says sizes as every sentence does

# As it stands in escaped text: no sign of it ends the attribute that it is put into.
_ADDRESS = re.compile(r"https?://[A-Za-z0-9:._~/%-]*[A-Za-z0-9_~/-]", re.ASCII)


class Markup(str):
    """HTML made here, which is not escaped again."""

    __slots__ = ()


def esc(value: object) -> Markup:
    """Text made safe for HTML; `Markup` stays as it is."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Pieces one after the other."""
    return Markup(esc(between).join(esc(part) for part in parts))


def both(text: Text) -> Markup:
    """Both languages; the style sheet shows the one of the page."""
    return Markup(f'<span class="lang-en">{esc(text.to("en"))}</span><span class="lang-zh">{esc(text.to("zh"))}</span>')


def lead(text: object) -> Markup:
    """The sentence at the top of a tab."""
    return Markup(f'<p class="lead">{esc(text)}</p>')


def note(text: object) -> Markup:
    """A quiet remark, also for an empty place that says what will come."""
    return Markup(f'<p class="note">{esc(text)}</p>')


def linked(text: object) -> Markup:
    """Text in which each web address is a link that opens in a new window."""
    link = r'<a href="\g<0>" target="_blank" rel="noopener noreferrer">\g<0></a>'
    return Markup(_ADDRESS.sub(link, esc(text)))


def dot(kind: str = "") -> Markup:
    """A status dot: "" (working), "idle", "warn", "no"."""
    return Markup(f'<i class="dot {esc(kind)}"></i>')


def line(text: object, after: object = "") -> Markup:
    """A quiet remark of one line; where there is no room for `text`, it is shortened and `after` stays."""
    rest = f"<span>· {esc(after)}</span>" if after else ""
    return Markup(f'<p class="note line"><span class="chip-text" title="{esc(text)}">{esc(text)}</span>{rest}</p>')


def chip(
    text: object,
    *,
    kind: str | None = None,
    extra: object = "",
    elem_id: str = "",
    off: bool = False,
    title: object = "",
    button: object = "",
) -> Markup:
    """A small pill.

    Args:
        kind: puts a dot before the text.
        extra: comes after it (a meter), and stays when the text is shortened.
        off: hides the pill on a phone.
        title: the whole text, where it may have to be shortened.
        button: makes it one, and says what it does.
    """
    before = dot(kind) if kind is not None else ""
    name = f' id="{esc(elem_id)}"' if elem_id else ""
    style = "chip off" if off else "chip"
    whole = f' title="{esc(title)}"' if title else ""
    does = f' type="button" title="{esc(button)}"' if button else ""
    tag = "button" if button else "span"
    return Markup(
        f'<{tag} class="{style}"{name}{does}>{before}<span class="chip-text"{whole}>{esc(text)}</span>{esc(extra)}</{tag}>'
    )


def meter(share: float, label: object = "") -> Markup:
    """A tiny bar, `share` between 0 and 1."""
    percent = _percent(share)
    kind = "full" if percent >= 90 else ""
    return Markup(
        f'<span class="meter {kind}" role="img" aria-label="{esc(label)}" title="{esc(label)}"><i style="width:{percent:.0f}%"></i></span>'
    )


def badge(text: object, kind: str = "") -> Markup:
    """A word on a coloured ground: "" (good), "tight" (amber), "no" (red), "plain" (grey)."""
    return Markup(f'<span class="badge {esc(kind)}">{esc(text)}</span>')


def card(title: object, *body: object, on: bool = False, kind: str = "") -> Markup:
    """A framed card with a heading; strings of the body become paragraphs."""
    inner = join(part if isinstance(part, Markup) else Markup(f"<p>{esc(part)}</p>") for part in body if part)
    head = f"<h2>{esc(title)}</h2>" if title else ""
    return Markup(f'<div class="card {"on" if on else ""} {esc(kind)}">{head}{inner}</div>')


def grid(cards: Iterable[object]) -> Markup:
    """Cards beside each other, as many as fit."""
    return Markup(f'<div class="grid">{join(cards)}</div>')


def two(left: object, right: object) -> Markup:
    """Two pieces side by side, one above the other on a phone."""
    return Markup(f'<div class="two">{esc(left)}{esc(right)}</div>')


def kpis(tiles: Iterable[Sequence[object]]) -> Markup:
    """Tiles for the numbers that people look at: label and value, and what the number is where that needs saying."""
    return Markup(f'<div class="kpis">{join(_kpi(*tile) for tile in tiles)}</div>')


def _kpi(label: object, value: object, about: object = "") -> Markup:
    title = f' title="{esc(about)}"' if about else ""
    return Markup(f'<div class="kpi"{title}><small>{esc(label)}</small><b>{esc(value)}</b></div>')


def facts(rows: Iterable[tuple[object, object]]) -> Markup:
    """A list of label and value, one a line."""
    made = (f"<div><dt>{esc(label)}</dt><dd>{esc(value)}</dd></div>" for label, value in rows)
    return Markup(f'<dl class="facts">{"".join(made)}</dl>')


def progress(share: float | None, left: object, right: object = "") -> Markup:
    """A progress bar with a line above it; `share` None: it moves, but nobody knows how far."""
    width, kind = (f"width:{_percent(share):.1f}%", "") if share is not None else ("", "unknown")
    value = f' aria-valuenow="{_percent(share):.0f}"' if share is not None else ""
    return Markup(
        f'<div class="state"><b>{esc(left)}</b><span>{esc(right)}</span></div>'
        f'<div class="prog {kind}" role="progressbar" aria-valuemin="0" aria-valuemax="100"{value}'
        f' aria-label="{esc(left)}"><i style="{width}"></i></div>'
    )


def verdict(headline: object, sentence: object = "", kind: str = "") -> Markup:
    """What it means, in a sentence: "" (good), "warn" (amber), "no" (red)."""
    between = "" if str(headline).endswith("。") else " "
    bold = Markup(f"<b>{esc(headline)}</b>{between}" if headline else "")
    return Markup(f'<div class="verdict {esc(kind)}" role="status">{bold}{esc(sentence)}</div>')


def tokens(pieces: Iterable[tuple[str, bool, bool]]) -> Markup:
    """Text as the model reads it: (text, learned, cut) pieces."""
    made = (
        f'<span class="{"c" if cut else "l" if learned else "i"}">{esc(text)}</span>' for text, learned, cut in pieces
    )
    return Markup(f'<div class="card tok">{"".join(made)}</div>')


def scrolled(text: object, label: object) -> Markup:
    """A long text in a window of its own; the keyboard reaches it, too, and scrolls in it."""
    return Markup(f'<pre tabindex="0" role="region" aria-label="{esc(label)}">{esc(text)}</pre>')


def short(text: str, length: int) -> str:
    """The beginning of a long text, for a button or a list."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def amount(count: float) -> str:
    """A large count in short: `4.2M`, `135M`, `1.2B`."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= 0.9995 * limit:  # else it would be rounded to a thousand of the smaller unit
            value = count / limit
            return f"{value:.1f}{unit}" if value < 10 else f"{value:.0f}{unit}"
    return f"{count:.0f}"


def duration(seconds: float) -> Text:
    """About how long: seconds, minutes, hours."""
    if seconds < 90:
        return Text("{n} s", "{n} 秒").with_(n=max(1, round(seconds)))
    if seconds < 90 * 60:
        return Text("{n} min", "{n} 分钟").with_(n=round(seconds / 60))
    return Text("{n} h", "{n} 小时").with_(n=f"{seconds / 3600:.1f}")


def _percent(share: float) -> float:
    return max(0.0, min(1.0, share)) * 100
