"""A reliability diagram as SVG: how often a prompt was harmful, for each score that it got."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from safety.prompt.calibration import Scores

BINS = 10
_SIDE, _LEFT, _TOP, _LEGEND = 360, 60, 20, 230
_COLOURS = ("#1b6ca8", "#c0392b", "#27864a", "#8e44ad", "#d68910", "#5d6d7e", "#117a65", "#a04000")


def reliability_svg(series: Mapping[str, tuple[Scores, NDArray[np.bool_]]]) -> str:
    """Diagram of `series`: by name, scores in [0, 1] and whether each row was harmful. A dot's area is its rows."""
    parts = [_frame()]
    for number, (name, (scores, harmful)) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        bins = np.minimum((scores * BINS).astype(int), BINS - 1)
        points = [
            (float(scores[bins == b].mean()), float(harmful[bins == b].mean()), int((bins == b).sum()))
            for b in range(BINS)
            if (bins == b).sum() >= 5
        ]
        path = " ".join(f"{_x(score):.1f},{_y(rate):.1f}" for score, rate, _ in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for score, rate, count in points:
            radius = min(9.0, 1.5 + count**0.5 / 4)
            parts.append(f'<circle cx="{_x(score):.1f}" cy="{_y(rate):.1f}" r="{radius:.1f}" fill="{colour}"/>')
        top = _TOP + 14 + 18 * number
        left = _LEFT + _SIDE + 20
        parts.append(f'<rect x="{left}" y="{top - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{left + 16}" y="{top}">{name}, {len(scores)} rows</text>')
    width, height = _LEFT + _SIDE + _LEGEND, _TOP + _SIDE + 50
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">\n'
        '<title>Reliability of the prompt classifier</title>\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _frame() -> str:
    ticks = []
    for tenth in range(0, 11, 2):
        value = tenth / 10
        ticks.append(f'<text x="{_x(value):.0f}" y="{_y(0) + 16:.0f}" text-anchor="middle">{value:.1f}</text>')
        ticks.append(f'<text x="{_LEFT - 8}" y="{_y(value) + 4:.0f}" text-anchor="end">{value:.1f}</text>')
    return "\n".join(
        [
            f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#444"/>',
            f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="#999" stroke-dasharray="4 4"/>',
            f'<text x="{_x(0.5):.0f}" y="{_y(0) + 36:.0f}" text-anchor="middle">score</text>',
            f'<text x="16" y="{_y(0.5):.0f}" text-anchor="middle" transform="rotate(-90 16 {_y(0.5):.0f})">'
            "share that is harmful</text>",
            *ticks,
        ]
    )


def _x(value: float) -> float:
    return _LEFT + _SIDE * value


def _y(value: float) -> float:
    return _TOP + _SIDE * (1 - value)
