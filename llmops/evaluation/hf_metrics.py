"""Our KPIs of texts and rankings as HF `evaluate.Metric`s, which are made here and not loaded from the hub.

    TokenF1().compute(predictions=["thirty"], references=[["thirty days", "30 days"]])
    evaluate.combine([TokenF1(), ExactMatch(), RougeL(), Abstention()]).compute(predictions=..., references=...)

Importing this takes `evaluate`'s 6 s: nothing else here imports it.
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import evaluate
from datasets import Features, List, Value

from llmops.chains.prompt import is_abstention
from llmops.errors import DataError
from llmops.evaluation.metrics import exact_match, rouge_l, token_f1
from llmops.evaluation.ranking import query_scores

_TEXT = Value("string")
_SOURCE = "Predictions are answers; references are lists of acceptable answers, empty where there is none."


class _TextMetric(evaluate.Metric):  # type: ignore[misc]
    """The mean of a measure over the questions that have an answer; abstaining from one scores 0."""

    measure: Callable[[str, Sequence[str]], float]

    def _info(self) -> evaluate.MetricInfo:
        return _info(self, _SOURCE, Features({"predictions": _TEXT, "references": List(_TEXT)}))

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        pairs = [pair for pair in zip(predictions, references, strict=True) if pair[1]]
        return {self.name: _mean([0.0 if is_abstention(text) else type(self).measure(text, right) for text, right in pairs])}


class TokenF1(_TextMetric):
    """Token F1 as in SQuAD 2.0 (Rajpurkar et al. 2018), in [0, 1]."""

    measure = staticmethod(token_f1)


class ExactMatch(_TextMetric):
    """The share of answers with the words of an acceptable one, as in SQuAD 2.0 (Rajpurkar et al. 2018)."""

    measure = staticmethod(exact_match)


class RougeL(_TextMetric):
    """F measure of the longest common subsequence of words, without stemming (Lin 2004), in [0, 1]."""

    measure = staticmethod(rouge_l)


class Abstention(evaluate.Metric):  # type: ignore[misc]
    """Shares of "I don't know": `abstention_recall` of questions without an answer, `abstention_false_rate` of others."""

    def _info(self) -> evaluate.MetricInfo:
        return _info(self, _SOURCE, Features({"predictions": _TEXT, "references": List(_TEXT)}))

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        pairs = list(zip(predictions, references, strict=True))
        kinds = {"abstention_recall": False, "abstention_false_rate": True}
        found = {name: [is_abstention(text) for text, right in pairs if bool(right) == kind] for name, kind in kinds.items()}
        return {name: fmean(abstained) for name, abstained in found.items() if abstained}


class RetrievalRanking(evaluate.Metric):  # type: ignore[misc]
    """Recall, MRR and nDCG at `k`, as trec_eval computes them, over the queries that something is relevant to.

    Predictions are ids of documents, best first; references the judged ones, each as `{"document": id, "grade": 1}`.
    """

    def __init__(self, k: int = 10, **more: Any) -> None:
        self._k = k
        super().__init__(**more)

    def _info(self) -> evaluate.MetricInfo:
        judged = List({"document": _TEXT, "grade": Value("int32")})
        return _info(
            self,
            "Predictions are rankings; references say what is relevant.",
            Features({"predictions": List(_TEXT), "references": judged}),
        )

    def _compute(self, predictions: Sequence[Sequence[str]], references: Sequence[Any]) -> dict[str, float]:
        ranked = {str(query): found for query, found in enumerate(predictions)}
        qrels = {str(query): {one["document"]: one["grade"] for one in judged} for query, judged in enumerate(references)}
        return {name: _mean(list(found.values())) for name, found in query_scores(ranked, qrels, self._k).items()}


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise DataError("no reference says what is right, expected one at least. Give the answers, or what is relevant.")
    return fmean(values)


def _info(metric: evaluate.Metric, inputs: str, features: Any) -> evaluate.MetricInfo:
    told = type(metric).__doc__
    return evaluate.MetricInfo(description=told, citation="", inputs_description=inputs, features=features)
