"""Training examples. A line is `{"question": ..., "context": [passages], "answer": ...}`."""

from pathlib import Path

from llmops.datasets import jsonl
from llmops.errors import DataError
from llmops.types import Example


def read_examples(path: Path) -> list[Example]:
    """Read training examples.

    Raises:
        DataError: a line is malformed, or the file holds no example.
    """
    examples = [
        Example(
            jsonl.text_field(where, value, "question"), jsonl.list_field(where, value, "context"),
            jsonl.text_field(where, value, "answer"),
        )
        for where, value in jsonl.read_objects(path)
    ]  # fmt: skip
    if not examples:
        raise DataError(f"{str(path)!r} holds no examples.")
    return examples
