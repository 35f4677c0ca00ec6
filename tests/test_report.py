"""The page of an evaluation: what it shows, that it shows it as text, and that it needs nothing but itself."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import lxml.html
import pytest

from llmops.chains.prompt import ABSTENTION
from llmops.datasets.questions import question_digest
from llmops.errors import DataError
from llmops.evaluation.plots import BOTTOM, LEFT, RIGHT, TOP, WIDTH, label_box, quality_against
from llmops.evaluation.report import report
from llmops.evaluation.rows import failed_row, score_row
from llmops.evaluation.scorecard import (
    ABSTAINER,
    Scorecard,
    from_rows,
    score,
    score_abstainer,
    table,
    with_values,
)  # fmt: skip
from llmops.types import Answer, Chunk, Hit, Question

ANSWERABLE = [
    Question(f"q{i}", f"What is {i}?", (f"number {i}",), (f"{i}.md",), {"topic": "even" if i % 2 == 0 else "odd"})
    for i in range(20)
]
UNANSWERABLE = [Question(f"u{i}", f"Who was {i}?", slices={"topic": "people"}) for i in range(4)]
QUESTIONS = [*ANSWERABLE, *UNANSWERABLE]
RIGHT_ANSWERS = [Answer(q.answers[0], False) if q.answers else Answer(ABSTENTION, True) for q in QUESTIONS]
WRONG = Answer("something else", False)


def answering(candidate: str, right: int, **measured: float) -> Scorecard:
    """A candidate that answers so many questions rightly, the first ones."""
    answers = [*RIGHT_ANSWERS[:right], *[WRONG] * (len(QUESTIONS) - right)]
    figures = {name.replace("__", "/"): value for name, value in measured.items()}
    return score(candidate, QUESTIONS, answers, has_retriever=False, measured=figures)


PROMPT = answering("prompt", 4, latency__p50_s=1.0, cost__per_1000=0.5)
RAG = answering("rag", 20, latency__p50_s=2.0, cost__per_1000=1.5)
CLOSE = answering("close", 5, latency__p50_s=3.0, cost__per_1000=2.5)


def page_of(cards: Sequence[Scorecard], champion: str | None = None, **facts: str) -> Any:
    return lxml.html.fromstring(report(cards, champion, "handbook", "1 May", facts))


def said(element: Any) -> str:
    return " ".join(" ".join(element.itertext()).split())


def part(page: Any, name: str) -> Any:
    (found,) = page.xpath(f"//section[@aria-labelledby='{name}']")
    return found


def line(page: Any, title: str, within: str = "kpis") -> list[Any]:
    """The cells of a table's line, by what its header begins with."""
    found = [row for row in part(page, within).xpath(".//tr[th[@scope='row']]") if said(row[0]).startswith(title)]
    return list(found[0][1:])


def test_the_head_says_what_was_asked_when_and_of_whom() -> None:
    head = said(page_of([PROMPT, RAG], "prompt", concurrency="4 callers").find(".//header"))
    assert "1 May" in head and "24: 20 answerable, 4 not" in head and "prompt, rag" in head and "4 callers" in head
    assert question_digest(QUESTIONS)[:12] in head


def test_each_kpi_has_its_mean_its_interval_and_its_number_of_questions() -> None:
    page = page_of([PROMPT, RAG], "prompt")
    interval = PROMPT.intervals["answer/f1"]
    assert interval.low < 0.2 < interval.high
    assert said(line(page, "F1")[0]) == f"0.200 [{interval.low:.3f}, {interval.high:.3f}]"
    headers = {said(th) for th in part(page, "kpis").xpath(".//th[@scope='row']")}
    assert "F1 n 20" in headers and "abstains wrong lower is better, n 20" in headers


def test_the_best_is_shaded_where_it_is_shown_to_be_better_than_the_champion() -> None:
    score_cells, f1_cells = (line(page_of([PROMPT, RAG, CLOSE], "prompt"), title) for title in ("score", "F1"))
    assert [cell.get("class") for cell in score_cells] == [None, "best", None]
    assert ["▲" in said(cell) for cell in f1_cells] == [False, True, False]


def test_what_is_not_shown_to_be_better_is_not_shaded() -> None:
    assert not page_of([PROMPT, CLOSE], "prompt").xpath("//td[@class='best']")


def test_the_champion_is_not_shaded_and_those_worse_are_marked() -> None:
    cells = line(page_of([RAG, PROMPT], "rag"), "score")
    assert [(cell.get("class"), "▼" in said(cell)) for cell in cells] == [(None, False), (None, True)]


def test_where_less_is_better_the_least_is_best() -> None:
    cells = line(page_of([PROMPT, RAG], "prompt"), "wrong")
    assert [cell.get("class") for cell in cells] == [None, "best"]


def test_abstaining_from_everything_is_never_the_best() -> None:
    careful = score("careful", QUESTIONS, [*[WRONG] * 19, *RIGHT_ANSWERS[19:]], False)
    page = page_of([PROMPT, score_abstainer(QUESTIONS), careful], "prompt")
    assert [cell.get("class") for cell in line(page, "abstains right")] == [None, None, "best"]
    assert ["▲" in said(cell) for cell in line(page, "abstains right")] == [False, True, True]
    assert [cell.get("class") for cell in line(page, "wrong")] == [None, None, None]


def test_a_kpi_that_decides_nothing_is_marked_and_never_shaded() -> None:
    found = {"grounding/embedding": {q.question_id: 1.0 for q in QUESTIONS}, "judge/odd_name": {"q1": 1.0, "q2": 0.0}}
    judged = from_rows("judged", with_values(RAG.rows, found), {}, RAG.questions)
    low = from_rows("low", with_values(RAG.rows, {"grounding/embedding": dict.fromkeys(found["grounding/embedding"], 0.0)}),
                    {}, RAG.questions)  # fmt: skip
    page = page_of([low, judged], "low")
    headers = [said(th) for th in part(page, "kpis").xpath(".//th[@scope='row'][span[@class='tag']]")]
    assert [header.split(" shown only")[0] for header in headers] == ["grounded (embedding)", "coverage", "judged odd_name"]
    assert [cell.get("class") for cell in line(page, "grounded")] == [None, None]


def test_figures_and_facts_stand_below_the_kpis() -> None:
    card = replace(RAG, measured={"latency/p50_s": 1.25, "cost/per_1000": 2.0, "cost/per_1000_low": 1.5,
                   "cost/per_1000_high": 2500.0, "training/cost": 7e-05}, facts={"needs_gpu": "no"})  # fmt: skip
    page = page_of([card, PROMPT], None)
    assert [said(cell) for cell in line(page, "p50 s")] == ["1.250", "1.000"]
    assert said(line(page, "cost per 1,000")[0]) == "2.000 [1.500, 2,500]"
    assert [said(cell) for cell in line(page, "training/cost")] == ["7e-05", "–"]
    assert [said(cell) for cell in line(page, "needs gpu")] == ["no", "–"]


def test_what_a_candidate_abstains_by_has_a_table_with_its_promise_beside_what_came_of_it() -> None:
    figures = {"abstention/max_wrong": 0.2, "abstention/auroc_confidence": 0.7,
               "abstention/auroc_confidence_low": 0.6, "abstention/auroc_confidence_high": 0.8}  # fmt: skip
    page = page_of([replace(RAG, measured=figures), PROMPT], None)
    wrong = RAG.intervals["abstention/wrong_rate"]
    assert said(line(page, "wrong, of these")[0]) == f"{wrong.mean:.3f} [{wrong.low:.3f}, {wrong.high:.3f}]"
    assert [said(cell) for cell in line(page, "wrong, promised at most")] == ["0.200", "–"]
    assert [said(cell) for cell in line(page, "AUROC of confidence")] == ["0.700 [0.600, 0.800]", "–"]
    assert not page_of([RAG, PROMPT]).xpath("//h3[@id='abstention']")
    assert "AUROC" not in table([replace(RAG, measured=figures)])


def test_failures_are_counted_with_their_reasons() -> None:
    rows = [failed_row(q, "EngineError: too slow", False) if i < 3 else row for i, (q, row) in
            enumerate(zip(QUESTIONS, RAG.rows, strict=True))]  # fmt: skip
    page = page_of([PROMPT, from_rows("broken", rows, {}, RAG.questions)], "prompt")
    assert "broken failed on 3 of 24 questions" in said(part(page, "kpis"))
    assert "EngineError: too slow (3)" in said(part(page, "kpis"))
    assert "Failed: EngineError: too slow" in said(part(page, "changes"))
    assert "No candidate failed" in said(part(page_of([RAG]), "kpis"))


# Plots


def test_there_is_a_plot_against_what_was_measured_and_a_sentence_for_what_was_not() -> None:
    uncosted = answering("b", 9, latency__p50_s=2.0)
    price = part(page_of([answering("a", 3), uncosted]), "price")
    (drawing,) = price.xpath(".//svg")
    assert drawing.get("aria-label").startswith("score against latency, p50 s: b 0.")
    assert "No plot: cost (cost/per_1000) was not measured." in said(price)
    assert [said(text) for text in drawing.xpath(".//text[@class='label']")] == ["b"]


def test_without_measures_there_is_no_plot() -> None:
    assert not page_of([answering("a", 3)]).xpath("//svg")


@pytest.mark.parametrize("costs", [[1.0, 1.0, 1.01, 1.02, 1.0], [0.001, 0.01, 1, 10, 5000], [0.0, 0.0, 0.0, 0.0, 0.0]])
def test_points_and_labels_stand_inside_and_labels_apart(costs: list[float]) -> None:
    cards = [answering(f"candidate {i} of many more", 20 - i // 2, cost__per_1000=cost) for i, cost in enumerate(costs)]
    plot = quality_against("cost/per_1000", cards)
    assert plot is not None and len(plot.points) == 5 and len(plot.x_ticks) >= 2 and len(plot.y_ticks) >= 2
    boxes = [label_box(point) for point in plot.points]
    assert all(box[0] >= 0 and box[2] <= WIDTH for box in boxes)
    for point in plot.points:
        x, y, low, high = point.mark
        assert LEFT <= x <= RIGHT and TOP <= high <= y <= low <= BOTTOM
    for one, other in combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_higher_is_better_and_further_right_dearer() -> None:
    plot = quality_against("cost/per_1000", [PROMPT, RAG])
    assert plot is not None
    (x, y, *_), (other_x, other_y, *_) = (point.mark for point in plot.points)
    assert x < other_x and y > other_y


# Slices


def test_slices_have_a_table_each_and_few_questions_are_grey() -> None:
    slices = part(page_of([PROMPT, RAG], "prompt"), "slices")
    assert [said(h) for h in slices.findall(".//h3")] == ["By topic"]
    assert [said(th) for th in slices.xpath(".//th[@scope='row']")] == ["even n 10", "odd n 10", "people n 4"]
    assert [[td.get("class") for td in row.findall("td")] for row in slices.xpath(".//tbody/tr")] == [
        [None, None], [None, None], ["few", "few"],
    ]  # fmt: skip
    assert said(slices.xpath(".//tbody/tr[1]/td[2]")[0]).startswith("1.000 [1.000, ")


def test_many_slices_are_cut_to_the_largest() -> None:
    questions = [replace(q, slices={"source": f"s{i if i < 15 else 99}"}) for i, q in enumerate(ANSWERABLE * 3)]
    asked = [replace(q, question_id=str(i)) for i, q in enumerate(questions)]
    asked += [replace(q, question_id=f"x{i}", slices={"source": f"t{i}"}) for i, q in enumerate(ANSWERABLE)]
    shown = part(page_of([score("a", asked, [WRONG] * len(asked), False)]), "slices")
    values = [said(th) for th in shown.xpath(".//th[@scope='row']")]
    assert len(values) == 30 and "s99 n 45" in values


# Questions


def test_the_worst_questions_come_first_with_every_answer_beside_the_right_one() -> None:
    hits = (Hit(Chunk("7.md#0", "7.md", "", "", "text", 0, 4), 0.5), Hit(Chunk("7.md#1", "7.md", "", "", "text", 5, 9), 0.4))
    found = [score_row(q, Answer("seven", False, hits, blocked="a secret"), True) for q in ANSWERABLE[:1]]
    guarded = from_rows("guarded", [*found, *RAG.rows[1:]], {}, RAG.questions)
    none = answering("none", 0)
    page = page_of([guarded, none, score_abstainer(QUESTIONS)], "none")
    first = part(page, "worst").findall(".//article")[0]
    assert said(first.find(".//h4")) == "What is 0? q0"
    assert "Expected number 0" in said(first) and "In 0.md" in said(first)
    assert [said(cell) for cell in first.xpath(".//tbody/tr[1]/*")] == ["guarded", "0.00", "Blocked: a secret seven", "7.md"]
    assert [said(th) for th in first.xpath(".//tbody/tr/th")] == ["guarded", "none"]


def test_the_questions_candidates_differ_on_are_those_only_one_knows() -> None:
    apart = part(page_of([PROMPT, CLOSE]), "apart")
    assert [said(h4) for h4 in apart.findall(".//h4")] == ["What is 4? q4"]


def test_what_all_know_is_not_among_the_worst() -> None:
    all_right = answering("a", 24)
    page = page_of([all_right, answering("b", 24)])
    assert "answered every question rightly" in said(part(page, "worst")) and not page.findall(".//article")


# What would change


def test_changes_are_counted_and_tested_against_the_champion() -> None:
    mixed = score("mixed", QUESTIONS, [WRONG, *RIGHT_ANSWERS[1:20], *[WRONG] * 4], False)
    changes = part(page_of([PROMPT, mixed, score_abstainer(QUESTIONS)], "prompt"), "changes")
    assert [said(h) for h in changes.findall(".//h3")] == ["mixed"]
    assert "better: 16, worse: 1, equally well: 7." in said(changes)
    assert [len(table.findall("tbody/tr")) for table in changes.xpath(".//details//table")] == [15, 1]
    difference, interval, p_value, verdict = (said(cell) for cell in changes.xpath(".//tbody/tr[1]/td")[:4])
    assert difference == "+0.625" and " to +" in interval and float(p_value) < 0.05 and verdict == "▲ better"


def test_without_a_champion_the_first_that_answers_is_compared_with() -> None:
    page = page_of([score_abstainer(QUESTIONS), PROMPT, RAG])
    assert "less prompt, the first candidate, as there is no champion" in said(part(page, "changes"))
    assert [said(h) for h in part(page, "changes").findall(".//h3")] == ["rag"]
    assert "none yet" in said(page.find(".//header"))


@pytest.mark.parametrize("card", [RAG, score_abstainer(QUESTIONS)])
def test_one_candidate_has_a_page_with_nothing_to_compare_with(card: Scorecard) -> None:
    page = page_of([card])
    assert "nothing to compare with" in said(part(page, "changes"))
    assert not page.xpath("//*[@class='better' or @class='worse']")
    assert card.candidate in said(line(page, "score")[0].getparent().getparent().getparent())


def test_too_few_documents_show_no_difference() -> None:
    questions = [replace(q, documents=("one.md",)) for q in ANSWERABLE[:3]]
    cards = [score(name, questions, [Answer("number 0", False), WRONG, answer], False)
             for name, answer in (("a", WRONG), ("b", Answer("number 2", False)))]  # fmt: skip
    changes = part(page_of(cards, "a"), "changes")
    assert "-1.000 to +1.000" in said(changes) and "▲" not in said(changes)


# One file, all of it text

HOSTILE = "</style></title><script>alert(1)</script><img src=x onerror='a()'>\"'><b>&amp;{{ 7 * 7 }}"


def test_whatever_is_given_is_shown_as_text() -> None:
    question = Question(HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), {HOSTILE: HOSTILE})
    hits = (Hit(Chunk("x", HOSTILE, "", "", "text", 0, 4), 0.5),)
    cards = [
        from_rows(name, [row], {"latency/p50_s": 1.0, HOSTILE: 1.0}, HOSTILE, {HOSTILE: HOSTILE})
        for name, row in (
            (HOSTILE, score_row(question, Answer(HOSTILE, False, hits), True)),
            ("blocked", score_row(question, Answer("no", True, blocked=HOSTILE), True)),
            ("failed", failed_row(question, HOSTILE, True)),
        )
    ]
    text = report(cards, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    page = lxml.html.fromstring(text)
    assert not page.xpath("//script | //img | //b | //@onerror | //iframe")
    assert len(page.findall(".//style")) == 1 and "49" not in said(page.find(".//h1"))
    for path in ("//h1", "//h4/span[1]", "//td/p/span", "//p[@class='worse']/span", "//span[@class='file']", "//dd", "//th"):
        assert any(said(found).startswith(HOSTILE[:60]) for found in page.xpath(path)), path
    assert page.xpath("//h1")[0].text == HOSTILE


def test_the_page_asks_for_nothing_and_forbids_it() -> None:
    text = report([PROMPT, RAG, CLOSE], "prompt", "handbook", "1 May")
    page = lxml.html.fromstring(text)
    assert "://" not in text and "url(" not in text and "@import" not in text
    assert not page.xpath("//script | //link | //@src | //*[local-name()='image']")
    targets = [href.removeprefix("#") for href in page.xpath("//@href")]
    assert len(targets) == 6 and all(page.xpath(f"//*[@id='{target}']") for target in targets)
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none';")


def test_every_header_says_what_it_heads_and_ids_are_unique() -> None:
    page = page_of([PROMPT, RAG, CLOSE], "prompt")
    assert not page.xpath("//th[not(@scope)]")
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids)) and set(page.xpath("//@aria-labelledby")) <= set(ids)


def test_half_a_character_in_an_answer_can_be_written() -> None:
    card = score("a", ANSWERABLE[:1], [Answer("\ud83d half", False)], False)
    assert "? half" in report([card], None, "handbook", "1 May").encode().decode()


def test_many_questions_and_long_answers_stay_small() -> None:
    names = tuple(f"{'d' * 200}{i}" for i in range(20))
    rows = [
        replace(row, question_id=str(i), question="Why? " * 400, expected=("word " * 900,) * 9, expected_documents=names,
                answer="other " * 900, documents=names, slices={"source": f"{'s' * 200}{i}"})
        for i, row in enumerate(PROMPT.rows * 10)
    ]  # fmt: skip
    half = [replace(row, scores={**row.scores, "answer/score": i % 2}) for i, row in enumerate(rows)]
    cards = [from_rows(f"candidate {n}", half if n else rows) for n in range(5)]
    assert len(report(cards, "candidate 0", "handbook", "1 May").encode()) < 1_000_000


@pytest.mark.parametrize(
    "cards, champion, problem",
    [
        ([], None, "no scorecard"),
        ([PROMPT, replace(RAG, questions="f" * 64)], None, "not asked the same questions .*ffffffffffff"),
        ([PROMPT, RAG], "gone", "champion is 'gone', expected one of the candidates: prompt, rag"),
    ],
)
def test_what_can_not_be_compared_has_no_page(cards: list[Scorecard], champion: str | None, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        report(cards, champion, "handbook", "1 May")


def test_the_candidate_that_always_abstains_can_be_champion() -> None:
    changes = part(page_of([score_abstainer(QUESTIONS), RAG], ABSTAINER), "changes")
    assert "less always-abstain, the champion" in said(changes) and "better: 20, worse: 4" in said(changes)
