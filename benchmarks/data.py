"""The data sets, below one folder, none of which is in this repository.

scifact/            BEIR's SciFact (Wadden et al. 2020): corpus.jsonl, queries.jsonl, qrels/{test,train}.tsv
squad2-half-dev/    squad2-half-dev.json: questions and paragraphs in SQuAD v2's format (Rajpurkar et al. 2018)
docs/               corpus.jsonl.gz: pages of software documentation in BEIR's format
"""

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmops.datasets import jsonl
from llmops.datasets.qrels import Qrels, read_qrels, read_queries
from llmops.errors import DataError

SCIFACT = ("scifact/corpus.jsonl", "scifact/queries.jsonl", "scifact/qrels/test.tsv", "scifact/qrels/train.tsv")
SQUAD = "squad2-half-dev/squad2-half-dev.json"
DOCS = "docs/corpus.jsonl.gz"
_ENGLISH = 0.02  # "the" is at least one word in fifty of a page in English, and of no other language
_FULL_PAGE = 20_000  # characters


@dataclass(frozen=True)
class Judged:
    """Passages by id, queries by id, and which passages answer which query."""

    passages: dict[str, str]
    queries: dict[str, str]
    qrels: Qrels


@dataclass(frozen=True)
class Page:
    """A page of documentation."""

    page_id: str
    title: str
    text: str


@dataclass(frozen=True)
class Asked:
    """A question on a paragraph of an article; no `answers` means that the paragraph doesn't hold one."""

    question_id: str
    question: str
    answers: tuple[str, ...]
    article: str
    paragraph_id: str
    paragraph: str


def check(data: Path, names: Sequence[str]) -> None:
    """Make sure that files are there before any work is done.

    Raises:
        DataError: one is missing.
    """
    for name in names:
        if not (data / name).is_file():
            raise DataError(f"{name} is not in {str(data)!r}. Give --data the folder that benchmarks/data.py describes.")


def read_scifact(data: Path, split: str) -> Judged:
    """SciFact, an abstract with its title as one passage; `split` is test or train.

    Raises:
        DataError: a file is missing or malformed.
    """
    records = (record for _, record in jsonl.read_objects(data / SCIFACT[0]))
    passages = {record["_id"]: f"{record['title']} {record['text']}".strip() for record in records}
    queries, qrels = read_queries(data / SCIFACT[1]), read_qrels(data / f"scifact/qrels/{split}.tsv")
    return Judged(passages, {name: queries[name] for name in qrels}, qrels)


def read_squad(data: Path) -> Judged:
    """SQuAD 2 as retrieval: a paragraph as one passage, the questions it answers as queries."""
    content = json.loads((data / SQUAD).read_text(encoding="utf-8"))
    passages: dict[str, str] = {}
    queries: dict[str, str] = {}
    qrels: Qrels = {}
    for article in content["data"]:
        for number, paragraph in enumerate(article["paragraphs"]):
            name = f"{article['title']}#{number}"
            passages[name] = paragraph["context"]
            answered = [question for question in paragraph["qas"] if not question["is_impossible"]]
            queries |= {question["id"]: question["question"] for question in answered}
            qrels |= {question["id"]: {name: 1} for question in answered}
    return Judged(passages, queries, qrels)


def read_asked(data: Path) -> list[Asked]:
    """The questions of SQuAD 2, answerable and not, each with its paragraph."""
    content = json.loads((data / SQUAD).read_text(encoding="utf-8"))
    return [
        Asked(
            question["id"], question["question"].strip(),
            tuple(sorted({answer["text"] for answer in question["answers"]} if not question["is_impossible"] else ())),
            article["title"], f"{article['title']}#{number}", paragraph["context"],
        )
        for article in content["data"]
        for number, paragraph in enumerate(article["paragraphs"])
        for question in paragraph["qas"]
    ]  # fmt: skip


def read_pages(data: Path, longest: int = _FULL_PAGE, seed: int = 0) -> list[Page]:
    """Pages of documentation in English of at most `longest` characters, shuffled."""
    pages = [page for page in _pages(data / DOCS) if len(page.text) <= longest and _in_english(page.text)]
    random.Random(seed).shuffle(pages)
    return pages


def _pages(path: Path) -> Iterator[Page]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            yield Page(record["_id"], record["title"], record["text"])


def _in_english(text: str) -> bool:
    words = text.lower().split()
    return words.count("the") >= max(_ENGLISH * len(words), 1)
