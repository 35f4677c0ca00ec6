"""Candidates as points, quality against what it costs: where everything stands in a drawing of fixed size."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from llmops.evaluation.kpis import FIGURES, KPIS
from llmops.evaluation.scorecard import Scorecard

WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 444, 16, 276  # of the area that points stand in
_QUALITY = "answer/score"
_LETTER, _LINE = 7.2, 14  # how wide a letter and how high a line is
_STEPS = (0, -10, 10, -16, 16, -24, 24, -32, 32)  # up and down that a label may be moved
_LONGEST = 24  # letters of a label
_LOG_FROM = 20  # how many times the smallest value the largest is

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Mark = tuple[float, float, float, float]
"""Where a candidate's marker is, across and down, and how far down its interval's low and high ends are."""
Place = tuple[float, float, str]
"""Where a label is, and which end of it: start, middle or end."""
Tick = tuple[float, str]
"""Where it stands, and what it says."""


@dataclass(frozen=True)
class Point:
    """A candidate: its name, in full and as its label says it, and where both are."""

    candidate: str
    label: str
    mark: Mark
    place: Place


@dataclass(frozen=True)
class Plot:
    """Points and axes, in pixels from the upper left; `told` says it all in words."""

    x_title: str
    y_title: str
    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    told: str


@dataclass(frozen=True)
class _Axis:
    start: float
    end: float
    from_pixel: float
    to_pixel: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.start, self.end, value))
        return round(self.from_pixel + (value - low) / (high - low) * (self.to_pixel - self.from_pixel), 1)


def quality_against(figure: str, cards: Sequence[Scorecard]) -> Plot | None:
    """The score of candidates against a figure, those that it was measured of; None if there is none."""
    shown = [card for card in cards if math.isfinite(card.measured.get(figure, math.nan)) and _QUALITY in card.intervals]
    if not shown:
        return None
    values, scores = [card.measured[figure] for card in shown], [card.intervals[_QUALITY] for card in shown]
    (x_axis, x_ticks), (y_axis, y_ticks) = _across(values), _upwards([end for s in scores for end in (s.low, s.high)])
    marks = [
        (x_axis.at(value), y_axis.at(s.mean), y_axis.at(s.low), y_axis.at(s.high))
        for value, s in zip(values, scores, strict=True)
    ]
    labels = [_short(card.candidate) for card in shown]
    points = [
        Point(card.candidate, label, mark, place)
        for card, label, mark, place in zip(shown, labels, marks, _places(labels, marks), strict=True)
    ]
    told = "; ".join(
        f"{card.candidate} {s.mean:.3f} [{s.low:.3f}, {s.high:.3f}] at {value:.4g}"
        for card, s, value in zip(shown, scores, values, strict=True)
    )
    return Plot(_title(figure), KPIS[_QUALITY].title, tuple(points), x_ticks, y_ticks, told)


def _title(figure: str) -> str:
    group, title = figure.split("/")[0], FIGURES[figure].title
    return title if group in title else f"{group}, {title}"


def label_box(point: Point) -> Box:
    """About where a point's label is."""
    return _box(point.place, len(point.label) * _LETTER)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _across(values: Sequence[float]) -> tuple[_Axis, tuple[Tick, ...]]:
    """From nothing, or by powers where one value is many times another."""
    least, most = min(values), max(values)
    if 0 < least * _LOG_FROM < most:
        axis = _Axis(least / 1.5, most * 1.5, LEFT, RIGHT, log=True)
        powers = range(math.floor(math.log10(axis.start)), math.ceil(math.log10(axis.end)) + 1)
        return axis, _ticks(axis, (digit * 10.0**power for power, digit in product(powers, (1, 3))))
    axis = _Axis(min(0.0, least), most * 1.15 or 1.0, LEFT, RIGHT)
    return axis, _ticks(axis, _round_values(axis.start, axis.end))


def _upwards(ends: Sequence[float]) -> tuple[_Axis, tuple[Tick, ...]]:
    """As much of 0 to 1 as the intervals take."""
    values = _round_values(max(min(ends) - 0.02, 0.0), min(max(ends) + 0.02, 1.0))
    axis = _Axis(values[0], values[-1], BOTTOM, TOP)
    return axis, _ticks(axis, values)


def _round_values(start: float, end: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [float(value) for value in MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(start, end)]


def _ticks(axis: _Axis, values: Iterable[float]) -> tuple[Tick, ...]:
    return tuple((axis.at(value), f"{value:.4g}") for value in values if axis.start <= value <= axis.end)


def _places(labels: Sequence[str], marks: Sequence[Mark]) -> list[Place]:
    """A place for each label near its marker, where it covers least of markers, intervals and the labels before it."""
    taken: list[Box] = [(x - 7, y - 7, x + 7, y + 7) for x, y, _, _ in marks]
    taken += [(x - 2, high, x + 2, low) for x, _, low, high in marks]
    places = []
    for label, (x, y, _, _) in zip(labels, marks, strict=True):
        width = len(label) * _LETTER
        near = [place for step in _STEPS for place in _beside(x, y + step, width, may_cross=abs(step) > _LINE)]
        boxes = [_box(place, width) for place in near]
        covered = [sum(_overlap(box, other) for other in taken) + _outside(box) for box in boxes]
        best = covered.index(min(covered))
        taken.append(boxes[best])
        places.append(near[best])
    return places


def _beside(x: float, y: float, width: float, may_cross: bool) -> list[Place]:
    """To the right, to the left, and, above or below the marker, in its middle or as near to that as fits."""
    middle = min(max(x, LEFT + width / 2 + 4), WIDTH - width / 2 - 4)
    return [(x + 10, y, "start"), (x - 10, y, "end"), *([(middle, y, "middle")] if may_cross else [])]


def _box(place: Place, width: float) -> Box:
    x, y, anchor = place
    left = x - {"start": 0, "middle": width / 2, "end": width}[anchor]
    return left, y - _LINE / 2, left + width, y + _LINE / 2


def _overlap(one: Box, other: Box) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box) -> float:
    beyond = max(4 - box[0], 0) + max(box[2] - WIDTH, 0) + max(TOP - box[1], 0) + max(box[3] - BOTTOM, 0)
    return 1000 * beyond
