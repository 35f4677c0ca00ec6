"""Where a release comes from and where it went, as a graph: from documents over scorecards and decisions to deployments."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from llmops.registry.ledger.entry import Entry

RELEASE = "release"
AFTER = {RELEASE: 0, "questions": 0, "scorecard": 1, "decision": 2, "seat": 2, "deployment": 3}
"""The kinds at the release or after it, each with its column; all others are what a release is made of."""


@dataclass(frozen=True)
class Node:
    """One thing of a lineage. `name` is its own; `missing` says that it is gone, or can't be read."""

    name: str
    kind: str
    title: str
    detail: str = ""
    missing: bool = False


@dataclass(frozen=True)
class Edge:
    """`source` is in what `target` is or says: both are names of nodes."""

    source: str
    target: str


@dataclass(frozen=True)
class Lineage:
    """A graph without circles, and what it doesn't show."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Part:
    """What something is made of, and what that was made of: `title` is its URI or what people call it."""

    kind: str
    title: str
    digest: str = ""
    detail: str = ""
    sources: tuple["Part", ...] = ()
    missing: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind} {self.title} {self.digest}".strip()

    @property
    def node(self) -> Node:
        shown = (self.digest[:12], self.detail)
        return Node(self.name, self.kind, self.title, ", ".join(filter(None, shown)), self.missing)


@dataclass(frozen=True)
class Scored:
    """A release's scorecard: the run it is in, the evaluation that run is of, and the questions that were asked."""

    run_id: str
    evaluation: str
    title: str
    detail: str = ""
    questions: Part | None = None
    missing: bool = False


@dataclass(frozen=True)
class Deployed:
    """A deployment: where it runs, what it was asked to serve (such as models:/handbook@champion), and what it serves."""

    name: str
    model_uri: str
    release_uri: str
    detail: str = ""


@dataclass
class _Graph:
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[Edge, None] = field(default_factory=dict)

    def add(self, node: Node, *sources: str) -> str:
        self.nodes.setdefault(node.name, node)
        self.edges |= {Edge(source, node.name): None for source in sources}
        return node.name

    def add_part(self, part: Part) -> str:
        return self.add(part.node, *(self.add_part(source) for source in part.sources))

    def done(self, notes: Iterable[str] = ()) -> Lineage:
        return Lineage(tuple(self.nodes.values()), tuple(self.edges), tuple(notes))


def release_lineage(
    release: Part,
    scored: Sequence[Scored],
    decided: Sequence[Entry],
    deployed: Sequence[Deployed],
    notes: Iterable[str] = (),
) -> Lineage:
    """All that led to a release, what was found and decided about it, and where it runs."""
    graph = _Graph()
    made = graph.add_part(release)
    cards: dict[str, str] = {}  # by the run, and by the evaluation
    for card in scored:
        asked = [graph.add_part(card.questions)] if card.questions else []
        node = Node(f"scorecard {card.run_id}", "scorecard", card.title, card.detail, card.missing)
        cards[card.run_id] = cards[card.evaluation] = graph.add(node, made, *asked)
    seats: dict[str, str] = {}  # the decision by which the release has a seat
    for entry in decided:
        name = graph.add(_decision(entry), cards.get(entry.evaluation, made))
        if entry.moves or entry.seat not in seats:
            seats[entry.seat] = name
    for one in deployed:
        seat = one.model_uri.removeprefix("models:/")
        graph.add(_deployment(one), seats.get(seat, made))
    return graph.done(notes)


def document_lineage(
    document: str, indexes: Sequence[Part], users: Mapping[str, Sequence[Part]], seats: Mapping[str, Sequence[str]],
    deployed: Sequence[Deployed], notes: Iterable[str] = (),
) -> Lineage:  # fmt: skip
    """Which indexes hold a document, which releases answer with these, and which of them have a seat or are deployed.

    `users` are releases by the name of the index they ask, `seats` the seats of a release by its title.
    """
    graph = _Graph()
    for index in indexes:
        name = graph.add_part(index)
        for release in users.get(index.name, ()):
            made = graph.add(release.node, name)
            held = {seat: graph.add(Node(f"seat {seat}", "seat", seat), made) for seat in seats.get(release.title, ())}
            for one in deployed:
                if one.release_uri == release.title:
                    graph.add(_deployment(one), held.get(one.model_uri.removeprefix("models:/"), made))
    if not indexes:
        graph.add(Node(f"document {document}", "document", document))
    return graph.done(notes)


def _decision(entry: Entry) -> Node:
    moved = f", {entry.before or 'none'} -> {entry.after or 'none'}" if entry.moves else ""
    detail = f"{entry.when[:16].replace('T', ' ')}, by {entry.who.get('user', 'unknown')}{moved}"
    title = f"{entry.seat} #{entry.number}: {entry.decision}"
    return Node(f"decision {entry.seat} {entry.number}", "decision", title, detail)


def _deployment(one: Deployed) -> Node:
    return Node(f"deployment {one.name}", "deployment", one.name, ", ".join(filter(None, (one.model_uri, one.detail))))


def columns(lineage: Lineage) -> dict[str, int]:
    """The column of each node by name, from 0: edges go to the right, and parts stand right before what they are in."""
    targets: dict[str, list[str]] = {node.name: [] for node in lineage.nodes}
    for edge in lineage.edges:
        targets[edge.source].append(edge.target)
    fixed = {node.name: AFTER[node.kind] for node in lineage.nodes if node.kind in AFTER}
    found: dict[str, int] = {}

    def place(name: str) -> int:
        if name not in found:
            found[name] = fixed[name] if name in fixed else min((place(target) for target in targets[name]), default=0) - 1
        return found[name]

    taken = sorted({place(name) for name in targets})
    return {name: taken.index(column) for name, column in found.items()}


def tell(lineage: Lineage) -> str:
    """The graph as text: a line for each thing, in the order of the picture, and what it comes from."""
    place = columns(lineage)
    titles = {node.name: node.title for node in lineage.nodes}
    nodes = sorted(lineage.nodes, key=lambda node: place[node.name])
    wide = max((len(node.kind) for node in nodes), default=0)
    lines = []
    for node in nodes:
        sources = [titles[edge.source] for edge in lineage.edges if edge.target == node.name]
        detail = f" ({node.detail})" if node.detail else ""
        lines.append(f"{node.kind:<{wide}}  {node.title}{detail}{' MISSING' if node.missing else ''}")
        lines += [f"{'':<{wide}}    <- {source}" for source in sources]
    return "\n".join([*lines, *lineage.notes])
