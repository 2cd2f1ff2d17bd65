"""A small chart as inline SVG: one plot area, its axes and marks. Colours are classes, so the page's style sets them.

No library draws these: a figure here is a few kilobytes of markup that follows the reader's light or dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 30, 44
Numbers = Sequence[float | None]
Ticks = Sequence[tuple[float, str]]


class Chart:
    """Marks are drawn in the order given; None breaks a line and leaves out a point."""

    def __init__(
        self,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        x_label: str,
        y_label: str,
        *,
        x_ticks: Ticks | None = None,
        y_ticks: Ticks | None = None,
        height: int = HEIGHT,
        left: int = _LEFT,
        log_x: bool = False,
    ) -> None:
        self.title, self.height, self.left, self.log_x = title, height, left, log_x
        self.x, self.y = x, (y if y[1] > y[0] else (y[0], y[0] + 1))
        self.bottom = height - _BOTTOM
        self.marks: list[str] = []
        self.legend: list[tuple[str, str]] = []
        self._axes(x_ticks or ticks(*x), y_ticks or ticks(*self.y), x_label, y_label)

    def at_x(self, value: float) -> float:
        """Horizontal place of a value, in pixels."""
        low, high, value = (np.log(v) for v in (*self.x, value)) if self.log_x else (*self.x, value)
        return float(self.left + (value - low) / (high - low) * (WIDTH - _RIGHT - self.left))

    def at_y(self, value: float) -> float:
        """Vertical place of a value, in pixels."""
        low, high = self.y
        return float(self.bottom - (min(max(value, low), high) - low) / (high - low) * (self.bottom - _TOP))

    def line(self, x: Numbers, y: Numbers, style: str, name: str | None = None) -> None:
        """A line through the points."""
        self._named(name, style)
        for run in _runs(x, y):
            path = " ".join(f"{self.at_x(a):.1f},{self.at_y(b):.1f}" for a, b in run)
            self.marks.append(f'<polyline class="line {style}" points="{path}"/>')

    def band(self, x: Numbers, low: Numbers, high: Numbers, style: str) -> None:
        """The area between two curves; nothing where there is no interval."""
        upper = [(a, c) for a, b, c in zip(x, low, high, strict=True) if None not in (a, b, c)]
        lower = [(a, b) for a, b, c in zip(x, low, high, strict=True) if None not in (a, b, c)]
        outline = [(a, b) for a, b in [*upper, *reversed(lower)] if a is not None and b is not None]
        if outline:
            path = " ".join(f"{self.at_x(a):.1f},{self.at_y(b):.1f}" for a, b in outline)
            self.marks.append(f'<polygon class="band {style}" points="{path}"/>')

    def points(self, x: Numbers, y: Numbers, low: Numbers, high: Numbers, style: str, name: str | None = None) -> None:
        """Dots with vertical intervals."""
        self._named(name, style)
        for a, b, c, d in zip(x, y, low, high, strict=True):
            if a is None or b is None:
                continue
            if c is not None and d is not None:
                self._segment(self.at_x(a), self.at_y(c), self.at_x(a), self.at_y(d), f"whisker {style}")
            self.marks.append(f'<circle class="dot {style}" cx="{self.at_x(a):.1f}" cy="{self.at_y(b):.1f}" r="3"/>')

    def row(self, y: float, value: float, low: float | None, high: float | None, style: str, tip: str) -> None:
        """One line of a dot plot: a dot with a horizontal interval."""
        if low is not None and high is not None:
            inside = [self.at_x(min(max(end, self.x[0]), self.x[1])) for end in (low, high)]
            self._segment(inside[0], self.at_y(y), inside[1], self.at_y(y), f"whisker {style}")
        where = self.at_x(min(max(value, self.x[0]), self.x[1]))
        self.marks.append(
            f'<circle class="dot {style}" cx="{where:.1f}" cy="{self.at_y(y):.1f}" r="3.5">'
            f"<title>{escape(tip)}</title></circle>"
        )

    def bar(self, x: tuple[float, float], y: tuple[float, float], style: str) -> None:
        """A filled box between two values of each axis."""
        left, right, top, bottom = self.at_x(x[0]), self.at_x(x[1]), self.at_y(y[1]), self.at_y(y[0])
        self.marks.append(
            f'<rect class="bar {style}" x="{left + 0.5:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.5):.1f}" '
            f'height="{max(bottom - top, 0):.1f}"/>'
        )

    def rule(self, *, x: float | None = None, y: float | None = None, style: str = "guide") -> None:
        """A line across the plot at one value of an axis."""
        if x is not None:
            self._segment(self.at_x(x), _TOP, self.at_x(x), self.bottom, style)
        if y is not None:
            self._segment(self.left, self.at_y(y), WIDTH - _RIGHT, self.at_y(y), style)

    def name(self, name: str, style: str) -> None:
        """An entry of the legend."""
        self._named(name, style)

    def svg(self) -> str:
        """The chart as one `<svg>` element."""
        keys, left = [], float(self.left)
        for name, style in self.legend:
            keys.append(
                f'<rect class="key {style}" x="{left:.1f}" y="11" width="10" height="10" rx="2"/>'
                f'<text class="legend" x="{left + 14:.1f}" y="20">{escape(name)}</text>'
            )
            left += 26 + 6.1 * len(name)
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{escape(self.title)}">'
            + "".join(keys + self.marks)
            + "</svg>"
        )

    def _named(self, name: str | None, style: str) -> None:
        if name is not None and (name, style) not in self.legend:
            self.legend.append((name, style))

    def _segment(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        self.marks.append(f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def _axes(self, x_ticks: Ticks, y_ticks: Ticks, x_label: str, y_label: str) -> None:
        right = WIDTH - _RIGHT
        for value, text in y_ticks:
            self._segment(self.left, self.at_y(value), right, self.at_y(value), "grid")
            self.marks.append(
                f'<text class="tick end" x="{self.left - 6}" y="{self.at_y(value) + 3.5:.1f}">{escape(text)}</text>'
            )
        for value, text in x_ticks:
            self.marks.append(
                f'<text class="tick mid" x="{self.at_x(value):.1f}" y="{self.bottom + 15}">{escape(text)}</text>'
            )
        self._segment(self.left, self.bottom, right, self.bottom, "axis")
        middle = (self.left + right) / 2
        self.marks.append(f'<text class="label mid" x="{middle:.1f}" y="{self.height - 8}">{escape(x_label)}</text>')
        if y_label:
            height = (_TOP + self.bottom) / 2
            self.marks.append(
                f'<text class="label mid" transform="translate(12 {height:.1f}) rotate(-90)">{escape(y_label)}</text>'
            )


def ticks(low: float, high: float, about: int = 5) -> list[tuple[float, str]]:
    """Round values between two ends, with their texts."""
    if high <= low:
        return [(low, f"{low:g}")]
    raw = (high - low) / about
    size = 10.0 ** np.floor(np.log10(raw))
    step = float(size * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(factor * size - raw)))
    first = np.ceil(low / step - 1e-9)
    count = int(np.floor(high / step + 1e-9) - first) + 1
    return [(float((first + i) * step), f"{round(float((first + i) * step), 10):g}") for i in range(count)]


def _runs(x: Numbers, y: Numbers) -> list[list[tuple[float, float]]]:
    """The unbroken stretches of a line."""
    runs: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(x, y, strict=True):
        if a is None or b is None:
            runs.append([])
        else:
            runs[-1].append((a, b))
    return [run for run in runs if run]
