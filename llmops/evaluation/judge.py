"""A judge of answers: what it is asked and shown, what it says, and answers whose label is known."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from llmops.datasets import jsonl
from llmops.errors import ConfigError, DataError

READS = ("question", "passages", "references")
SOURCES = ("human", "constructed")


@dataclass(frozen=True)
class Rubric:
    """What a judge is asked. `labels` go from the best to the worst; `reads` is what it is shown beside the answer."""

    name: str
    instructions: str
    labels: tuple[str, ...]
    reads: tuple[str, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", self.name):
            raise ConfigError(f"rubric's name is {self.name!r}, expected lower-case letters, digits and '_'.")
        if not self.instructions.strip() or "{{" in self.instructions:
            raise ConfigError(f"rubric {self.name}: instructions are empty or hold '{{{{'; expected plain text.")
        if len({label.casefold() for label in self.labels} - {""}) < max(2, len(self.labels)):
            raise ConfigError(f"rubric {self.name}: labels are {list(self.labels)}, expected two or more, all different.")
        if set(self.reads) - set(READS):
            raise ConfigError(f"rubric {self.name}: reads {list(self.reads)}, expected some of {', '.join(READS)}.")

    def label_of(self, said: object) -> str | None:
        """The label that was said, whatever its case; None for anything else, for models don't keep to a declared type."""
        return next((label for label in self.labels if str(said).strip().casefold() == label.casefold()), None)

    def value(self, label: str | None) -> float:
        """What a label is worth: 1 the best, 0 the worst, and 0 for a failure."""
        return 0.0 if label is None else 1 - self.labels.index(label) / (len(self.labels) - 1)


def read_rubric(path: Path) -> Rubric:
    """Read a rubric from a YAML file of name, instructions, labels and reads.

    Raises:
        ConfigError: the file is no YAML, or lacks one of these, or one makes no sense.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"rubric {str(path)!r} can't be read: {' '.join(str(error).split())}") from error
    wanted = {"name": str, "instructions": str, "labels": list, "reads": list}
    if not isinstance(data, dict) or {name: type(value) for name, value in data.items()} != wanted:
        raise ConfigError(f"{path.name} holds {data!r:.80}, expected name, instructions, and lists of labels and reads.")
    labels = [("no", "yes")[label] if isinstance(label, bool) else str(label) for label in data["labels"]]  # YAML's yes, no
    return Rubric(data["name"], data["instructions"].strip(), tuple(labels), tuple(map(str, data["reads"])))


@dataclass(frozen=True)
class Item:
    """An answer to be judged, and what it was given to and from. No `references` means that abstaining is right."""

    question_id: str
    question: str
    answer: str
    references: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()

    def padded(self) -> "Item":
        """The same answer with true words around it that say nothing: a judge of content has no reason to like it better."""
        before = f"You asked the following question: {self.question} Here is the answer to the question that you asked."
        after = "That is the answer to the question that you asked above, which has been repeated there in full."
        return replace(self, answer=f"{before} {self.answer} {after}")


@dataclass(frozen=True)
class Labelled:
    """An answer that somebody judged. `source` is "human", or "constructed" for one made to have its label."""

    item: Item
    label: str
    source: str


def read_labels(path: Path, rubric: Rubric) -> list[Labelled]:
    """Read labelled answers, JSON lines of id, question, answer, references, passages, label and source.

    Raises:
        DataError: a line is malformed, an id appears twice, a label is not the rubric's, or a source is unknown.
    """
    found: dict[str, Labelled] = {}
    for where, value in jsonl.read_objects(path):
        name, question, answer = (jsonl.text_field(where, value, key) for key in ("id", "question", "answer"))
        references, passages = (jsonl.list_field(where, value, key) for key in ("references", "passages"))
        label, source = rubric.label_of(value.get("label")), value.get("source")
        if label is None:
            raise DataError(f"{where}: label is {value.get('label')!r}, expected one of {', '.join(rubric.labels)}.")
        if source not in SOURCES:
            raise DataError(f"{where}: source is {source!r}, expected {' or '.join(SOURCES)}. Say who gave the label.")
        if name in found:
            raise DataError(f"{where}: id {name!r} appears twice. Ids join labels and judgements: make them unique.")
        found[name] = Labelled(Item(name, question, answer, references, passages), label, source)
    if not found:
        raise DataError(f"{str(path)!r} holds no labelled answers.")
    return list(found.values())


@dataclass(frozen=True)
class Judgement:
    """What a judge said to an answer: a label, or none and why. `lost` are those worth asking again: no answer came."""

    question_id: str
    label: str | None
    rationale: str = ""
    error: str = ""
    lost: bool = False
