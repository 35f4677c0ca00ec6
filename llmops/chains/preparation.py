"""From a question to what the model is asked: guards, the chain's first prompts, retrieval, the context."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest

from llmops.chains.chain import Chain
from llmops.chains.context import Context, Dropped, Passage, drop_copies, fit, merge_neighbours
from llmops.chains.examples import SimilarExamples
from llmops.chains.history import alternating, keep_last_turns
from llmops.chains.prompt import Prompt
from llmops.chains.release import Release
from llmops.chains.turn import Turn
from llmops.errors import WindowError
from llmops.guards.guard import Guards
from llmops.models.engine import TokenCounter
from llmops.retrieval.passage import passage_text
from llmops.retrieval.retriever import IndexRetriever, describe
from llmops.types import Example, GenerationRequest, Hit, Message, Query, Spans


class Preparation:
    """Makes turns of questions, as a release has it; `adapter` is the name under which the engine knows its adapter."""

    def __init__(
        self, release: Release, prompt: Prompt, guards: Guards, chain: Chain, counter: TokenCounter, adapter: str | None,
        retriever: IndexRetriever | None, examples: SimilarExamples | None,
    ) -> None:  # fmt: skip
        self._release, self._prompt, self._guards, self._chain = release, prompt, guards, chain
        self._counter, self._adapter, self._retriever, self._examples = counter, adapter, retriever, examples

    def prepare(self, queries: Sequence[str | Query], spans: Spans) -> list[Turn]:
        """Each question as far as what the model is to be asked; what is refused or found nowhere has no request."""
        turns = [self._heard(Query(query) if isinstance(query, str) else query, spans) for query in queries]
        if "rewrite" in self._chain:
            turns = self._rewritten(turns, spans)
        open_ones = [place for place, turn in enumerate(turns) if turn.is_open]
        if "decompose" in self._chain:
            said = self._chain.decompose([turns[place].question for place in open_ones], spans) if open_ones else []
            for place, (parts, completion) in zip(open_ones, said, strict=True):
                turns[place] = turns[place].after(completion, parts=tuple(parts))
        hits = self._retrieve([turns[place].searched for place in open_ones], spans)
        shots = self._shots([turns[place].question for place in open_ones])
        for place, found, shown in zip(open_ones, hits, shots, strict=True):
            turns[place] = self._ready(turns[place], found, shown, spans)
        return turns

    def _heard(self, query: Query, spans: Spans) -> Turn:
        verdict = self._guards.check_input(_plain(query.question), spans)
        turn = Turn(query, verdict, verdict.text)
        if not turn.is_open:
            return turn
        turn = self._with_history(turn, spans)
        return turn.keeping(keep_last_turns(turn.history, self._fits_history))

    def _rewritten(self, turns: Sequence[Turn], spans: Spans) -> list[Turn]:
        """Questions after a conversation made to stand alone, and guarded again: what they say now, nobody typed."""
        placed = {place: self._short_to_rewrite(turn) for place, turn in enumerate(turns) if turn.is_open and turn.history}
        asked = [(turn.question, turn.history) for turn in placed.values()]
        said = self._chain.rewrite(asked, spans) if asked else []
        changed = list(turns)
        for place, one in zip(placed, said, strict=True):
            verdict = self._guards.check_input(_plain(one.text), spans)
            verdict = replace(verdict, findings=(*turns[place].verdict.findings, *verdict.findings))
            changed[place] = placed[place].after(one.completion, verdict=verdict, question=verdict.text, history=())
        return changed

    def _short_to_rewrite(self, turn: Turn) -> Turn:
        kept = keep_last_turns(turn.history, lambda messages: self._fits(self._chain.to_rewrite(turn.question, messages)))
        if not kept:
            raise WindowError("the question, with the conversation, doesn't fit the model's window. Ask shorter.")
        return turn.keeping(kept)

    def _retrieve(self, searched: Sequence[Sequence[str]], spans: Spans) -> list[list[Hit]]:
        """What is found for each question by all its parts: each part's best first, then each one's second."""
        if self._retriever is None:
            return [[] for _ in searched]
        questions = [part for parts in searched for part in parts]
        with spans("retrieve", "RETRIEVER") as span:
            found = self._retriever.hits(questions)
            shown = [{"page_content": passage_text(hit.chunk), "metadata": describe(hit)} for hits in found for hit in hits]
            span.record(inputs={"question": "\n".join(questions)}, outputs=shown)
        waiting = iter(found)
        return [_interleaved(list(islice(waiting, len(parts)))) for parts in searched]

    def _shots(self, questions: Sequence[str]) -> list[tuple[Example, ...]]:
        if self._examples is None:
            return [self._release.shots for _ in questions]
        return self._examples.choose(questions)

    def _ready(self, turn: Turn, hits: Sequence[Hit], shots: Sequence[Example], spans: Spans) -> Turn:
        """The turn with what is shown to the model and what it is asked; without it where nothing was found."""
        with spans("context", "PARSER") as span:
            worked = self._worked(turn, shots)
            before = (*worked, *self._defused(turn.history))
            context = self._context(turn.question, before, hits, spans)
            examples = len(worked) // 2
            span.record(
                passages=len(context.passages), turns=len(turn.history), examples=examples,
                dropped=[list(one) for one in context.dropped], dropped_turns=[list(one) for one in turn.dropped],
                dropped_examples=[[shot.question, "no room"] for shot in shots[examples:]],
            )  # fmt: skip
        if self._retriever is not None and not context.passages:
            return replace(turn, context=context)
        request = self._request(turn.question, before, context.texts)
        if not context.passages and not self._fits(request):
            raise WindowError("the question, with examples and conversation, doesn't fit the model's window. Ask shorter.")
        return replace(turn, context=context, request=request)

    def _worked(self, turn: Turn, shots: Sequence[Example]) -> tuple[Message, ...]:
        """Examples as turns: as many first ones as have room, of similar ones the nearest last, by the question."""
        worked = [self._prompt.worked(shot.question, shot.context, shot.answer) for shot in shots]
        most, history = self._release.budget.examples, self._defused(turn.history)
        for count in range(len(worked), 0, -1):
            kept = worked[:count][::-1] if self._examples else worked[:count]
            messages = tuple(chain.from_iterable(kept))
            within = not most or sum(self._counter.count_text(message.content) for message in messages) <= most
            if within and self._fits(self._request(turn.question, (*messages, *history), [])):
                return messages
        return ()

    def _with_history(self, turn: Turn, spans: Spans) -> Turn:
        """The turn with its conversation, less what guards refuse: whoever asks may have made up both sides of it.

        Messages of other roles are left out: a release's instructions are its own.
        """
        heard: list[Message] = []
        refused: list[tuple[int, str]] = []
        for place, message in enumerate(turn.query.history, start=1):
            if message.role not in ("user", "assistant"):
                refused.append((place, f"its role is {message.role!r}"))
                continue
            verdict = self._guards.check_input(_plain(message.content), spans)
            if verdict.action == "block":
                refused.append((place, verdict.reason))
            else:
                heard.append(replace(message, content=verdict.text))
        return replace(turn, history=tuple(heard), dropped=tuple(refused))

    def _context(self, question: str, before: Sequence[Message], hits: Sequence[Hit], spans: Spans) -> Context:
        distinct, copies = drop_copies(hits)
        passages, refused = self._guarded(merge_neighbours(distinct), spans)

        def fits(texts: Sequence[str]) -> bool:
            most = self._release.budget.passages
            within = not most or self._counter.count_text("\n\n".join(texts)) <= most
            return within and self._fits(self._request(question, before, texts)) and self._fits_check(question, texts)

        context = fit(passages, fits)
        return replace(context, dropped=(*copies, *refused, *context.dropped))

    def _guarded(self, passages: Sequence[Passage], spans: Spans) -> tuple[list[Passage], list[Dropped]]:
        """Passages as the model may read them, and the chunks it may not."""
        shown: list[Passage] = []
        refused: list[Dropped] = []
        verdicts = self._guards.check_passages([passage.text for passage in passages], spans)
        for passage, verdict in zip(passages, verdicts, strict=True):
            if verdict.action == "block":
                refused += [(hit.chunk.chunk_id, verdict.reason) for hit in passage.hits]
            else:
                shown.append(replace(passage, text=verdict.text, lead=min(passage.lead, len(verdict.text))))
        return shown, refused

    def _fits(self, request: GenerationRequest, room: int = 0) -> bool:
        """Whether a prompt leaves room for its answer, and for so many tokens more."""
        return self._counter.fits(request.messages, request.max_new_tokens + room)

    def _fits_check(self, question: str, passages: Sequence[str]) -> bool:
        """Whether the answer to come can be checked against the same passages."""
        if "check" not in self._chain:
            return True
        return self._fits(self._chain.to_check(question, passages, ""), self._release.generator.max_new_tokens)

    def _fits_history(self, messages: Sequence[Message]) -> bool:
        return sum(self._counter.count_text(message.content) for message in messages) <= self._release.budget.history

    def _defused(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        return tuple(replace(message, content=self._counter.defuse(message.content)) for message in messages)

    def _request(self, question: str, before: Sequence[Message], passages: Sequence[str]) -> GenerationRequest:
        defuse = self._counter.defuse
        asked = self._prompt.message(defuse(question), [defuse(passage) for passage in passages])
        return GenerationRequest(alternating((*before, asked)), self._release.generator.max_new_tokens, self._adapter)


def _interleaved(found: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The first of each list, then the second of each; a chunk that several hold once."""
    ranked = (hit for hits in zip_longest(*found) for hit in hits if hit is not None)
    distinct: dict[str, Hit] = {}
    for hit in ranked:
        distinct.setdefault(hit.chunk.chunk_id, hit)
    return list(distinct.values())


def _plain(question: str) -> str:
    """The question without control characters and halves of a character, which no keyboard types; tabs and lines stay."""
    return "".join(c for c in question if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs")).strip()
