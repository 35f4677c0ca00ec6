"""Answering in bulk: what was answered is remembered, and what fails, fails alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

from llmops.chains.answerer import Unanswered
from llmops.errors import ConfigError, EngineError
from llmops.evaluation.bulk import BATCH, answer_all
from llmops.evaluation.costs import Prices, read_prices
from llmops.journal import JsonJournal
from llmops.types import Answer, Chunk, Hit, Progress, Question


class Clerk:
    """Answers each question with itself, fails on those it is told to, and counts what it is asked."""

    identity = {"name": "clerk"}

    def __init__(self, *fails: str, dies_after: int = 1_000_000) -> None:
        self.fails, self.dies_after = fails, dies_after
        self.asked: list[str] = []

    def with_seed(self, seed: int | None) -> Self:
        return self

    def answer(self, queries: Sequence[str], progress: Progress | None = None) -> list[Answer]:
        if len(self.asked) >= self.dies_after:
            raise KeyboardInterrupt
        self.asked += queries
        for query in queries:
            if query in self.fails:
                raise EngineError(f"no room for {query!r}")
        hit = Hit(Chunk("a.md#0", "a.md", "A", "", "text", 0, 4, page=3), 0.5, 0.25, ("b.md",))
        return [Answer(f"{q}!", False, (hit,), 7, 2, places=(1,), citations=(1,), confidence=-0.5) for q in queries]


def questions(count: int) -> list[Question]:
    return [Question(f"q{i}", f"What is {i}?", ("x",)) for i in range(count)]


@pytest.fixture
def journal(tmp_path: Path) -> JsonJournal:
    return JsonJournal(tmp_path / "answers.jsonl")


def test_answers_come_in_the_order_of_the_questions_with_all_they_hold(journal: JsonJournal) -> None:
    outcomes = answer_all(Clerk(), questions(BATCH + 3), journal)
    assert [one.answer and one.answer.text for one in outcomes] == [f"What is {i}?!" for i in range(BATCH + 3)]
    (expected,) = Clerk().answer(["What is 0?"])
    assert outcomes[0].answer == expected and outcomes[0].seconds > 0


def test_what_was_answered_is_not_asked_again(journal: JsonJournal, tmp_path: Path) -> None:
    first = answer_all(Clerk(), questions(5), journal)
    again = Clerk()
    assert answer_all(again, questions(7), JsonJournal(tmp_path / "answers.jsonl"))[:5] == first
    assert again.asked == ["What is 5?", "What is 6?"]


def test_an_interrupted_run_goes_on_after_the_last_whole_batch(journal: JsonJournal, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        answer_all(Clerk(dies_after=BATCH), questions(2 * BATCH), journal)
    again = Clerk()
    assert len(answer_all(again, questions(2 * BATCH), JsonJournal(tmp_path / "answers.jsonl"))) == 2 * BATCH
    assert len(again.asked) == BATCH


def test_a_line_torn_by_a_kill_is_asked_again_and_harms_no_other(journal: JsonJournal, tmp_path: Path) -> None:
    answer_all(Clerk(), questions(3), journal)
    file = tmp_path / "answers.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    again = Clerk()
    answer_all(again, questions(3), JsonJournal(file))
    assert again.asked == ["What is 2?"]
    assert len(JsonJournal(file)) == 3


def test_a_question_that_fails_leaves_the_rest_alone_and_is_asked_again_next_time(journal: JsonJournal) -> None:
    outcomes = answer_all(Clerk("What is 2?"), questions(4), journal)
    assert [one.error for one in outcomes] == ["", "", "EngineError: no room for 'What is 2?'", ""]
    assert outcomes[2].answer is None
    assert all(one.answer for one in answer_all(Clerk(), questions(4), journal))


def test_of_a_batch_in_which_some_fail_nothing_is_asked_again(journal: JsonJournal) -> None:
    class Half(Clerk):
        def answer(self, queries: Sequence[str], progress: Progress | None = None) -> list[Answer]:
            answers = super().answer(queries)
            if len(queries) > 1:
                raise Unanswered([EngineError("too long") if "1" in a.text else a for a in answers])
            return answers

    clerk = Half()
    outcomes = answer_all(clerk, questions(4), journal)
    assert [one.error for one in outcomes] == ["", "EngineError: too long", "", ""] and len(clerk.asked) == 4


def test_where_nothing_works_the_error_is_told_at_once(journal: JsonJournal) -> None:
    clerk = Clerk(*(question.text for question in questions(50)))
    with pytest.raises(EngineError, match="no room"):
        answer_all(clerk, questions(50), journal)
    assert len(clerk.asked) < 60


def test_a_question_asked_twice_is_answered_once(journal: JsonJournal) -> None:
    clerk = Clerk()
    twice = [Question("a", "Same?"), Question("b", "Same?")]
    first, second = answer_all(clerk, twice, journal)
    assert first == second and clerk.asked == ["Same?"]


def test_a_journal_keeps_what_was_put_last(tmp_path: Path) -> None:
    journal = JsonJournal(tmp_path / "deep" / "j.jsonl")
    journal.put({"a": 1, "\ud800": "lone"})
    journal.put({"a": {"b": [None, "\u00fc"]}})
    read = JsonJournal(tmp_path / "deep" / "j.jsonl")
    assert (read["a"], len(read), "c" in read) == ({"b": [None, "\u00fc"]}, 2, False)
    assert (tmp_path / "deep" / "j.jsonl").stat().st_mode & 0o077 == 0
    assert read["\ud800"] == "lone"


# What answers cost


def test_a_server_costs_by_the_token_and_a_machine_by_the_hour() -> None:
    assert Prices(prompt_tokens=0.5, completion_tokens=2.0).of_server(400, 50) == pytest.approx(0.3)
    assert Prices(machine_hour=3.6).of_machine(seconds=0.25) == pytest.approx(0.25)


def test_training_is_spread_over_the_answers_it_was_done_for() -> None:
    prices = Prices(machine_hour=3.6, training_answers=10_000)
    assert prices.of_machine(0.25, training_s=1000) == pytest.approx(0.25 + 0.1)


@pytest.mark.parametrize(
    "content, hint",
    [
        ("machine_hour: -1", "machine_hour is -1"),
        ("machine_hour: free", "machine_hour is 'free'"),
        ("machine_hour: .nan", "machine_hour is nan"),
        ("training_answers: 0", "training_answers is 0"),
        ("gpu: 2", "holds gpu, expected some of prompt_tokens"),
        ("", "holds None"),
        ("[", "can't be read"),
    ],
)
def test_prices_that_make_no_sense_are_refused_in_one_line(tmp_path: Path, content: str, hint: str) -> None:
    (tmp_path / "prices.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_prices(tmp_path / "prices.yaml")
    assert hint in str(caught.value) and "\n" not in str(caught.value)
