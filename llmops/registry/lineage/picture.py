"""A lineage as a picture: boxes in columns, arrows from what came before. Drawn without network, the same each time."""

import io
import textwrap
from collections.abc import Iterable, Mapping
from functools import partial
from html import escape
from typing import Any

from llmops.registry.lineage.graph import Lineage, Node, columns, tell

Spot = tuple[float, float]
"""The middle of a box, in inches from the lower left."""

WIDE, ACROSS, GAP, MARGIN = 2.1, 2.75, 0.22, 0.3  # a box, a column, between boxes, and around all, in inches
LINE = 0.15  # how high a line is, in inches
TITLE, LETTERS, DETAILS = 28, 34, 3  # letters in a line of a title and of the rest, and most lines of that
SWEEPS = 2  # to the left and back, to lessen crossings
COLOURS = {
    "documents": "#dbeafe", "document": "#dbeafe", "data": "#dbeafe", "index": "#bfdbfe", "base": "#e9d5ff",
    "adapter": "#ddd6fe", "prompt": "#fef3c7", "examples": "#fde68a", "release": "#bbf7d0", "questions": "#fed7aa",
    "scorecard": "#ffedd5", "decision": "#fecdd3", "seat": "#fecdd3", "deployment": "#a7f3d0",
}  # fmt: skip
_OTHER, _MISSING = "#e5e7eb", "#ffffff"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:14px sans-serif;margin:24px;color:#111}}figure,pre{{overflow-x:auto;margin:0 0 24px}}</style></head>
<body><h1>{title}</h1>
<figure>{svg}</figure>
<pre>{told}</pre>
</body></html>
"""


def page(lineage: Lineage, title: str) -> str:
    """The picture and the text as one HTML page that loads nothing."""
    svg = draw(lineage)
    return _PAGE.format(title=escape(title), svg=svg[svg.index("<svg") :], told=escape(tell(lineage)))


def draw(lineage: Lineage) -> str:
    """The picture as SVG."""
    return render(lineage, "svg").decode()


def render(lineage: Lineage, format: str) -> bytes:
    """The picture in a format of matplotlib's."""
    from matplotlib import rc_context

    drawn = io.BytesIO()
    stamp = {"metadata": {"Date": None}} if format == "svg" else {}  # so that equal graphs are equal files
    with rc_context({"svg.hashsalt": "lineage"}):
        _figure(lineage).savefig(drawn, format=format, **stamp)
    return drawn.getvalue()


def spots(lineage: Lineage) -> dict[str, Spot]:
    """Where each node's box is: its column, and in it near what it is tied to."""
    place = columns(lineage)
    stacks: list[list[Node]] = [[] for _ in range(max(place.values(), default=0) + 1)]
    for node in lineage.nodes:
        stacks[place[node.name]].append(node)
    targets = _neighbours((edge.source, edge.target) for edge in lineage.edges)
    sources = _neighbours((edge.target, edge.source) for edge in lineage.edges)
    for near, order in ((targets, stacks[::-1]), (sources, stacks)) * SWEEPS:
        for stack in order:
            at = _heights(stacks)
            stack.sort(key=partial(_wanted, near=near, at=at))
    at = _heights(stacks)
    return {node.name: (MARGIN + WIDE / 2 + place[node.name] * ACROSS, at[node.name]) for node in lineage.nodes}


def _neighbours(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one, other in pairs:
        found.setdefault(one, []).append(other)
    return found


def _wanted(node: Node, near: Mapping[str, list[str]], at: Mapping[str, float]) -> float:
    """How far down a box wants to be: where those are that it is tied to, else where it is."""
    heights = [at[other] for other in near.get(node.name, [node.name])]
    return -sum(heights) / len(heights)


def _heights(stacks: list[list[Node]]) -> dict[str, float]:
    """How high each box is in its column, which stands in the middle of the drawing."""
    middle = _height(stacks) / 2
    found = {}
    for stack in stacks:
        top = middle + _tall(stack) / 2
        for node in stack:
            found[node.name] = top - _box(node) / 2
            top -= _box(node) + GAP
    return found


def _height(stacks: list[list[Node]]) -> float:
    return max(map(_tall, stacks), default=0.0) + 2 * MARGIN


def _tall(stack: list[Node]) -> float:
    return sum(_box(node) + GAP for node in stack) - GAP if stack else 0.0


def _box(node: Node) -> float:
    return LINE * (len(_lines(node)) + 1)


def _lines(node: Node) -> list[str]:
    kind = f"{node.kind} (missing)" if node.missing else node.kind
    return [kind, *_title(node), *textwrap.wrap(node.detail, LETTERS, max_lines=DETAILS, placeholder="…")]


def _title(node: Node) -> list[str]:
    return textwrap.wrap(node.title, TITLE, max_lines=2, placeholder="…") or [""]


def _figure(lineage: Lineage) -> Any:
    from matplotlib.figure import Figure

    at = spots(lineage)
    width = max((x for x, _ in at.values()), default=0.0) + WIDE / 2 + MARGIN
    height = max((y + _box(node) / 2 for node in lineage.nodes for y in [at[node.name][1]]), default=0.0) + MARGIN
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    _draw_edges(axes, lineage, at)
    for node in lineage.nodes:
        _draw_node(axes, node, at[node.name])
    return figure


def _draw_edges(axes: Any, lineage: Lineage, at: Mapping[str, Spot]) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    for edge in lineage.edges:
        (x, y), (to_x, to_y) = at[edge.source], at[edge.target]
        start, end = (x + WIDE / 2, y), (to_x - WIDE / 2, to_y)
        bend = (ACROSS - WIDE) * 0.6
        points = [start, (start[0] + bend, y), (end[0] - bend, to_y), end]
        path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        axes.add_patch(
            FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=9, color="#6b7280", linewidth=0.9, zorder=1)
        )


def _draw_node(axes: Any, node: Node, spot: Spot) -> None:
    from matplotlib.patches import FancyBboxPatch

    (x, y), tall, titles = spot, _box(node), len(_title(node))
    corner = (x - WIDE / 2, y - tall / 2)
    fill = _MISSING if node.missing else COLOURS.get(node.kind, _OTHER)
    edge, dash = ("#b91c1c", "--") if node.missing else ("#374151", "-")
    shape = "round,pad=0,rounding_size=0.06"
    axes.add_patch(
        FancyBboxPatch(corner, WIDE, tall, boxstyle=shape, facecolor=fill, edgecolor=edge, linestyle=dash, zorder=2)
    )
    for number, line in enumerate(_lines(node)):
        style: dict[str, Any] = {"fontsize": 6.5, "color": "#4b5563"} if number == 0 else {"fontsize": 7.5}
        style |= {"weight": "bold"} if 0 < number <= titles else {}
        where = (corner[0] + 0.08, y + tall / 2 - LINE * (number + 1))
        axes.text(*where, line, va="center", zorder=3, parse_math=False, **style)
