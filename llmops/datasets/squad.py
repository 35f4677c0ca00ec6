"""Questions of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018), and of sets in their format."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmops.errors import DataError
from llmops.types import Question


def read_squad(path: Path) -> list[Question]:
    """Read a SQuAD file; of any other file, nothing.

    A document is a paragraph, named "<title>#<its number, from 0>": index them under these ids. The topic is the title. What
    version 2 calls impossible has neither answers nor documents. Answers without letter or digit are left out.

    Raises:
        DataError: the file is malformed, an id appears twice, or a question has no answer and isn't impossible.
    """
    content = _content(path)
    if content is None:
        return []
    questions: dict[str, Question] = {}
    try:
        for question in _questions(path, content["data"]):
            if questions.setdefault(question.question_id, question) is not question:
                raise DataError(f"{path.name}: id {question.question_id!r} appears twice. Make ids unique.")
    except (KeyError, TypeError, AttributeError) as error:
        last = f"after {next(reversed(questions))!r}" if questions else "at its beginning"
        raise DataError(f"{path.name}: no SQuAD {last} ({type(error).__name__}: {error}). Mend the file.") from error
    if not questions:
        raise DataError(f"{str(path)!r} holds no questions.")
    return list(questions.values())


def _content(path: Path) -> dict[str, Any] | None:
    if path.suffix.lower() != ".json":
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("data"), list) else None


def _questions(path: Path, articles: list[Any]) -> Iterator[Question]:
    for article in articles:
        title = article.get("title") or path.stem
        for number, paragraph in enumerate(article["paragraphs"]):
            for asked in paragraph["qas"]:
                yield _question(path.name, title, f"{title}#{number}", asked)


def _question(name: str, title: str, document: str, asked: dict[str, Any]) -> Question:
    question_id, text = str(asked["id"]), asked["question"].strip()
    impossible = asked.get("is_impossible", False)
    given = () if impossible else dict.fromkeys(answer["text"].strip() for answer in asked["answers"])
    answers = tuple(answer for answer in given if re.search(r"\w", answer))
    if not text or "" in given or not (impossible or answers):
        raise DataError(f"{name}: {question_id!r} lacks a question or an answer, and is not marked is_impossible. Mend it.")
    return Question(question_id, text, answers, () if impossible else (document,), {"topic": title})
