"""Whether a release that was just loaded answers as it did when it was made, on what it runs on now."""

import json
from collections.abc import Sequence

from llmops.errors import ArtifactError
from llmops.serving.roster import Asked, Reply, Serving
from llmops.tracking import versions
from llmops.tracking.golden import SEED, Golden
from llmops.types import Query

_ANY = "What is this about?"  # asked of a release that was stored without answers


def read_golden(serving: Serving) -> list[Golden]:
    """What the release answered when it was made."""
    file = versions.download(serving.identity.uri) / "artifacts" / "golden.json"
    return [Golden(**one) for one in json.loads(file.read_text(encoding="utf-8"))]


def probe(serving: Serving, golden: Sequence[Golden]) -> None:
    """Ask what was asked then. Other requests in a batch may round an answer otherwise, so most have to be the same.

    Another engine may say it in other words; what an adapter computes on it was compared when it was loaded.

    Raises:
        ArtifactError: it says something else on the same engine, or nothing.
        EngineError: it doesn't answer.
    """
    if not golden:
        _ask(serving, _ANY)
    replies = [(one, _ask(serving, one.question)) for one in golden]
    for one, reply in replies:
        if one.answer and not reply.text.strip():
            raise ArtifactError(f"{serving.identity.uri} says nothing to {one.question!r}, expected {one.answer!r}.")
    other = [(one, reply) for one, reply in replies if _engine(reply) == one.engine and reply.text != one.answer]
    if len(other) * 2 > len(replies):
        one, reply = other[0]
        raise ArtifactError(
            f"{serving.identity.uri} answers {reply.text!r} to {one.question!r}, expected {one.answer!r} as when it was "
            f"made ({len(other)} of {len(replies)} answers differ). What it runs on was changed beneath it."
        )


def _ask(serving: Serving, question: str) -> Reply:
    return serving.answer(Asked(Query(question), SEED))


def _engine(reply: Reply) -> dict[str, str]:
    return dict(reply.details["engine"])
