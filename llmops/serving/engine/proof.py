"""Whether an engine computes what it should: its base as when it was new, and an adapter as it was trained."""

import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TypeVar

from llmops.errors import ArtifactError, EngineError
from llmops.finetuning.certificate import Probe
from llmops.serving.engine.api import Busy, EngineApi, Slow

T = TypeVar("T")
BASE_TOLERANCE = 0.5  # nats: what else is in the batch moves a bfloat16 engine by less than a tenth of it
_PROBES = 3  # the shortest ones
_PATIENCE_S, _NEXT_TRY_S = 120.0, 0.2  # while it is busy


def check_base(api: EngineApi, model: str, baseline: float | None) -> None:
    """Let the base say a few tokens; an engine that is too busy for it, or slow but at work, is well.

    Raises:
        Poisoned: what it computes are no numbers.
        EngineError: it doesn't answer, or otherwise than when it was new.
    """
    made = api.tokens_made()
    try:
        found = api.probe(model).logprobs[0]
    except Busy:
        return
    except Slow:
        if api.tokens_made() == made:
            raise
        return
    if baseline is not None and abs(found - baseline) > BASE_TOLERANCE:
        raise EngineError(f"the base holds a token for likely at {found:.2f} nats, and at {baseline:.2f} when it was new.")


def prove(api: EngineApi, base: str, adapter: str, window: int, probes: Sequence[Probe]) -> None:
    """Have an adapter that is loaded agree with its certificate, better than the base does; without one that fits the
    window, differ from it.

    Raises:
        ArtifactError: it doesn't: it has no effect, or another one than when it was trained.
        Poisoned: what it computes are no numbers.
    """
    fitting = [probe for probe in probes if len(probe.input_ids) < window]
    if not fitting:
        if _patiently(lambda: api.probe(adapter)) == _patiently(lambda: api.probe(base)):
            raise ArtifactError(f"adapter {adapter} has no effect: it says what the base says. Train it anew.")
        return
    shortest = sorted(fitting, key=lambda probe: len(probe.input_ids))[:_PROBES]
    with_it, without = (fmean(_distance(api, model, probe) for probe in shortest) for model in (adapter, base))
    if with_it >= without:
        raise ArtifactError(
            f"adapter {adapter} is {with_it:.2f} nats a token from what its certificate says, and its base {without:.2f}: "
            "the engine doesn't serve what was trained."
        )


def _distance(api: EngineApi, model: str, probe: Probe) -> float:
    """The mean difference, in nats, between what the engine and the certificate say of the learned tokens."""
    said = _patiently(lambda: api.score(model, probe.input_ids))
    pairs = zip(probe.positions, probe.logprobs, strict=True)
    return fmean(abs(said[position - 1] - logprob) for position, logprob in pairs)


def _patiently(ask: Callable[[], T]) -> T:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return ask()
        except Busy:
            if time.monotonic() > deadline:
                raise
        time.sleep(_NEXT_TRY_S)
