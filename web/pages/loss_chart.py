"""The loss curve as SVG: three series over the iterations, on a logarithmic axis.

Colours and type come from the page's style sheet by class, so that one drawing serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from farm.counts import format_count
from farm.database.models import LossPoint

WIDTH, HEIGHT = 720, 300  # of the drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 40, 36  # margins
MAX_DECADES = 8  # below the highest value; a loss that starts at 0 must not flatten the others
MAX_TICKS = 6
SERIES = (("content", "Content"), ("style", "Style"), ("tv", "Roughness"))
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class _Scale:
    """Map from iterations and losses to the drawing's units."""

    # Iterations.
    first: int
    last: int
    # Decades of the losses.
    low: int
    high: int

    def map_x(self, iteration: float) -> float:
        return LEFT + (iteration - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def map_y(self, loss: float) -> float:
        decades = math.log10(loss) if loss > 0 else self.low
        share = (max(decades, self.low) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def draw_losses(points: Sequence[LossPoint]) -> str:
    """Return an `svg` element, or nothing before there are two points and a loss above 0."""
    values = [value for point in points for value in (point.content, point.style, point.tv)]
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if len(points) < 2 or not positive or points[0].iteration == points[-1].iteration:
        return ""
    scale = _fit_scale(points, positive)
    parts = [
        *_draw_decades(scale),
        *_draw_iterations(scale),
        *_draw_levels(points, scale),
        *_draw_legend(),
    ]
    parts += [_draw_line(name, points, scale) for name, _ in SERIES]
    last = points[-1]
    label = (
        f"Losses over {format_count(last.iteration, 'iteration')}, lately: content {last.content:.2g}, "
        f"style {last.style:.2g}, roughness {last.tv:.2g}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="losses" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def _fit_scale(points: Sequence[LossPoint], positive: Sequence[float]) -> _Scale:
    high = math.ceil(math.log10(max(positive)))
    low = max(math.floor(math.log10(min(positive))), high - MAX_DECADES)
    return _Scale(points[0].iteration, points[-1].iteration, min(low, high - 1), high)


def _draw_decades(scale: _Scale) -> Iterator[str]:
    step = -(-(scale.high - scale.low) // MAX_TICKS)
    for decade in range(scale.low, scale.high + 1, step):
        y = scale.map_y(10.0**decade)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        power = f"10{str(decade).translate(SUPERSCRIPTS)}" if decade else "1"
        yield _draw_text(LEFT - 8, y + 4, power, "end")


def _draw_iterations(scale: _Scale) -> Iterator[str]:
    step = _choose_step((scale.last - scale.first) / 5)
    for iteration in range(-(-scale.first // step) * step, scale.last + 1, step):
        yield _draw_text(scale.map_x(iteration), HEIGHT - BOTTOM + 18, str(iteration), "middle")


def _choose_step(rough: float) -> int:
    """Return 1, 2 or 5 times a power of ten, at least `rough`."""
    power = 10 ** math.floor(math.log10(max(rough, 1)))
    return int(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough))


def _draw_levels(points: Sequence[LossPoint], scale: _Scale) -> Iterator[str]:
    """Draw a mark where the picture grows to its next size."""
    for before, after in pairwise(points):
        if after.level != before.level:
            x = scale.map_x(before.iteration)
            yield f'<line class="level" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'


def _draw_legend() -> Iterator[str]:
    x = LEFT
    for name, title in SERIES:
        yield f'<line class="{name}" x1="{x}" x2="{x + 22}" y1="16" y2="16"/>'
        yield _draw_text(x + 30, 20, title, "start")
        x += 150
    yield _draw_text(WIDTH - RIGHT, 20, "iterations →", "end")


def _draw_line(name: str, points: Sequence[LossPoint], scale: _Scale) -> str:
    loss: Callable[[LossPoint], float] = lambda point: getattr(point, name)  # noqa: E731
    path = " ".join(f"{scale.map_x(p.iteration):.1f},{scale.map_y(loss(p)):.1f}" for p in points)
    return f'<polyline class="{name}" points="{path}"/>'


def _draw_text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
