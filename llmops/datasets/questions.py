"""Question sets: what every candidate is asked, and what a right answer is.

A line is `{"id": ..., "question": ..., "answers": [...], "documents": [...]}`. Answers are acceptable wordings; documents
are those that hold the answer. Both are empty for a question that the documents can't answer. A line may have `slices`, a
mapping, and an `origin`. A table has these columns, lists as JSON or with "|" between items, and a column "slice.<name>" for
each slice. Where a person has reviewed them, `accept` says yes or no: what was not accepted is left out.
"""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llmops import digests
from llmops.datasets import jsonl, tables
from llmops.datasets.beir import find_beir, read_beir
from llmops.datasets.rows import checked_text
from llmops.datasets.squad import read_squad
from llmops.datasets.tables import Fields, RejectedRow
from llmops.documents.text import decode
from llmops.errors import DataError
from llmops.types import Question

ORIGINS = ("human", "synthetic", "feedback")
SLICE = "slice."
REVIEWED = {"reviewed": "yes"}
_SHORT, _LONG = 7, 15  # words
_GUARD = re.compile("^'(?='*[=+@\t\r-])")  # before what a spreadsheet would take for a formula


@dataclass(frozen=True)
class Imported:
    """What a file holds. `joined` questions repeated another of a benchmark; `declined` ones a reviewer didn't accept."""

    questions: tuple[Question, ...]
    format: str
    joined: int = 0
    declined: int = 0


def read_questions(path: Path) -> list[Question]:
    """Read a question set, as `import_questions` does."""
    return list(import_questions(path).questions)


def import_questions(path: Path) -> Imported:
    """Read JSON lines, a table (.csv, .tsv, .json, .parquet), SQuAD 1 or 2, or a folder of BEIR's.

    Benchmarks ask some questions of several passages. We ask of all documents, so they are one question with the answers of
    all; in a set of one's own they are a mistake.

    Raises:
        DataError: a file isn't UTF-8 or is malformed, an id or a question appears twice, or there is no question.
    """
    if beir := find_beir(path):
        for file in beir:
            check_utf8(file)
        return join_questions(read_beir(*beir), "BEIR")
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder without queries.jsonl. Give a file of questions, or a folder of BEIR's.")
    if path.suffix.lower() != ".parquet":
        check_utf8(path)
    if squad := read_squad(path):
        return join_questions(squad, "SQuAD")
    return _read_own(path)


def _checked(imported: Imported) -> Imported:
    for one in imported.questions:
        checked_text(" ".join([one.text, *one.answers, *one.documents, *one.slices.values()]), repr(one.question_id))
    return imported


def check_utf8(path: Path) -> None:
    """Refuse text in another encoding.

    Raises:
        DataError: naming the encoding that it seems to have; or the file can't be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{str(path)!r} can't be read ({error}). Give a file of questions.") from error
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    else:
        if b"\0" not in data:
            return
    raise DataError(f"{path.name} is not UTF-8: it seems to be {_encoding(data)}. Save it as UTF-8.")


def _encoding(data: bytes) -> str:
    wide = json.detect_encoding(data)  # by the byte order mark, or where its zeros are
    try:
        if not wide.startswith("utf-8"):
            data.decode(wide)
            return wide
        return str(decode(data)[1].get("encoding", "binary"))
    except (UnicodeDecodeError, DataError):
        return "binary"


def _read_own(path: Path) -> Imported:
    declined = 0
    questions: dict[str, Question] = {}
    for where, value in _lines(path):
        if not _accepted(where, value):
            declined += 1
            continue
        question = _question(where, value)
        if question.question_id in questions:
            raise DataError(f"{where}: id {question.question_id!r} appears twice. Ids join results: make them unique.")
        questions[question.question_id] = question
    if not questions:
        raise DataError(f"{str(path)!r} holds no questions{' that were accepted' if declined else ''}.")
    refuse_repeats(questions.values(), path.name)
    kind = path.suffix.lower().removeprefix(".")
    return _checked(Imported(tuple(questions.values()), kind, declined=declined))


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix.lower() == ".jsonl":
        yield from jsonl.read_objects(path)
        return
    for row in tables.read_rows(path):
        if isinstance(row, RejectedRow):
            raise DataError(f"{row.where}: {row.reason}")
        yield row[0], _from_cells(row[1])


def _from_cells(fields: Fields) -> dict[str, Any]:
    cells = {name: _GUARD.sub("", cell) if isinstance(cell, str) else cell for name, cell in fields.items()}
    lists = {name: _list(cells.get(name)) for name in ("answers", "documents")}
    slices = cells.get("slices") or {}
    if isinstance(slices, dict):
        given = {name: text for name, text in slices.items() if text is not None}  # Parquet has each name in each row
        columns = {name.removeprefix(SLICE): cell for name, cell in cells.items() if name.startswith(SLICE) and cell}
        slices = {**given, **columns}
    return {**cells, **lists, "slices": slices, "origin": cells.get("origin") or "human"}


def _list(cell: Any) -> Any:
    """A cell's list: JSON, or items with "|" between them; nothing is the empty list."""
    if not isinstance(cell, str):
        return [] if cell is None else cell
    if cell.lstrip().startswith("["):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return [item.strip() for item in cell.split("|")] if cell.strip() else []


def _accepted(where: str, value: dict[str, Any]) -> bool:
    said = str(value.get("accept", "yes")).strip().lower()
    if said not in ("yes", "no"):
        raise DataError(f"{where}: 'accept' is {value['accept']!r:.40}, expected yes or no. Finish the review.")
    return said == "yes"


def _question(where: str, value: dict[str, Any]) -> Question:
    origin, slices = value.get("origin", "human"), value.get("slices", {})
    if origin not in ORIGINS:
        raise DataError(f"{where}: 'origin' is {origin!r:.40}, expected one of {', '.join(ORIGINS)}.")
    named = isinstance(slices, dict) and all(isinstance(text, str) and text for pair in slices.items() for text in pair)
    if not named:
        raise DataError(f"{where}: 'slices' is {slices!r:.60}, expected a text for each name, such as topic.")
    answers = jsonl.list_field(where, value, "answers")
    if empty := [answer for answer in answers if not re.search(r"\w", answer)]:
        raise DataError(f"{where}: the answer {empty[0]!r} has neither letter nor digit, so no answer can match it.")
    return Question(
        jsonl.text_field(where, value, "id"), jsonl.text_field(where, value, "question"), answers,
        jsonl.list_field(where, value, "documents"), {**slices, **(REVIEWED if "accept" in value else {})}, origin,
    )  # fmt: skip


def refuse_repeats(questions: Iterable[Question], what: str) -> None:
    """Refuse questions that ask the same, whatever their case, spacing and last punctuation.

    Raises:
        DataError: naming the ids of the first such questions.
    """
    repeated = [same for same in _by_text(questions) if len(same) > 1]
    if repeated:
        shown = "; ".join(f"{', '.join(one.question_id for one in same)}: {same[0].text!r:.80}" for same in repeated[:3])
        raise DataError(f"{what} asks {len(repeated)} questions more than once ({shown}). Keep one of each.")


def _by_text(questions: Iterable[Question]) -> list[list[Question]]:
    found: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        found[same_text(question.text)].append(question)
    return list(found.values())


def same_text(text: str) -> str:
    """What questions that ask the same have in common: their text but for case, spacing and last punctuation."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .?!。") or text


def join_questions(questions: Collection[Question], kind: str) -> Imported:
    """Questions of which those that ask the same are one, with the answers and documents of all.

    Raises:
        DataError: there are none, or a text holds half a character.
    """
    if not questions:
        raise DataError(f"the {kind} files hold no questions with a document that is relevant.")
    joined = tuple(_join(same) for same in _by_text(questions))
    return _checked(Imported(joined, kind, joined=len(questions) - len(joined)))


def _join(same: list[Question]) -> Question:
    """One question of those that ask the same: it can be answered if one of them can."""
    answerable = [question for question in same if question.answerable] or same
    answers = dict.fromkeys(answer for question in answerable for answer in question.answers)
    documents = dict.fromkeys(document for question in answerable for document in question.documents)
    return replace(answerable[0], answers=tuple(answers), documents=tuple(documents))


def with_default_slices(questions: Iterable[Question]) -> list[Question]:
    """Questions with the slices `origin` and `length` where they lack them: short is up to 7 words, long from 15."""
    return [replace(one, slices={"length": _length(one), "origin": one.origin, **one.slices}) for one in questions]


def _length(question: Question) -> str:
    words = len(question.text.split())
    return "short" if words <= _SHORT else "long" if words >= _LONG else "medium"


def check_documents(questions: Iterable[Question], doc_ids: Collection[str]) -> None:
    """Refuse questions whose documents are not in the index: no retriever could find them.

    Raises:
        DataError: naming the first such documents.
    """
    missing = sorted({d for question in questions for d in question.documents} - set(doc_ids))
    if missing:
        raise DataError(
            f"{len(missing)} documents named by the questions are not in the index ({', '.join(missing[:3])}). "
            "Index the folder that holds them, or mend the questions."
        )


def question_digest(questions: Iterable[Question]) -> str:
    """The digest of a set of questions, in whatever order they stand."""
    return digests.of_data([asdict(one) for one in sorted(questions, key=lambda one: one.question_id)])
