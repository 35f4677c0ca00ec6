"""A release brought to life: questions in, answers with their sources out."""

import unicodedata
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from llmops.chains.context import Context, Dropped, Passage, drop_copies, fit, merge_neighbours
from llmops.chains.history import keep_last_turns
from llmops.chains.prompt import ABSTENTION, Prompt, is_abstention, parse_prompt
from llmops.chains.release import Release
from llmops.errors import EngineError
from llmops.guards.finding import Verdict
from llmops.guards.guard import Guards
from llmops.guards.injection import Classifier
from llmops.models.engine import Engine, TokenCounter
from llmops.retrieval.passage import passage_text
from llmops.retrieval.retriever import IndexRetriever, describe
from llmops.streams import Stream
from llmops.types import Answer, Completion, GenerationRequest, Hit, Message, Progress, Query, Span, Spans, no_spans

_BROKEN_OFF = Completion("", 0, 0, "content_filter")  # of a streamed answer that a guard blocked, and nobody counted


@dataclass(frozen=True)
class _Turn:
    """A question on its way: as the guards let it through, what is shown with it, and what the model is asked, if it is."""

    query: Query
    verdict: Verdict
    context: Context = Context()
    request: GenerationRequest | None = None


class Answerer:
    """Runs a release on an engine. One question and a thousand, streamed or not, take the same path.

    `counter` counts tokens as the release's base does; `adapter` is the name under which the engine knows the release's
    adapter; `retriever` is given exactly when the release has one, as is `classifier` when its guards name one.
    """

    def __init__(
        self, release: Release, engine: Engine, counter: TokenCounter, adapter: str | None = None,
        retriever: IndexRetriever | None = None, classifier: Classifier | None = None,
    ) -> None:  # fmt: skip
        self.release, self.engine = release, engine
        self._counter, self._adapter, self._retriever = counter, adapter, retriever
        self._prompt: Prompt = parse_prompt(release.template)
        self._guards = Guards(release.guards, self._prompt.instructions, classifier)
        self._shots = tuple(
            message
            for shot in release.shots
            for message in (self._prompt.message(shot.question, shot.context), Message("assistant", shot.answer))
        )

    def answer(
        self, queries: Sequence[str | Query], progress: Progress | None = None, spans: Spans = no_spans
    ) -> list[Answer]:
        """Answer each question, in order. Where a guard refuses or nothing near enough is found, the model isn't asked.

        Raises:
            EngineError: a question leaves no room in the model's window, or the engine fails.
        """
        turns = self._prepare(queries, spans)
        requests = [turn.request for turn in turns if turn.request is not None]
        with spans("generate", "CHAT_MODEL") as span:
            completions = self.engine.generate(requests, progress)
            self._record(span, requests, completions)
        waiting = iter(completions)
        return [self._judge(turn, next(waiting) if turn.request else None, spans) for turn in turns]

    def stream(self, query: str | Query, spans: Spans = no_spans) -> Generator[str, None, Answer]:
        """Yield the answer sentence by sentence, each when the guards have seen it, and return the whole.

        Raises:
            EngineError: as `answer`; what was yielded is no whole answer then.
        """
        (turn,) = self._prepare([query], spans)
        if turn.request is None:
            answer = self._judge(turn, None, spans)
            yield answer.text
            return answer
        said = Stream(self.engine.stream(turn.request))
        verdict = yield from self._guards.stream_output(iter(said), turn.context.texts, spans, turn.query.question)
        said.close()
        completion = said.whole or _BROKEN_OFF
        with spans("generate", "CHAT_MODEL") as span:  # afterwards: a span can't stay open while a caller holds the stream
            self._record(span, [turn.request], [completion])
        return self._answer(turn, completion, verdict)

    def _prepare(self, queries: Sequence[str | Query], spans: Spans) -> list[_Turn]:
        asked = [Query(query) if isinstance(query, str) else query for query in queries]
        turns = [_Turn(query, self._guards.check_input(_plain(query.question), spans)) for query in asked]
        open_ones = [turn for turn in turns if turn.verdict.action != "block" and turn.verdict.text.strip()]
        hits = self._retrieve([turn.verdict.text for turn in open_ones], spans)
        ready = {id(turn): self._ready(turn, found, spans) for turn, found in zip(open_ones, hits, strict=True)}
        return [ready.get(id(turn), turn) for turn in turns]

    def _retrieve(self, questions: Sequence[str], spans: Spans) -> list[list[Hit]]:
        if self._retriever is None:
            return [[] for _ in questions]
        with spans("retrieve", "RETRIEVER") as span:
            found = self._retriever.hits(questions)
            shown = [{"page_content": passage_text(hit.chunk), "metadata": describe(hit)} for hits in found for hit in hits]
            span.record(inputs={"question": "\n".join(questions)}, outputs=shown)
        return found

    def _ready(self, turn: _Turn, hits: Sequence[Hit], spans: Spans) -> _Turn:
        """The turn with what is shown to the model and what it is asked; without it where nothing was found."""
        history = keep_last_turns(self._checked(turn.query.history, spans), self._fits_history)
        with spans("context", "PARSER") as span:
            context = self._context(turn.verdict.text, history, hits, spans)
            span.record(passages=len(context.passages), turns=len(history), dropped=[list(one) for one in context.dropped])
        if self._retriever is not None and not context.passages:
            return replace(turn, context=context)
        request = self._request(turn.verdict.text, history, context.texts)
        if not context.passages and not self._fits(request):
            raise EngineError("the question, with examples and conversation, doesn't fit the model's window. Ask shorter.")
        return replace(turn, context=context, request=request)

    def _checked(self, history: Sequence[Message], spans: Spans) -> Iterator[Message]:
        """The conversation without what guards would have refused: whoever asks may have made it up."""
        for message in history:
            if message.role != "user":
                yield message
                continue
            verdict = self._guards.check_input(_plain(message.content), spans)
            if verdict.action != "block":
                yield replace(message, content=verdict.text)

    def _context(self, question: str, history: Sequence[Message], hits: Sequence[Hit], spans: Spans) -> Context:
        distinct, copies = drop_copies(hits)
        passages, refused = self._guarded(merge_neighbours(distinct), spans)

        def fits(texts: Sequence[str]) -> bool:
            most = self.release.budget.passages
            within = not most or self._counter.count_text("\n\n".join(texts)) <= most
            return within and self._fits(self._request(question, history, texts))

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

    def _fits(self, request: GenerationRequest) -> bool:
        return self._counter.count_prompt(request.messages) + request.max_new_tokens <= self._counter.window

    def _fits_history(self, messages: Sequence[Message]) -> bool:
        return sum(self._counter.count_text(message.content) for message in messages) <= self.release.budget.history

    def _request(self, question: str, history: Sequence[Message], passages: Sequence[str]) -> GenerationRequest:
        defuse = self._counter.defuse
        before = (Message(message.role, defuse(message.content)) for message in history)
        asked = self._prompt.message(defuse(question), [defuse(passage) for passage in passages])
        messages = (*self._shots, *before, asked)
        return GenerationRequest(messages, self.release.generator.max_new_tokens, self._adapter)

    def _record(self, span: Span, requests: Sequence[GenerationRequest], completions: Sequence[Completion]) -> None:
        """What a trace shows of generation: the prompt and the answer, where it is about one question."""
        if len(requests) == 1:
            span.record(inputs=[vars(message) for message in requests[0].messages], outputs=completions[0].text)
        span.record(requests=len(requests), engine=self.engine.identity, adapter=self._adapter or "")

    def _judge(self, turn: _Turn, completion: Completion | None, spans: Spans) -> Answer:
        """The answer; without a completion the guards' refusal of the question, or that it isn't known."""
        if completion is not None:
            verdict = self._guards.check_output(completion.text, turn.context.texts, spans, turn.query.question)
            return self._answer(turn, completion, verdict)
        refused, noted = turn.verdict.action == "block", tuple(_noted(turn.verdict))
        text, reason = (turn.verdict.text, turn.verdict.reason) if refused else (ABSTENTION, "")
        return Answer(text, True, blocked=reason, guards=noted, engine=self.engine.identity)

    def _answer(self, turn: _Turn, completion: Completion, verdict: Verdict) -> Answer:
        blocked = verdict.reason if verdict.action == "block" else ""
        return Answer(
            verdict.text, bool(blocked) or is_abstention(verdict.text), turn.context.hits, completion.prompt_tokens,
            completion.completion_tokens, completion.finish_reason, blocked, (*_noted(turn.verdict), *_noted(verdict)),
            self.engine.identity,
        )  # fmt: skip


def _plain(question: str) -> str:
    """The question without control characters, which no keyboard types; line breaks and tabs stay."""
    return "".join(c for c in question if c in "\n\t" or unicodedata.category(c) != "Cc").strip()


def _noted(verdict: Verdict) -> Iterator[str]:
    """What guards found, one line for each kind of thing."""
    yield from dict.fromkeys(f"{finding.guard}: {finding.action}: {finding.reason}" for finding in verdict.findings)
