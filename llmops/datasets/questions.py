"""Question sets: what every candidate is asked, and what a right answer is.

A line is `{"id": ..., "question": ..., "answers": [...], "documents": [...]}`. Answers are acceptable wordings; documents
are those that hold the answer. Both are empty for a question that the documents can't answer.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

from llmops.datasets import jsonl
from llmops.errors import DataError
from llmops.types import Question


def read_questions(path: Path) -> list[Question]:
    """Read a question set.

    Raises:
        DataError: a line is malformed, an id appears twice, or the file holds no question.
    """
    questions: dict[str, Question] = {}
    for where, value in jsonl.read_objects(path):
        question = Question(
            jsonl.text_field(where, value, "id"), jsonl.text_field(where, value, "question"),
            jsonl.list_field(where, value, "answers"), jsonl.list_field(where, value, "documents"),
        )  # fmt: skip
        if bool(question.answers) != bool(question.documents):
            raise DataError(f"{where}: answers and documents must both be given (answerable) or both be empty.")
        if question.question_id in questions:
            raise DataError(f"{where}: id {question.question_id!r} appears twice. Ids join results: make them unique.")
        questions[question.question_id] = question
    if not questions:
        raise DataError(f"{str(path)!r} holds no questions.")
    return list(questions.values())


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


def check_unseen(test: Iterable[Question], seen: Iterable[str], what: str) -> None:
    """Refuse held-out questions that stand among those `seen` while training or choosing settings; `what` names these.

    Raises:
        DataError: naming one shared question.
    """
    known = {" ".join(text.lower().split()) for text in seen}
    shared = [question.text for question in test if " ".join(question.text.lower().split()) in known]
    if shared:
        raise DataError(f"{len(shared)} held-out questions are also {what} (such as {shared[0]!r}). Remove them from one.")
