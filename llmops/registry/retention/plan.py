"""Which versions of an application can go: those that nothing names, that never had a seat, and that aren't the newest."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

PARTS = ("index", "adapter", "base", "examples")


@dataclass(frozen=True)
class Held:
    """A registered version: its logged model, the aliases on it, and the versions that it is made of, by URI."""

    model: str
    version: int
    model_id: str
    aliases: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        return f"models:/{self.model}/{self.version}"


@dataclass(frozen=True)
class Plan:
    """What is kept, by URI with the reason, and what can go, in the order in which it goes: releases before their parts."""

    kept: Mapping[str, str]
    removed: tuple[Held, ...]
    last: frozenset[str]  # URIs of those with which a logged model goes: no other version has it


def models_of(app: str) -> tuple[str, ...]:
    """The registered models that an application's steps write to, its releases first."""
    return (app, *(f"{app}-{part}" for part in PARTS))


def make_plan(app: str, registered: Sequence[Held], keep: int, pinned: Mapping[str, str]) -> Plan:
    """Plan what goes of an application.

    Kept are the newest `keep` versions of each of its models, those with an alias, those `pinned` (with the reason), and
    whatever is named, directly or through others, by what is kept or by anything of another application. Copies of a
    version in other registered models, which have its logged model, keep it too.
    """
    ours = models_of(app)
    by_uri = {held.uri: held for held in registered}
    by_id: dict[str, list[Held]] = {}
    for held in registered:
        by_id.setdefault(held.model_id or held.uri, []).append(held)
    kept: dict[str, str] = {}
    waiting = deque(_roots(ours, registered, keep, pinned))
    while waiting:
        uri, reason = waiting.popleft()
        if uri in kept or uri not in by_uri:
            continue
        kept[uri], held = reason, by_uri[uri]
        waiting += [(name, f"part of {uri}") for name in held.names]
        waiting += [(other.uri, f"the same as {uri}") for other in by_id[held.model_id or uri]]
    gone = [held for held in registered if held.model in ours and held.uri not in kept]
    gone.sort(key=lambda held: (ours.index(held.model), held.version))
    used = {by_uri[uri].model_id for uri in kept}
    last = {held.model_id: held.uri for held in gone if held.model_id not in used}
    stays = {uri: kept[uri] for uri, held in by_uri.items() if uri in kept and held.model in ours}
    return Plan(stays, tuple(gone), frozenset(last.values()))


def _roots(
    ours: Sequence[str], registered: Sequence[Held], keep: int, pinned: Mapping[str, str]
) -> Iterable[tuple[str, str]]:
    """What is kept for its own sake, with the reason."""
    for held in registered:
        if held.uri in pinned:
            yield held.uri, pinned[held.uri]
        elif held.aliases:
            yield held.uri, f"alias {', '.join(held.aliases)}"
        elif held.model not in ours:
            yield held.uri, "of another application"
    for model in ours:
        newest = sorted((held for held in registered if held.model == model), key=lambda held: -held.version)
        yield from ((held.uri, f"one of the newest {keep}") for held in newest[:keep])
