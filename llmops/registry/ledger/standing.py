"""How things stand with a seat: its ledger, the alias, and what doesn't fit. Reads only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llmops.errors import LedgerError
from llmops.registry.ledger.anchors import HEAD, find_flaws, head_value, version_key, version_value
from llmops.registry.ledger.chain import ABSENT, Chain, read_chain
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.succession import holder
from llmops.registry.seat import Seat
from llmops.registry.store_errors import store_errors

LOOKS = 10  # at a chain that grows while it is read


@dataclass(frozen=True)
class Standing:
    """A seat at one time: entries in order, the version that the alias names, and what was ever put back."""

    seat: Seat
    entries: tuple[Entry, ...]
    alias: str | None
    flaws: tuple[str, ...]  # of the chain: nobody repairs these
    repairs: tuple[str, ...]
    chain: Chain = field(repr=False)
    head: str | None = field(repr=False)  # the anchor
    versions: Mapping[str, Mapping[str, str]] = field(repr=False)  # those of the model, with their tags

    @property
    def attested(self) -> str | None:
        """The version that the ledger says holds the seat."""
        return holder(self.entries)

    @property
    def is_attested(self) -> bool:
        return self.alias == self.attested

    @property
    def mover(self) -> Entry | None:
        """The last entry that moved the seat."""
        return next((entry for entry in reversed(self.entries) if entry.moves), None)

    @property
    def unapplied(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.number not in self.chain.applied)

    @property
    def strays(self) -> bool:
        """Whether the alias is not where it should and can be."""
        return not self.is_attested and self.attested in self.versions

    @property
    def unanchored(self) -> tuple[Entry, ...]:
        """Entries that a tag of their version doesn't vouch for, or as the last one the tag of the model."""
        last = self.entries[-1:]
        return tuple(entry for entry in self.entries if self._untagged(entry) or ((entry,) == last and self.head_is_old))

    @property
    def head_is_old(self) -> bool:
        return bool(self.entries) and self.head != head_value(self.entries[-1])

    def _untagged(self, entry: Entry) -> bool:
        tags = self.versions.get(entry.about(self.seat.model) or "")
        return tags is not None and tags.get(version_key(self.seat, entry.number)) != version_value(entry)

    @property
    def problems(self) -> tuple[str, ...]:
        """One line each; none if what is running is what the ledger says, and the ledger is whole."""
        return self.flaws or (*self._about_alias(), *self._unfinished())

    def _about_alias(self) -> Iterator[str]:
        name, said, mover = self.seat.name, self.attested, self.mover
        is_now = f"is version {self.alias}" if self.alias else "is not set"
        if said is not None and said not in self.versions:
            yield f"version {said}, which the ledger says is {name}, no longer exists. Promote another, or roll back."
        elif self.is_attested:
            return
        elif said is None:
            yield f"{name} is unattested: it {is_now}, which no entry of its ledger says. The next decision starts from it."
        elif mover and mover in self.unapplied:
            yield f"entry {mover.number} is unfinished: {name} {is_now}, to become version {said}."
        else:
            yield (
                f"{name} is unattested: it {is_now}, by entry {self.entries[-1].number} it is version {said}. "
                "It was moved by hand, or by a process that came late."
            )

    def _unfinished(self) -> Iterator[str]:
        mover = self.mover.number if self.mover and self.strays else None  # said with the alias
        unapplied = [entry.number for entry in self.unapplied]
        for number in unapplied:
            if number != mover:
                yield f"entry {number} is unfinished: it is not marked as applied."
        for entry in self.unanchored:
            if entry.number not in unapplied:
                yield f"entry {entry.number} is unfinished: an anchor of it is missing."


def standing(seat: Seat) -> Standing:
    """Read how things stand with a seat.

    Raises:
        LedgerError: the store refuses, or can't be reached.
    """
    with store_errors(f"read the ledger of {seat.name!r}", f"READ permission on {seat.places}"):
        chain = read_chain(seat)
        for _ in range(LOOKS):
            versions, (alias, head) = (
                _read_versions(seat),
                _read_model(seat),
            )  # before the chain, which they must not be ahead of
            before, chain = chain, read_chain(seat)
            if chain == before:
                break
    texts = dict(chain.texts)
    flaws = chain.flaws or tuple(find_flaws(seat, texts, head, versions))
    if flaws and not (chain.run or chain.flaws):
        flaws = (
            f"the registered model {seat.ledger}, which names the ledger of {seat.name}, is gone, and with it {flaws[-1]}",
        )
    return Standing(seat, tuple(_readable(texts)), alias, flaws, chain.repairs, chain, head, versions)


def _readable(texts: Mapping[int, str]) -> Iterator[Entry]:
    for _, text in sorted(texts.items()):
        try:
            yield Entry.from_json(text)
        except LedgerError:
            continue


def _read_model(seat: Seat) -> tuple[str | None, str | None]:
    """What the alias names, and the head anchor: read at once."""
    try:
        model = MlflowClient().get_registered_model(seat.model)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return None, None
    version = model.aliases.get(seat.alias)
    return None if version is None else str(version), model.tags.get(seat.tag(HEAD))


def _read_versions(seat: Seat) -> dict[str, dict[str, str]]:
    client, token = MlflowClient(), None
    found: dict[str, dict[str, str]] = {}
    while True:
        page = client.search_model_versions(f"name = '{seat.model}'", max_results=1000, page_token=token)
        found |= {str(version.version): dict(version.tags) for version in page}
        if not (token := page.token):
            return found
