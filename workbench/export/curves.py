"""A run's curves as a picture for its card: an SVG that stands by itself, written here, the same for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

CURVES = "curves.svg"  # the picture's name beside the card
_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 45
_COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#64748b")
_MOST_POINTS = 400  # of a curve: more than a picture of this width shows


def draw_curves(curves: Mapping[str, Sequence[tuple[float, float]]], across: str = "step") -> str | None:
    """The SVG of some curves with axes and a legend; None where there is nothing to draw.

    Args:
        curves: each with its name and its points (step, value), by step; what is no finite number is left out.
        across: what the horizontal axis counts.
    """
    drawn: dict[str, list[tuple[float, float]]] = {}
    for name, points in curves.items():
        good = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y) and abs(y) < 1e30]
        if good:
            drawn[name] = _thinned(good)
    drawn = dict(list(drawn.items())[: len(_COLOURS)])
    if not drawn:
        return None
    everything = [point for points in drawn.values() for point in points]
    low_x, high_x = _span([x for x, _ in everything])
    low_y, high_y = _span([y for _, y in everything])
    ticks_x, ticks_y = _ticks(low_x, high_x), _ticks(low_y, high_y)

    def place(x: float, y: float) -> tuple[float, float]:
        across_part, up = (x - low_x) / (high_x - low_x), (y - low_y) / (high_y - low_y)
        right, top = _WIDTH - _RIGHT, _TOP
        return _LEFT + across_part * (right - _LEFT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _BOTTOM - top)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        f' role="img" font-family="sans-serif" font-size="12" fill="#334155">',
        f"<title>{escape(', '.join(drawn))}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    for value in ticks_y:
        _, y = place(low_x, value)
        lines.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#e2e8f0"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    for value in ticks_x:
        x, _ = place(value, low_y)
        lines.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{value:.6g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    lines.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>')
    for number, (name, points) in enumerate(drawn.items()):
        lines += _curve(name, [place(*point) for point in points], number, len(drawn))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _curve(name: str, places: list[tuple[float, float]], number: int, count: int) -> list[str]:
    """A line, or a dot where there is one point, and its entry in the legend."""
    colour = _COLOURS[number]
    x = _LEFT + number * (_WIDTH - _LEFT - _RIGHT) / count
    legend = f'<path d="M{x:.0f} 20h18" stroke="{colour}" stroke-width="3"/><text x="{x + 24:.0f}" y="24">{escape(name)}</text>'
    if len(places) == 1:
        (left, top) = places[0]
        return [f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" fill="{colour}"/>', legend]
    line = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
    return [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>', legend]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Few enough points: the means of as many neighbours as need be, between the first and the last as they are."""
    if len(points) <= _MOST_POINTS:
        return points
    size = -(-(len(points) - 2) // (_MOST_POINTS - 2))
    inner = [points[start : min(start + size, len(points) - 1)] for start in range(1, len(points) - 1, size)]
    means = [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in inner]
    return [points[0], *means, points[-1]]


def _span(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    margin = abs(low) * 0.1 or 1.0  # all the same: in the middle
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Some four to eight round numbers within a span."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]
