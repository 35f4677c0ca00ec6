"""Whether a release that was just loaded answers as it did when it was made, on what it runs on now."""

import json
import math
import time
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


def probe(serving: Serving, golden: Sequence[Golden], limit_s: float = math.inf) -> None:
    """Ask what was asked then. Other requests in a batch may round an answer otherwise, so most have to be the same.

    Another engine may say it in other words; what an adapter computes on it was compared when it was loaded. The first
    answer is slower than later ones, so one within `limit_s` is enough.

    Raises:
        ArtifactError: it says something else on the same engine, or nothing, or takes too long.
        EngineError: it doesn't answer.
    """
    fastest_s = math.inf
    replies = []
    for one in golden or [Golden(_ANY, "", {})]:
        start = time.monotonic()
        replies.append((one, _ask(serving, one.question)))
        fastest_s = min(fastest_s, time.monotonic() - start)
    if fastest_s > limit_s:
        raise ArtifactError(
            f"{serving.identity.uri} takes {fastest_s:.1f} s for an answer, and requests have {limit_s:g} s "
            "(request_timeout_s). Give them longer, or deploy a faster one."
        )
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
