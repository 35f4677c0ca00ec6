"""One entry of a ledger: a decision about a seat, or a rollback, and the digest that the next one is chained to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from llmops import digests
from llmops.errors import LedgerError

PROMOTE, ROLLBACK = MOVES = ("promote", "rollback")
LONGEST = 6000  # characters of a param; MLflow cuts a longer one off without a word


@dataclass(frozen=True)
class Entry:
    """What was decided, about which release, on what evidence, by whom; `commit` fills in the first three and `before`."""

    number: int  # from 1
    previous: str  # digest of the entry before; "" for the first
    seat: str
    decision: str  # promote, keep, insufficient evidence, rollback
    before: str | None  # version that held the seat
    after: str | None  # version that holds it from then on
    challenger: str  # models:/<name>/<version>
    digest: str  # of the challenger's release
    parts: Mapping[str, str]  # digests by name
    policy: str  # digest of the policy file; "" for a rollback
    evaluation: str  # run id of the evidence; "" for a rollback
    run: str  # the run that decided, another for each attempt
    who: Mapping[str, str]
    when: str  # ISO 8601, UTC
    reason: str

    @property
    def moves(self) -> bool:
        """Whether it gives the seat to another version."""
        return self.decision in MOVES

    @property
    def digest_of_entry(self) -> str:
        return digests.of_bytes(self.to_json().encode())

    def about(self, model: str) -> str | None:
        """The version of `model` that the entry is about: the one it seats, or the challenger if it is of this model."""
        name, _, version = self.challenger.removeprefix("models:/").rpartition("/")
        return self.after if self.moves else version if name == model else None

    def to_json(self) -> str:
        """The one way to write it: sorted keys, no spaces, ASCII.

        Raises:
            LedgerError: it is longer than what a param holds.
        """
        fields = {**vars(self), "parts": dict(self.parts), "who": dict(self.who)}
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        if len(text) > LONGEST:
            raise LedgerError(f"the entry has {len(text)} characters, a ledger takes {LONGEST}. Give a shorter reason.")
        return text

    @classmethod
    def from_json(cls, text: str) -> "Entry":
        """Raises LedgerError if `text` is not an entry."""
        try:
            entry = cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise LedgerError(f"{text[:60]!r} is no entry of a ledger: {error}.") from error
        if not _has_types(entry):
            raise LedgerError(f"{text[:60]!r} is no entry of a ledger: a field is of another type.")
        return entry


def _has_types(entry: Entry) -> bool:
    fields = dict(vars(entry))
    number, before, after = (fields.pop(name) for name in ("number", "before", "after"))
    maps = [fields.pop(name) for name in ("parts", "who")]
    if type(number) is not int or not all(isinstance(one, dict) for one in maps):
        return False
    texts = [*fields.values(), before or "", after or "", *(value for one in maps for value in one.values())]
    return all(isinstance(text, str) for text in texts)
