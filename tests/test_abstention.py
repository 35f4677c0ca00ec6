"""Abstention: answers of too little confidence are withheld, at a threshold calibrated to a rate of wrong answers."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from conftest import drain
from fakes import EchoEngine, bot, release, retriever

from llmops.chains.parts import Abstention
from llmops.chains.prompt import ABSTENTION
from llmops.errors import ConfigError, EngineError
from llmops.evaluation.settings import calibrate_abstention
from llmops.types import Answer, Completion, GenerationRequest, Progress, Question

# In a release


class Sure(EchoEngine):
    """Answers with log-probabilities: those of the words after "sure" in a question, in nats."""

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        said = super().generate(requests, progress)
        return [replace(one, logprobs=self.logprobs(one.text)) for one in said]

    def logprobs(self, text: str) -> tuple[float, ...]:
        return tuple(-float(word) for word in text.partition("sure ")[2].split())


def asking(min_confidence: float, kind: str = "prompt", **parts: Any) -> Any:
    return replace(release(kind), abstention=Abstention(min_confidence, 0.1, 40), **parts)


def test_an_answer_of_too_little_confidence_is_withheld() -> None:
    answers = bot(asking(-1.0), Sure()).answer(["sure 0.5 1.5", "sure 0.5 1.6"])
    assert [(answer.text, answer.confidence) for answer in answers] == [
        ("Question: sure 0.5 1.5", -1.0),
        (ABSTENTION, -1.05),
    ]
    assert [answer.abstained for answer in answers] == [False, True]
    assert answers[1].guards == ("abstention: confidence below -1",) and answers[1].prompt_tokens > 0


def test_a_withheld_answer_is_not_streamed() -> None:
    answerer = bot(asking(-1.0), Sure())
    for question in ("sure 0.5", "sure 2"):
        pieces, answer = drain(answerer.stream(question))
        assert answer == answerer.answer([question])[0] and pieces == [answer.text]


def test_what_is_not_generated_needs_no_confidence() -> None:
    answerer = bot(asking(-1.0, "rag"), EchoEngine(), None, retriever(("leave", 0.9)))
    assert [answer.text for answer in answerer.answer(["", "nothing"])] == [ABSTENTION] * 2


def test_an_engine_that_tells_no_confidence_cannot_run_a_release_that_asks_for_it() -> None:
    with pytest.raises(EngineError, match="Serve it on one that does"):
        bot(asking(-1.0), EchoEngine()).answer(["When?"])


# Calibrated


def judged(*outcomes: tuple[bool, float]) -> tuple[list[Question], list[Answer]]:
    """Questions and their answers, each right or wrong, with a confidence."""
    questions = [Question(f"q{i}", "Which?", ("yes",), ("a.md",)) for i in range(len(outcomes))]
    return questions, [Answer("yes" if right else "no", False, confidence=c) for right, c in outcomes]


def wrong_at(threshold: float, questions: Sequence[Question], answers: Sequence[Answer]) -> int:
    return sum(a.text != "yes" and (a.confidence or 0) >= threshold for _, a in zip(questions, answers, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_lowest_that_keeps_to_the_rate(seed: int) -> None:
    draw = random.Random(seed)
    n, rate = draw.randrange(10, 80), draw.choice([0.1, 0.2, 0.5])
    questions, answers = judged(*((draw.random() < 0.5, -round(draw.random() * 3, 1)) for _ in range(n)))
    chosen = calibrate_abstention(questions, answers, rate)
    assert (chosen.max_wrong, chosen.questions) == (rate, n)
    assert (wrong_at(chosen.min_confidence, questions, answers) + 1) / (n + 1) <= rate
    lower = [a.confidence for a in answers if a.confidence is not None and a.confidence < chosen.min_confidence]
    if lower:
        assert (wrong_at(max(lower), questions, answers) + 1) / (n + 1) > rate


def test_the_rate_holds_on_questions_that_were_not_calibrated_on() -> None:
    """The mean over many draws of questions, half of whose answers are wrong, the less confident ones more often."""
    draw, rate, found = random.Random(0), 0.15, []
    for _ in range(300):
        outcomes = [(draw.random() < 1 / (1 + 4 ** (-1 - c)), c) for c in (draw.uniform(-3, 0) for _ in range(61))]
        questions, answers = judged(*outcomes)
        chosen = calibrate_abstention(questions[:-1], answers[:-1], rate)
        found.append(wrong_at(chosen.min_confidence, questions[-1:], answers[-1:]))
    assert sum(found) / len(found) <= rate + 0.03


def test_there_is_no_threshold_where_enough_is_right() -> None:
    questions, answers = judged(*[(True, -2.0)] * 18, (False, -3.0))
    assert calibrate_abstention(questions, answers, 0.1).min_confidence < -1e6


def test_an_answer_to_an_unanswerable_question_is_wrong_and_an_abstention_is_not() -> None:
    questions = [Question("a", "Which?")] * 20
    answers = [Answer("yes", False, confidence=-1.0), *[Answer(ABSTENTION, True, confidence=-0.1)] * 19]
    assert calibrate_abstention(questions, answers, 0.05).min_confidence > -1.0


def test_too_few_questions_to_show_a_rate_are_refused() -> None:
    questions, answers = judged(*[(True, -1.0)] * 18)
    with pytest.raises(ConfigError, match="18 questions can't show a share of wrong answers of 0.05, expected at least 19"):
        calibrate_abstention(questions, answers, 0.05)
    assert calibrate_abstention(*judged(*[(True, -1.0)] * 19), 0.05).questions == 19


def test_an_engine_without_log_probabilities_cannot_be_calibrated() -> None:
    with pytest.raises(ConfigError, match="no log-probabilities"):
        calibrate_abstention([Question("a", "Which?")] * 20, [Answer("yes", False)] * 20, 0.1)
