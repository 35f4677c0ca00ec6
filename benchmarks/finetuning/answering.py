"""Does training answer better than the base shown examples, and does it know better when the paragraph holds no answer?

Answers: token F1 of answerable questions, 0 where the model abstains. Abstention: questions are refused where the
log-probability of "I don't know" is above a threshold, set so that at most a quarter of the answerable questions of the same
set is refused, for each contender alike and anew in every resample; the share of unanswerable ones refused then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import Asked
from benchmarks.finetuning.recipe import BASE, MAX_TOKENS, METHOD, recipe
from benchmarks.finetuning.squad import Split, choose_shots, read_split, request, to_rows
from benchmarks.measure import apart
from llmops.chains.prompt import ABSTENTION, is_abstention
from llmops.evaluation.metrics import exact_match, token_f1
from llmops.evaluation.statistics import cluster_resamples
from llmops.finetuning.saving import save
from llmops.finetuning.trainable import Trainable, load_trainable
from llmops.finetuning.training import train
from llmops.models.tokenizer import load_tokenizer
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.types import Message

SHOTS = (0, 2, 4)
REFUSED = 0.25
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """One contender's answers: scores and what it abstains from by question asked, its certainty by question scored."""

    f1: Numbers
    exact: Numbers
    refused: Numbers  # 1 where the answer is an abstention
    certainty: Numbers  # log-probability of abstaining

    @property
    def answers(self) -> dict[str, Numbers]:
        return {"f1": self.f1, "exact": self.exact, "refused": self.refused}


def measure(data: Path, seeds: int, examples: int, choosing: int, held_out: int, scored: int) -> dict[str, Any]:
    """Train `seeds` adapters, and compare their mean with the base's best number of shots.

    `examples` caps the conversations trained on; of each kind of question `choosing` caps those that choose the number of
    shots, `held_out` those that are answered, and `scored` those that abstention is measured on, at a fraction of the time.
    0 is all.
    """
    split = read_split(data)
    asked = Asking(some(split.held_out, held_out), some(split.held_out, scored))
    chosen = apart(_choose_shots, split, some(split.choosing, choosing))
    base = {count: apart(_ask_base, split, asked, count) for count in {*chosen.values(), 0}}
    tuned = [apart(_tune_and_ask, split, asked, seed, examples) for seed in range(seeds)]
    return summarise(asked, base, chosen, tuned)


@dataclass(frozen=True)
class Asking:
    """Questions to answer, and questions of which only the certainty of abstaining is asked."""

    answered: list[Asked]
    scored: list[Asked]


def some(asked: Sequence[Asked], each: int) -> list[Asked]:
    """`each` answerable and unanswerable questions, by chance that is always the same; 0 is all of them."""
    order = np.random.default_rng(0).permutation(len(asked))
    kinds = [[asked[i] for i in order if bool(asked[i].answers) == answerable] for answerable in (True, False)]
    return [question for kind in kinds for question in (kind[:each] if each else kind)]


def _choose_shots(split: Split, asked: list[Asked]) -> dict[str, int]:
    """The number of shots that is best for answering, and that for abstaining, on articles that are not measured on."""
    found = {count: _ask_base(split, Asking(asked, asked), count) for count in SHOTS}
    has = answerable(asked)
    return {
        "f1": max(SHOTS, key=lambda count: found[count].f1[has].mean()),
        "abstention": max(SHOTS, key=lambda count: abstention(found[count].certainty[None], has)),
    }


def answerable(asked: Sequence[Asked]) -> npt.NDArray[np.bool_]:
    return np.array([bool(question.answers) for question in asked])


def _ask_base(split: Split, asked: Asking, count: int) -> Answered:
    engine = TransformersEngine(resolve_weights(BASE), "auto")
    return ask(engine, asked, choose_shots(split.train, count, 0))


def _tune_and_ask(split: Split, asked: Asking, seed: int, examples: int) -> Answered:
    weights = resolve_weights(BASE)
    tokenizer, settings = load_tokenizer(weights), recipe(seed)
    rows = to_rows(split.train, tokenizer, MAX_TOKENS, seed)
    model = load_trainable(weights, METHOD, settings.dtype, seed)
    with TemporaryDirectory() as name:
        train(model, tokenizer, rows[: examples or None], [], settings, Path(name) / "checkpoints", lambda *_: None)
        save(Trainable(model, tokenizer, weights, METHOD), Path(name) / "adapter")
        engine = TransformersEngine(weights, "auto")
        return ask(engine, asked, adapter=engine.load_adapter(Path(name) / "adapter"))


def ask(engine: TransformersEngine, asked: Asking, shots: Sequence[Message] = (), adapter: str | None = None) -> Answered:
    answered, scored = ([request(question, shots, adapter) for question in kind] for kind in (asked.answered, asked.scored))
    texts = [completion.text for completion in engine.generate(answered)]
    pairs = list(zip(texts, asked.answered, strict=True))
    return Answered(
        f1=np.array([0.0 if is_abstention(text) else token_f1(text, question.answers) for text, question in pairs]),
        exact=np.array([0.0 if is_abstention(text) else exact_match(text, question.answers) for text, question in pairs]),
        refused=np.array([float(is_abstention(text)) for text in texts]),
        certainty=np.array(engine.score(scored, ABSTENTION)),
    )  # fmt: skip


def abstention(certainties: Numbers, has: npt.NDArray[np.bool_], counts: Numbers | None = None) -> float:
    """The share of unanswerable questions refused when at most a quarter of the answerable ones is.

    `certainties` has a row for each of several models, shape (m, n), whose shares are averaged; `counts` says how often each
    question is in a resample.
    """
    counts = np.ones(certainties.shape[1]) if counts is None else counts
    shares = []
    for certainty in certainties:
        order = np.argsort(-certainty[has], kind="stable")
        allowed = np.cumsum(counts[has][order]) <= REFUSED * counts[has].sum()
        kept = certainty[has][order][~allowed]
        threshold = kept[0] if len(kept) else -np.inf
        shares.append(float(counts[~has][certainty[~has] > threshold].sum() / counts[~has].sum()))
    return float(np.mean(shares))


def summarise(
    asked: Asking, base: Mapping[int, Answered], chosen: Mapping[str, int], tuned: Sequence[Answered]
) -> dict[str, Any]:
    """Figures of both, and the 95 % intervals of the gains: a bootstrap over paragraphs, whose questions come together."""
    has, scored = answerable(asked.answered), answerable(asked.scored)
    certain = base[chosen["abstention"]].certainty[None]
    certainties = np.stack([one.certainty for one in tuned])
    gain = np.mean([one.f1 for one in tuned], axis=0) - base[chosen["f1"]].f1

    def f1_gain(counts: Numbers) -> float:
        return float(np.average(gain[has], weights=counts[has]))

    def abstention_gain(counts: Numbers) -> float:
        return abstention(certainties, scored, counts) - abstention(certain, scored, counts)

    return {
        "f1_answerable_base": float(base[chosen["f1"]].f1[has].mean()),
        "f1_answerable_tuned": float(np.mean([one.f1[has] for one in tuned])),
        **_interval("f1_answerable_gain", f1_gain, asked.answered),
        "abstention_base": abstention(certain, scored), "abstention_tuned": abstention(certainties, scored),
        **_interval("abstention_gain", abstention_gain, asked.scored),
        "shots_for_f1": chosen["f1"], "shots_for_abstention": chosen["abstention"],
        "answering_questions": {"answerable": int(has.sum()), "unanswerable": int((~has).sum())},
        "abstention_questions": {"answerable": int(scored.sum()), "unanswerable": int((~scored).sum())},
        "answering_paragraphs": len({question.paragraph_id for question in asked.scored}),
        "answering_rows": {
            **{f"{count} shots": _row(one, has, scored) for count, one in sorted(base.items())},
            **{f"adapter, seed {seed}": _row(one, has, scored) for seed, one in enumerate(tuned)},
            "always I don't know": _row(_always_refusing(asked), has, scored),
        },
    }  # fmt: skip


def _interval(key: str, statistic: Callable[[Numbers], float], asked: Sequence[Asked]) -> dict[str, float]:
    found = [statistic(counts) for counts in cluster_resamples([question.paragraph_id for question in asked])]
    low, high = np.quantile(found, (0.025, 0.975)).tolist()
    return {key: statistic(np.ones(len(asked))), f"{key}_low": low, f"{key}_high": high}


def _always_refusing(asked: Asking) -> Answered:
    """What says "I don't know" to all alike: told to refuse at most a quarter of the answerable, it can refuse none."""
    nothing = np.zeros(len(asked.answered))
    return Answered(f1=nothing, exact=nothing, refused=nothing + 1, certainty=np.zeros(len(asked.scored)))


def _row(answered: Answered, has: npt.NDArray[np.bool_], scored: npt.NDArray[np.bool_]) -> dict[str, float]:
    """What a contender's own answers come to, and what its certainty of abstaining is good for."""
    return {
        **{name: float(values[has].mean()) for name, values in answered.answers.items()},
        "refused_rightly": float(answered.refused[~has].mean()), "abstention": abstention(answered.certainty[None], scored),
    }  # fmt: skip
