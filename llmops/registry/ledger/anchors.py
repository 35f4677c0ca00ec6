"""The anchors: second places that say what the entries of a ledger were, so that a removed or edited one shows."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from llmops import digests
from llmops.errors import LedgerError
from llmops.registry.ledger.entry import Entry
from llmops.registry.seat import Seat

HEAD = "head"


def head_value(entry: Entry) -> str:
    """What the tag of the application's registered model says: how many entries, and the digest of the last."""
    return f"{entry.number} {entry.digest_of_entry}"


def version_value(entry: Entry) -> str:
    """What the tag of the version that an entry is about says. The seat is in it: a copied version brings its tags along."""
    return f"{entry.seat} {entry.decision.replace(' ', '-')} {entry.digest_of_entry}"


def version_key(seat: Seat, number: int) -> str:
    return seat.tag(f"{number:06d}")


Witness = tuple[int, str, str]  # number of an entry, its digest, who says so


def find_flaws(
    seat: Seat, texts: Mapping[int, str], head: str | None, versions: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """A line for each entry that is missing, or isn't what the next entry and the anchors say.

    `texts` are the entries as stored, by number; `head` and the tags of the `versions` have to be read before them.
    """
    said: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for number, digest, where in [*_next(texts), *_head(seat, head), *_versions(seat, versions)]:
        said[number].append((digest, where))
    for number in sorted({*texts, *said}):
        entry = f"entry {number} of the ledger of {seat.name}"
        found = digests.of_bytes(texts[number].encode()) if number in texts else None
        agree = " and ".join(where for digest, where in said[number] if digest == found)
        differ = " and ".join(where for digest, where in said[number] if digest != found)
        if number not in texts:
            yield f"{entry} was removed: its digest is in {differ}."
        elif differ and not agree:
            yield f"{entry} was edited: another digest of it is in {differ}."
        elif differ:
            yield f"{entry} or a trace of it was edited: another digest of it is in {differ}, the same in {agree}."
        elif not _is_entry(seat, number, texts[number]):
            yield f"{entry} is none that this platform writes: {texts[number][:60]!r}."


def _is_entry(seat: Seat, number: int, text: str) -> bool:
    try:
        entry = Entry.from_json(text)
        return (entry.number, entry.seat, entry.to_json()) == (number, seat.name, text)
    except LedgerError:
        return False


def _next(texts: Mapping[int, str]) -> Iterator[Witness]:
    for number, text in texts.items():
        try:
            previous = Entry.from_json(text).previous
        except LedgerError:
            continue
        if number > 1 or previous:
            yield number - 1, previous, f"entry {number}"


def _head(seat: Seat, head: str | None) -> Iterator[Witness]:
    if head is not None:
        number, _, digest = head.partition(" ")
        where = f"the tag {seat.tag(HEAD)} of {seat.model}"
        yield int(number) if number.isdecimal() else 0, digest, where


def _versions(seat: Seat, versions: Mapping[str, Mapping[str, str]]) -> Iterator[Witness]:
    for version, tags in versions.items():
        for key, value in tags.items():
            number = key.removeprefix(seat.tag(""))
            whose, _, digest = value.partition(" ")
            if key.startswith(seat.tag("")) and number.isdecimal() and whose == seat.name:
                yield int(number), digest.rpartition(" ")[2], f"the tag {key} of version {version}"
