"""Questions that leak into training data: word for word, nearly so, and what is not taken for a leak."""

from collections.abc import Iterator

import pytest
from conftest import HANDBOOK
from hypothesis import given
from hypothesis import strategies as st

from llmops.datasets import overlap
from llmops.datasets.examples import read_examples
from llmops.datasets.overlap import THRESHOLD, Overlap, find_overlaps
from llmops.datasets.questions import read_questions
from llmops.errors import ConfigError
from llmops.types import Question

QUESTION = "How many days of annual leave do we get?"
DEV, TEST = read_questions(HANDBOOK / "questions-dev.jsonl"), read_questions(HANDBOOK / "questions-test.jsonl")


def kinds(text: str, question: str = QUESTION) -> list[str]:
    return [overlap.kind for overlap in find_overlaps([("here", text)], [("q1", question)])]


def asked(questions: list[Question]) -> list[tuple[str, str]]:
    return [(question.question_id, question.text) for question in questions]


# Exact


@pytest.mark.parametrize(
    "text",
    [
        QUESTION,
        "how many DAYS of annual\n  leave do we get",
        f"Use these passages: leave.md\n\nQuestion: {QUESTION}\nAnswer: 30",
        f"He asked: “{QUESTION}” Nobody knew.",
        "I wonder how many days of annual leave do we get in May",
    ],
)
def test_a_question_is_found_word_for_word_whatever_its_case_spacing_and_punctuation(text: str) -> None:
    assert find_overlaps([("set.jsonl:7", text)], [("q1", QUESTION)]) == [
        Overlap("set.jsonl:7", "q1", "exact", 1.0, QUESTION)
    ]


def test_only_whole_words_count() -> None:
    assert kinds("So how many daysoff in the whole year?", "How many days") == []
    assert kinds("Somehow many days went by", "How many days") == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("Who won?", ["exact"]),
        ("Question: Who won?\nAnswer: Ardvale", ["exact"]),
        ("Well. Who won", ["exact"]),
        ("The team who won the cup", []),
    ],
)
def test_a_question_of_two_words_must_be_a_sentence_or_line(text: str, found: list[str]) -> None:
    assert kinds(text, "Who won?") == found


def test_a_question_in_a_script_without_spaces_is_found() -> None:
    assert kinds("请回答：年假有多少天？谢谢。", "年假有多少天？") == ["exact"]
    assert kinds("病假有多少天？", "年假有多少天？") == ["near"]


def test_a_question_without_words_is_found_nowhere() -> None:
    assert kinds("???", "???") == kinds("", "") == kinds(QUESTION, "?") == []


# Near

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=5, max_size=20, unique=True)


@given(words=WORDS, data=st.data())
def test_a_question_of_five_words_or_more_is_found_with_any_one_of_them_changed(
    words: list[str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(words) - 1))
    changed = [*words[:place], "other", *words[place + 1 :]]
    assert kinds(f"Before. {' '.join(changed)}? After.", " ".join(words)) == ["near"]


@given(words=WORDS, data=st.data())
def test_a_question_of_five_words_or_more_is_found_with_two_neighbours_swapped(
    words: list[str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(words) - 2))
    swapped = [*words[:place], words[place + 1], words[place], *words[place + 2 :]]
    assert kinds(" ".join(swapped), " ".join(words)) == ["near"]


@given(words=WORDS, before=st.text(max_size=50), after=st.text(max_size=50))
def test_a_question_is_found_whatever_stands_around_it(words: list[str], before: str, after: str) -> None:
    assert kinds(f"{before} {' '.join(words)} {after}", " ".join(words)) == ["exact"]


def test_the_similarity_is_of_words_and_pairs_of_neighbours() -> None:
    overlap = find_overlaps([("here", "a b c d x")], [("q1", "a b c d e")])[0]
    assert overlap.similarity == (4 + 3) / (6 + 5)  # words and pairs: shared, and of either


def test_the_most_similar_sentence_counts() -> None:
    text = "How many days of sick leave do they get? How many days of annual leave do they get?"
    overlap = find_overlaps([("here", text)], [("q1", QUESTION)])[0]
    assert overlap.similarity == find_overlaps([("here", text.split("? ")[1])], [("q1", QUESTION)])[0].similarity


def test_a_higher_threshold_finds_only_what_is_more_similar() -> None:
    text = QUESTION.replace("annual", "sick")
    assert kinds(text) == ["near"]
    assert find_overlaps([("here", text)], [("q1", QUESTION)], threshold=0.95) == []
    assert find_overlaps([("here", QUESTION)], [("q1", QUESTION)], threshold=1)[0].kind == "exact"


@pytest.mark.parametrize("threshold", [0, 0.49, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match=r"expected one in \[0\.5, 1\]"):
        find_overlaps([], [], threshold)


def test_each_pair_is_listed_once_in_the_order_given() -> None:
    other = "Who grants exceptions to the frame hours?"
    training = [("b", f"{other} {QUESTION} {QUESTION}"), ("a", "Nothing."), ("c", other)]
    found = find_overlaps(iter(training), [("q2", QUESTION), ("q1", other), ("q3", QUESTION.upper())])
    assert [(overlap.where, overlap.question_id) for overlap in found] == [
        ("b", "q2"),
        ("b", "q1"),
        ("b", "q3"),
        ("c", "q1"),
    ]


def test_nothing_is_found_in_nothing() -> None:
    assert find_overlaps([], [("q1", QUESTION)]) == find_overlaps([("here", QUESTION)], []) == []


# The sample application


def test_no_question_of_the_handbook_is_in_its_examples() -> None:
    training = [
        (str(line), "\n\n".join([*example.context, example.question, example.answer]))
        for line, example in enumerate(read_examples(HANDBOOK / "examples.jsonl"), start=1)
    ]
    assert find_overlaps(training, asked([*DEV, *TEST])) == []


def test_the_handbooks_own_sets_do_not_leak_into_each_other() -> None:
    assert find_overlaps(asked(DEV), asked(TEST)) == []


def test_a_handbook_question_is_found_among_the_passages_with_another_word_in_it() -> None:
    passages = "\n\n".join(read_examples(HANDBOOK / "examples.jsonl")[0].context)
    long = [question for question in TEST if len(set(question.text.lower().split())) >= 8]
    for question in long:
        words = question.text.split()
        changed = " ".join([*words[:4], "lighthouse", *words[5:]])
        found = find_overlaps([("here", f"{passages}\n\nQuestion: {changed}\nAnswer:")], asked([question]))
        assert [overlap.kind for overlap in found] == ["near"], question
        assert found[0].similarity >= THRESHOLD


# Speed


def test_hardly_any_of_a_thousand_rows_is_compared_with_hardly_any_of_a_thousand_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examples = read_examples(HANDBOOK / "examples.jsonl")
    variants = [f"{question.text[:-1]} in {year}?" for question in TEST for year in range(2018, 2026)]

    def rows() -> Iterator[tuple[str, str]]:
        for number in range(1_000):
            example = examples[number % len(examples)]
            yield str(number), "\n\n".join([*example.context, example.question, example.answer])

    taken_apart: list[overlap.Words] = []

    def shingles(words: overlap.Words) -> set[str]:
        taken_apart.append(words)
        return real(words)

    real = overlap._shingles
    monkeypatch.setattr(overlap, "_shingles", shingles)
    find_overlaps(rows(), [(str(number), text) for number, text in enumerate(variants)])
    assert len(taken_apart) < 1_000 * len(variants) / 10
