"""Questions that a chat model makes up from passages, and what is done so that they are worth asking.

Each comes with an answer, and is kept if the model finds that answer again from the passage alone and cheaper checks hold.
All that the model says is kept in a journal: what it has answered is not asked again, wherever the work broke off.
"""

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path

from llmops import digests
from llmops.chains.prompt import ABSTENTION, is_abstention
from llmops.datasets import jsonl
from llmops.datasets.overlap import find_overlaps, words_of
from llmops.datasets.questions import SLICE
from llmops.errors import DataError, EngineError
from llmops.evaluation.metrics import token_f1
from llmops.journal import JsonJournal
from llmops.models.engine import Engine, TokenCounter, generate_each
from llmops.retrieval.passage import passage_text
from llmops.types import Chunk, GenerationRequest, Message, Progress, Question

ASK = """\
Write one question that the passage below answers, and its answer.
- The question is one that a reader would ask who has not seen the passage: it names what it is about.
- It does not repeat a sentence of the passage.
- The answer is a few words, as they stand in the passage.
Reply with JSON and nothing else: {{"question": "...", "answer": "..."}}

Passage:
{passage}"""
ANSWER = f"""\
Answer the question from the passage, in a few words as they stand there. If it doesn't hold the answer, say "{ABSTENTION}".

Passage:
{{passage}}

Question: {{question}}"""
_LIBRARY = "Town library > Opening hours\nThe library on Mill Street opens at nine and closes at seven, on Saturdays at two."
_WHEN, _WHO = "When does the Mill Street library close on Saturdays?", "Who runs the Mill Street library?"
# Worked examples, as turns of the chat: without them a small model writes about its task.
_ASKED = [({"passage": _LIBRARY}, json.dumps({"question": _WHEN, "answer": "at two"}))]
_ANSWERED = [({"passage": _LIBRARY, "question": _WHEN}, "at two"), ({"passage": _LIBRARY, "question": _WHO}, ABSTENTION)]
_ASK_TOKENS, _ANSWER_TOKENS = 160, 48
_BATCH = 16  # passages that are asked about at a time
_HOPELESS = 3  # requests, or more, that all fail
_TRIES = 10  # passages asked about for each question wanted
_LEAST, _MOST, _MOST_IN_ANSWER = 4, 40, 30  # words
_COPIED = 0.7  # share of a question's words that may follow one another as they do in the passage
_FOUND_AGAIN = 0.5  # token F1 between the answer and what the model answers
_OF_THE_PASSAGE = re.compile(
    r"\b(?:this|the|above|given) (?:passage|text|document|section|excerpt|context)\b", re.IGNORECASE
)
_FORMULA = re.compile("'*[=+@\t\r-]")  # a spreadsheet would compute it; an apostrophe before it says that it is text


@dataclass(frozen=True)
class Source:
    """A chunk to ask about, and every document that holds its text."""

    chunk: Chunk
    documents: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """A question, and the passage it was made from."""

    question: Question
    passage: str


@dataclass
class Synthesis:
    """What came of it: questions, how many were rejected for each reason, and how many passages were asked about."""

    made: list[Made] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    asked: int = 0


class Replies:
    """What a model says, remembered in a journal. `model` says which it is, weights included."""

    def __init__(self, journal: JsonJournal, engine: Engine, model: str) -> None:
        self._journal, self._engine = journal, engine
        self._asked_of = [model, engine.identity]

    def ask(self, requests: Sequence[GenerationRequest]) -> list[str | None]:
        """The replies, None where the model fails. It is asked for those that aren't in the journal.

        Raises:
            EngineError: it fails on all requests, three or more.
        """
        keys = [digests.of_data([self._asked_of, asdict(request)]) for request in requests]
        new = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._journal}
        said = zip(new, self._generate(list(new.values())) if new else [], strict=True)
        self._journal.put({key: text for key, text in said if text is not None})
        return [self._journal[key] if key in self._journal else None for key in keys]

    def _generate(self, requests: Sequence[GenerationRequest]) -> list[str | None]:
        found = generate_each(self._engine, requests)
        errors = [one for one in found if isinstance(one, Exception)]
        hopeless = len(errors) == len(found) >= _HOPELESS
        if fatal := [error for error in errors if hopeless or not isinstance(error, EngineError)]:
            raise fatal[0]
        return [None if isinstance(one, Exception) else one.text for one in found]


def synthesize(
    sources: Iterable[Source], count: int, replies: Replies, counter: TokenCounter, progress: Progress | None = None
) -> Synthesis:
    """Ask about one passage after the other until `count` questions have passed, or ten times as many have been asked about.

    Raises:
        EngineError: the model can't be asked. What it has said is kept.
    """
    found, left = Synthesis(), islice(sources, _TRIES * count)
    while len(found.made) < count and (batch := list(islice(left, _BATCH))):
        found.asked += len(batch)
        drafts = _answerable(_drafts(batch, replies, counter, found.rejected), replies, counter, found.rejected)
        found.made += _distinct(drafts, found.made, found.rejected)
        if progress:
            progress("questions", min(len(found.made), count), count)
    del found.made[count:]
    return found


def _drafts(batch: Sequence[Source], replies: Replies, counter: TokenCounter, rejected: Counter[str]) -> list[Made]:
    asked = [(source, _to_ask(source, counter)) for source in batch]
    fitting = [(source, one) for source, one in asked if counter.fits(one.messages, _ASK_TOKENS)]
    rejected["passage too long for the model"] += len(asked) - len(fitting)
    drafts = []
    for (source, _), reply in zip(fitting, replies.ask([one for _, one in fitting]), strict=True):
        try:
            question, answer = _parse(reply)
            _check(question, answer, passage_text(source.chunk))
        except DataError as error:
            rejected[str(error)] += 1
        else:
            drafts.append(_made(source, question, answer))
    return drafts


def _to_ask(source: Source, counter: TokenCounter) -> GenerationRequest:
    shown = {"passage": counter.defuse(passage_text(source.chunk))}
    return GenerationRequest(_chat(ASK, _ASKED, shown), _ASK_TOKENS)


def _to_answer(draft: Made, counter: TokenCounter) -> GenerationRequest:
    shown = {"passage": counter.defuse(draft.passage), "question": counter.defuse(draft.question.text)}
    return GenerationRequest(_chat(ANSWER, _ANSWERED, shown), _ANSWER_TOKENS)


def _chat(template: str, worked: Sequence[tuple[dict[str, str], str]], shown: dict[str, str]) -> tuple[Message, ...]:
    turns = [(Message("user", template.format(**values)), Message("assistant", said)) for values, said in worked]
    return (*(message for turn in turns for message in turn), Message("user", template.format(**shown)))


def _parse(text: str | None) -> tuple[str, str]:
    """The question and the answer in a reply, whatever stands around its JSON."""
    if text is None:
        raise DataError("model failed")
    try:
        value, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
        question, answer = jsonl.text_field("", value, "question"), jsonl.text_field("", value, "answer")
        (question + answer).encode()  # no half of a character
    except (ValueError, RecursionError, DataError) as error:
        raise DataError("no JSON with a question and an answer") from error
    return question, answer


def _check(question: str, answer: str, passage: str) -> None:
    """Raises DataError, with the reason, if a question isn't worth asking the model again."""
    asked, said, shown = words_of(question), words_of(answer), words_of(passage)
    longest = SequenceMatcher(None, asked, shown, autojunk=False).find_longest_match().size
    flaws = {
        "question too short or too long": not _LEAST <= len(asked) <= _MOST,
        "answer empty or too long": not 1 <= len(said) <= _MOST_IN_ANSWER,
        "question speaks of the passage": bool(_OF_THE_PASSAGE.search(question)),
        "answer not in the passage": not set(said) <= set(shown),
        "question holds its answer": f" {' '.join(said)} " in f" {' '.join(asked)} ",
        "question copied from the passage": longest > _COPIED * len(asked),
    }
    for reason, has_it in flaws.items():
        if has_it:
            raise DataError(reason)


def _made(source: Source, question: str, answer: str) -> Made:
    question_id = f"syn-{digests.of_data([source.chunk.chunk_id, question])[:10]}"
    slices = {"source": source.chunk.doc_id}
    return Made(
        Question(question_id, question, (answer,), source.documents, slices, "synthetic"), passage_text(source.chunk)
    )


def _answerable(drafts: Sequence[Made], replies: Replies, counter: TokenCounter, rejected: Counter[str]) -> list[Made]:
    """Those whose answer the model finds again when it is shown the passage and the question."""
    said = replies.ask([_to_answer(draft, counter) for draft in drafts])
    kept = [
        draft for draft, text in zip(drafts, said, strict=True)
        if text is not None and not is_abstention(text) and token_f1(text, draft.question.answers) >= _FOUND_AGAIN
    ]  # fmt: skip
    rejected["answer not found again"] += len(drafts) - len(kept)
    return kept


def _distinct(drafts: Sequence[Made], made: Sequence[Made], rejected: Counter[str]) -> list[Made]:
    """Those that are near no question made before, nor one another."""
    texts = [(one.question.question_id, one.question.text) for one in (*made, *drafts)]
    near: dict[str, set[str]] = defaultdict(set)
    for overlap in find_overlaps(texts[len(made) :], texts):
        near[overlap.where].add(overlap.question_id)
    known, kept = {one.question.question_id for one in made}, []
    for draft in drafts:
        if near[draft.question.question_id].isdisjoint(known):
            known.add(draft.question.question_id)
            kept.append(draft)
    rejected["near-duplicate of another"] += len(drafts) - len(kept)
    return kept


def write_review(path: Path, made: Sequence[Made]) -> None:
    """Write a table in which a person says yes or no to each question, may edit it, and which `read_questions` reads.

    Raises:
        DataError: the file is there and holds something else, such as a review.
    """
    text = _review(made)
    if path.exists() and path.read_bytes() != text:
        raise DataError(f"{str(path)!r} is there already, maybe with a review. Move it, or name another file.")
    path.write_bytes(text)


def _review(made: Sequence[Made]) -> bytes:
    slices = sorted({name for one in made for name in one.question.slices})
    header = ["accept", "id", "question", "answers", "documents", "origin", *(SLICE + name for name in slices), "passage"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for one in made:
        asked = one.question
        lists = (_cell(asked.answers), _cell(asked.documents))
        values = ["", asked.question_id, asked.text, *lists, asked.origin, *(asked.slices.get(n, "") for n in slices)]
        writer.writerow(f"'{value}" if _FORMULA.match(value) else value for value in (*values, one.passage))
    return file.getvalue().encode("utf-8-sig")  # without its mark spreadsheets take it for another encoding


def _cell(items: Sequence[str]) -> str:
    plain = not any("|" in item or item.startswith("[") or item != item.strip() for item in items)
    return "|".join(items) if plain else json.dumps(items, ensure_ascii=False)
