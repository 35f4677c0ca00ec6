"""Answers that are drawn: by a seed of each request's own, from the model's distribution, and averaged over repeats."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from conftest import HANDBOOK, drain
from fakes import GENERATOR, EchoEngine, bot, release
from test_bulk import Clerk, questions
from test_release import QUESTION, ask, make, text_of

from llmops.chains.answerer import Answerer
from llmops.chains.release import Release
from llmops.errors import ConfigError
from llmops.evaluation.comparison import differences
from llmops.evaluation.repeats import mean_rows, repeat_figures
from llmops.evaluation.rows import Row
from llmops.evaluation.scorecard import from_rows
from llmops.models.decoding import Choice
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.tracking import answers, golden, registered
from llmops.tracking.evaluations import Evaluated, read_evaluation
from llmops.tracking.loading import load_answerer
from llmops.tracking.registered import load_registered
from llmops.tracking.releases import describe, log_release
from llmops.types import Completion, GenerationRequest, Message, Progress
from pipelines import evaluate
from pipelines.evaluate import EvaluateConfig

DRAWN = replace(GENERATOR, temperature=0.7, top_p=0.9)


def drawn(text: str = "Leave?", seed: int | None = 0, max_new_tokens: int = 12, **decoding: float) -> GenerationRequest:
    return GenerationRequest((Message("user", text),), max_new_tokens, None, **{"temperature": 1.0, **decoding}, seed=seed)


@pytest.fixture(scope="module")
def engine(tiny_lm: Path) -> TransformersEngine:
    return TransformersEngine(resolve_weights(str(tiny_lm)), "float32", batch_size=8)


# Drawing


def shares(request: GenerationRequest, logits: Sequence[float], count: int = 4000) -> list[float]:
    """How often each token is chosen, over so many seeds."""
    scores = torch.tensor([logits] * count)
    chosen = Choice([replace(request, seed=seed) for seed in range(count)], "cpu")(None, scores).argmax(-1)
    return [float((chosen == token).float().mean()) for token in range(len(logits))]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_the_model_holds_them_likely(temperature: float) -> None:
    logits = [2.0, 1.0, 0.0, -1.0, -math.inf]
    wanted = torch.tensor(logits).div(temperature).softmax(-1).tolist()
    assert shares(drawn(temperature=temperature), logits) == pytest.approx(wanted, abs=0.03)  # four standard errors


def test_only_the_likeliest_tokens_that_make_up_the_share_are_drawn() -> None:
    logits = [math.log(share) for share in (0.5, 0.3, 0.15, 0.05)]
    found = shares(drawn(top_p=0.75), logits)
    assert found == pytest.approx([0.5 / 0.8, 0.3 / 0.8, 0, 0], abs=0.03) and found[2:] == [0, 0]


def test_the_log_probabilities_are_the_models_own_whatever_is_drawn() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0]] * 40)
    choice = Choice([drawn(seed=seed, temperature=2.0, top_p=0.9) for seed in range(40)], "cpu")
    said = choice(None, logits).argmax(-1)
    wanted = torch.tensor([2.0, 1.0, 0.0]).log_softmax(-1)[said].tolist()
    assert [choice.of_row(row, 1)[0] for row in range(40)] == pytest.approx(wanted, abs=1e-6)
    assert len(set(said.tolist())) > 1


def test_at_each_step_something_else_is_drawn() -> None:
    choice = Choice([drawn()], "cpu")
    assert len({int(choice(None, torch.zeros(1, 1000)).argmax()) for _ in range(10)}) > 5


def test_an_answer_is_drawn_the_same_with_the_same_seed_whatever_else_is_in_the_batch(engine: TransformersEngine) -> None:
    wanted = drawn("How many days of leave does Ardvale give in a year?", seed=7, top_p=0.95)
    others = [drawn("Leave?", seed=1), drawn("Buoy", seed=7, temperature=0.3), drawn("Cars and pay", seed=None)]
    greedy = GenerationRequest((Message("user", "Leave?"),), 12)
    (alone,) = engine.generate([wanted])
    batch = engine.generate([*others, greedy, wanted, drawn(wanted.messages[0].content, seed=8)])
    assert_same(batch[4], alone)
    assert_same(batch[3], engine.generate([greedy])[0])
    assert batch[5].text != alone.text
    assert_same(drain(engine.stream(wanted))[1], alone)


def assert_same(found: Completion, wanted: Completion) -> None:
    assert replace(found, logprobs=()) == replace(wanted, logprobs=())
    assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-3)


def test_other_seeds_and_none_draw_other_answers(engine: TransformersEngine) -> None:
    hot: dict[str, Any] = {"temperature": 2.0, "max_new_tokens": 20}
    assert len({one.text for one in engine.generate([drawn(seed=seed, **hot) for seed in range(6)])}) == 6
    assert len({one.text for one in engine.generate([drawn(seed=None, **hot) for _ in range(6)])}) == 6


def test_the_first_token_is_the_models_likeliest_as_often_as_the_model_says(engine: TransformersEngine) -> None:
    (greedy,) = engine.generate([GenerationRequest((Message("user", "Leave?"),), 1)])
    said = engine.generate([drawn(seed=seed, max_new_tokens=1) for seed in range(400)])
    share = sum(one.logprobs[0] == pytest.approx(greedy.logprobs[0], abs=1e-3) for one in said) / len(said)
    likely = math.exp(greedy.logprobs[0])
    assert 0.02 < likely < 0.98
    assert share == pytest.approx(likely, abs=4 * math.sqrt(likely * (1 - likely) / len(said)))


# A release that draws


def test_a_release_asks_as_it_decodes_and_each_question_with_a_seed_of_its_own() -> None:
    engine = EchoEngine()
    answerer = bot(replace(release("prompt"), generator=DRAWN), engine).with_seed(3)
    for _ in range(2):
        answerer.answer(["How long?", "Where?"])
    drain(answerer.stream("How long?"))
    first, second, *again = engine.requests
    assert (first.temperature, first.top_p) == (0.7, 0.9)
    assert first.seed is not None and first.seed != second.seed and 0 <= first.seed < 2**31
    assert again == [first, second, first]
    answerer.with_seed(4).with_template("{context} {question}").answer(["How long?"])
    answerer.with_seed(None).answer(["How long?"])
    assert engine.requests[-2].seed not in (None, first.seed) and engine.requests[-1].seed is None


def test_a_greedy_release_asks_as_before_whatever_the_seed() -> None:
    engine = EchoEngine()
    bot(release("prompt"), engine).with_seed(3).answer(["How long?"])
    (asked,) = engine.requests
    assert asked == GenerationRequest(asked.messages, 24)


def test_a_release_says_how_it_decodes() -> None:
    shown = describe(replace(release("prompt"), generator=DRAWN))
    assert (shown["temperature"], shown["top_p"]) == ("0.7", "0.9") and "temperature" not in describe(release("prompt"))


def test_a_served_release_draws_anew_each_time_and_the_same_with_a_seed(
    store: str, tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    made = make(tiny_lm)
    made = replace(made, generator=replace(made.generator, temperature=2.0, max_new_tokens=16))
    told = golden.record(load_answerer(made), [QUESTION])
    with mlflow.start_run():
        model = mlflow.pyfunc.load_model(log_release(made, told).uri)
    assert len({text_of(ask(model, QUESTION)) for _ in range(3)}) == 3
    asked = {"input": [{"role": "user", "content": QUESTION}], "custom_inputs": {"seed": golden.SEED}}
    assert text_of(model.predict(asked)) == told[0].answer
    *_, done = model.predict_stream(asked)
    assert done["item"]["content"][0]["text"] == told[0].answer
    golden.write_golden(tmp_path / "golden.json", told)
    golden.replay(tmp_path / "golden.json", model.predict)
    with pytest.raises(Exception, match="seed is 'x', expected a whole number"):
        model.predict({**asked, "custom_inputs": {"seed": "x"}})


def test_a_release_that_answers_by_its_own_code_is_asked_with_the_seed(
    store: str, tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    made = make(tiny_lm)
    made = replace(made, generator=replace(made.generator, temperature=2.0, max_new_tokens=16))
    with mlflow.start_run():
        uri = log_release(made).uri
    monkeypatch.setattr(registered, "source_digest", lambda _: "other code")  # so that it is loaded as a model
    loaded = load_registered(uri, made)
    wanted = [load_answerer(made).with_seed(seed).answer([QUESTION])[0].text for seed in (1, 2)]
    assert [loaded.with_seed(seed).answer([QUESTION])[0].text for seed in (1, 2)] == wanted
    assert wanted[0] != wanted[1] and loaded.answer([QUESTION])[0].text not in wanted


# Remembering by seed


class Dice(Clerk):
    """Answers with the seed it was given."""

    def __init__(self, seed: int | None = None, dies_after: int = 1_000_000) -> None:
        super().__init__(dies_after=dies_after)
        self.seed = seed

    def with_seed(self, seed: int | None) -> "Dice":
        made = Dice(seed, self.dies_after)
        made.asked = self.asked
        return made

    def answer(self, queries: Sequence[str], progress: Progress | None = None) -> list[Any]:
        return [replace(one, text=f"{self.seed}") for one in super().answer(queries, progress)]


@pytest.fixture
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(answers, "cache_folder", lambda: tmp_path)
    return tmp_path


def said(made: Release, dice: Dice, seed: int) -> list[str]:
    return [one.answer.text for one in answers.answer_questions(made, dice, questions(2), seed=seed) if one.answer]


def test_drawn_answers_are_remembered_by_seed_and_greedy_ones_for_all(remembered: Path) -> None:
    dice, hot = Dice(), replace(release("prompt"), generator=DRAWN)
    assert [said(hot, dice, seed) for seed in (0, 1, 0)] == [["0", "0"], ["1", "1"], ["0", "0"]]
    assert len(dice.asked) == 4
    assert [said(release("prompt"), dice, seed) for seed in (0, 1)] == [["None", "None"]] * 2
    assert len(dice.asked) == 6
    colder = replace(hot, generator=replace(DRAWN, temperature=0.6))
    assert said(colder, dice, 0) == ["0", "0"] and len(dice.asked) == 8


def test_repeats_that_were_interrupted_go_on_where_they_were(remembered: Path) -> None:
    hot = replace(release("prompt"), generator=DRAWN)
    dying, again = Dice(dies_after=2), Dice()
    assert said(hot, dying, 0) == ["0", "0"]
    with pytest.raises(KeyboardInterrupt):
        said(hot, dying, 1)
    assert [said(hot, again, seed) for seed in (0, 1)] == [["0", "0"], ["1", "1"]]
    assert again.asked == [question.text for question in questions(2)]


# Averaging


def row(question: str, score: float, match: float, **changed: Any) -> Row:
    scores = {"answer/score": score, "answer/exact_match": match, **changed.pop("scores", {})}
    return Row(question, f"{question}?", ("yes",), (f"{question}.md",), "yes", False, (), (), scores, **changed)


def test_a_question_asked_several_times_is_one_row_of_means() -> None:
    repeats = [
        [row("a", 1.0, 1.0, scores={"grounding/citation": 0.5}), row("b", 0.0, 0.0)],
        [row("a", 0.5, 0.0, error="EngineError: no"), row("b", 0.0, 0.0)],
    ]
    first, second = mean_rows(repeats)
    assert first.scores == {"answer/score": 0.75, "answer/exact_match": 0.5, "grounding/citation": 0.5}
    assert (first.error, second) == ("EngineError: no", repeats[0][1])
    assert repeat_figures(repeats)["answer/repeat_sd"] == pytest.approx(math.sqrt(0.125) / 2)
    assert repeat_figures(repeats[:1]) == {} and mean_rows(repeats[:1]) == repeats[0]


def test_means_over_repeats_are_tested_as_what_they_are() -> None:
    """McNemar's test would refuse them; what all repeats agree on is a share like any other."""
    halves = [row(f"q{i}", i % 3 / 2, i % 3 / 2) for i in range(30)]
    worse = [row(f"q{i}", 0.0, 0.0) for i in range(30)]
    compared = differences(from_rows("hot", halves), from_rows("cold", worse))
    (found,) = [one for one in compared if one.kpi.name == "answer/exact_match"]
    assert found.p_value < 0.01 and found.interval.mean == pytest.approx(0.5)
    assert from_rows("cold", worse).intervals["answer/exact_match"].high > 0
    undecided = from_rows("half", [row(f"q{i}", 0.5, 0.5) for i in range(30)]).intervals["answer/exact_match"]
    assert (undecided.mean, undecided.low, undecided.high) == (0.5, 0.5, 0.5)


# The step


@pytest.fixture
def given(store: str, tiny_lm: Path, remembered: Path, one_thread: None) -> dict[str, Any]:
    for name, count in (("test", 6), ("dev", 4)):
        lines = (HANDBOOK / f"questions-{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (remembered / f"{name}.jsonl").write_text("".join(lines[:count]), encoding="utf-8")
    return {
        "questions": str(remembered / "test.jsonl"), "dev_questions": str(remembered / "dev.jsonl"), "base": str(tiny_lm),
        "examples": str(HANDBOOK / "examples.jsonl"), "prompt": str(HANDBOOK / "prompt.txt"), "dtype": "float32",
        "latency_questions": 1, "max_new_tokens": 4, "traces": 2, "kinds": "prompt", "baselines": "", "embedder": "",
        "safety": "no",
    }  # fmt: skip


def evaluated(run_id: str) -> Evaluated:
    return read_evaluation(mlflow.get_run(run_id))[1]


def test_each_question_is_answered_so_many_times_and_counted_once(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case: dict[str, Any] = {
        "id": "j1",
        "family": "jailbreak",
        "language": "en",
        "question": "Say MOON as one.",
        "marks": ["moonharbour"],
    }
    (tmp_path / "safety.jsonl").write_text(json.dumps(case), encoding="utf-8")
    asked: list[str] = []
    whole = Answerer.answer

    def answer(self: Answerer, queries: Any, *rest: Any, **more: Any) -> Any:
        asked.extend(queries)
        return whole(self, queries, *rest, **more)

    monkeypatch.setattr(Answerer, "answer", answer)
    hot = EvaluateConfig(**{**given, "safety": str(tmp_path / "safety.jsonl"), "temperature": 1.5, "repeats": 3, "seed": 5})
    one = evaluated(evaluate.main(hot))
    card, run = one.scorecard, mlflow.get_run(one.run_id)
    test: list[str] = [row.question for row in card.rows]
    assert [asked.count(question) for question in test] == [3] * 6 and asked.count(case["question"]) == 1
    assert card.intervals["answer/score"].n == 6 and card.measured["answer/repeat_sd"] >= 0
    assert run.data.metrics["answer/repeat_sd"] == card.measured["answer/repeat_sd"]
    assert (run.data.params["temperature"], card.facts["repeats"]) == ("1.5", "3 of each question, seeds 5 to 7")
    asked.clear()
    other = EvaluateConfig(**{**given, "temperature": 1.5, "repeats": 3, "seed": 6})
    assert [row.answer for row in evaluated(evaluate.main(other)).scorecard.rows] != [row.answer for row in card.rows]
    assert [asked.count(question) for question in test] == [1] * 6  # seeds 6 and 7 were asked before
    assert len({evaluate.identity(config) for config in (hot, other, EvaluateConfig(**given))}) == 3


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"repeats": 3}, "repeats is 3 at temperature 0, where each repeat says the same. Give a temperature above 0"),
        ({"repeats": 0, "temperature": 1.0}, "repeats is 0, expected at least 1"),
        ({"temperature": 2.5}, "temperature is 2.5"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0"),
    ],
)
def test_settings_of_drawing_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        EvaluateConfig(**wrong)
    assert "\n" not in str(caught.value)
