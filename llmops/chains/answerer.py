"""A release brought to life: questions in, answers with their sources out."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from llmops.chains import citations
from llmops.chains.chain import Chain
from llmops.chains.examples import SimilarExamples
from llmops.chains.preparation import Preparation
from llmops.chains.prompt import ABSTENTION, is_abstention, parse_prompt
from llmops.chains.release import Release
from llmops.chains.turn import Turn
from llmops.errors import EngineError
from llmops.guards.finding import Verdict
from llmops.guards.guard import Guards
from llmops.guards.injection import Classifier
from llmops.models.engine import Engine, TokenCounter
from llmops.retrieval.retriever import IndexRetriever
from llmops.streams import Stream
from llmops.types import Answer, Completion, GenerationRequest, Progress, Query, Span, Spans, no_spans

_BROKEN_OFF = Completion("", 0, 0, "content_filter")  # of a streamed answer that a guard blocked, and nobody counted


class Answerer:
    """Runs a release on an engine. One question and a thousand, streamed or not, take the same path.

    `counter` counts tokens as the release's base does; `adapter` is the name under which the engine knows the release's
    adapter; `retriever`, `examples` and `classifier` are given exactly when the release names an index, similar examples
    and a guard's classifier.
    """

    def __init__(
        self, release: Release, engine: Engine, counter: TokenCounter, adapter: str | None = None,
        retriever: IndexRetriever | None = None, classifier: Classifier | None = None,
        examples: SimilarExamples | None = None,
    ) -> None:  # fmt: skip
        self.release, self.engine = release, engine
        self._adapter = adapter
        self._parts = (engine, counter, adapter, retriever, classifier, examples)
        self._prompt = parse_prompt(release.template)
        self._guards = Guards(release.guards, self._prompt.instructions, classifier)
        self._chain = Chain(release.chain, engine, counter)
        self._preparation = Preparation(
            release, self._prompt, self._guards, self._chain, counter, adapter, retriever, examples
        )

    def with_template(self, template: str) -> "Answerer":
        """One of the same parts that asks with another prompt."""
        return Answerer(replace(self.release, template=template), *self._parts)

    def answer(
        self, queries: Sequence[str | Query], progress: Progress | None = None, spans: Spans = no_spans
    ) -> list[Answer]:
        """Answer each question, in order. Where a guard refuses or nothing near enough is found, the model isn't asked.

        Raises:
            EngineError: a question leaves no room in the model's window, or the engine fails.
        """
        turns = self._preparation.prepare(queries, spans)
        requests = [turn.request for turn in turns if turn.request is not None]
        with spans("generate", "CHAT_MODEL") as span:
            completions = self.engine.generate(requests, progress)
            self._record(span, requests, completions)
        waiting = iter(completions)
        answers = [self._judge(turn, next(waiting) if turn.request else None, spans) for turn in turns]
        return self._checked(turns, answers, spans) if "check" in self._chain else answers

    def stream(self, query: str | Query, spans: Spans = no_spans) -> Generator[str, None, Answer]:
        """Yield the answer sentence by sentence, each when the guards have seen it, and return the whole.

        A release that withholds answers for what the whole of them is like says all at once.

        Raises:
            EngineError: as `answer`; what was yielded is no whole answer then.
        """
        if self.release.abstention is not None or "check" in self._chain:
            (answer,) = self.answer([query], spans=spans)
            yield answer.text
            return answer
        (turn,) = self._preparation.prepare([query], spans)
        if turn.request is None:
            answer = self._judge(turn, None, spans)
            yield answer.text
            return answer
        said = Stream(self.engine.stream(turn.request))
        pieces = citations.keep_shown_arriving(said, len(turn.context.texts)) if self._prompt.cites else iter(said)
        verdict = yield from self._guards.stream_output(pieces, turn.context.texts, spans, turn.query.question)
        said.close()
        completion = said.whole or _BROKEN_OFF
        with spans("generate", "CHAT_MODEL") as span:  # afterwards: a span can't stay open while a caller holds the stream
            self._record(span, [turn.request], [completion])
        return self._answer(turn, completion, verdict)

    def _record(self, span: Span, requests: Sequence[GenerationRequest], completions: Sequence[Completion]) -> None:
        """What a trace shows of generation: the prompt and the answer, where it is about one question."""
        if len(requests) == 1:
            span.record(inputs=[vars(message) for message in requests[0].messages], outputs=completions[0].text)
        span.record(requests=len(requests), engine=self.engine.identity, adapter=self._adapter or "")

    def _judge(self, turn: Turn, completion: Completion | None, spans: Spans) -> Answer:
        """The answer; without a completion the guards' refusal of the question, or that it isn't known."""
        if completion is not None:
            text, shown = completion.text, turn.context.texts
            if self._prompt.cites:
                text = citations.keep_shown(text, len(shown))
            verdict = self._guards.check_output(text, shown, spans, turn.query.question)
            return self._confident(self._answer(turn, completion, verdict), spans)
        refused = turn.verdict.action == "block"
        text, reason = (turn.verdict.text, turn.verdict.reason) if refused else (ABSTENTION, "")
        return _counted(
            Answer(text, True, blocked=reason, guards=tuple(_noted(turn.verdict)), engine=self.engine.identity), turn.spent
        )

    def _answer(self, turn: Turn, completion: Completion, verdict: Verdict) -> Answer:
        blocked = verdict.reason if verdict.action == "block" else ""
        abstained = bool(blocked) or is_abstention(verdict.text)
        answer = Answer(
            verdict.text, abstained, turn.context.hits, finish_reason=completion.finish_reason, blocked=blocked,
            places=turn.context.places, guards=(*_noted(turn.verdict), *_noted(verdict)), engine=self.engine.identity,
            citations=citations.cited(verdict.text) if self._prompt.cites and not abstained else (),
            confidence=sum(completion.logprobs) / len(completion.logprobs) if completion.logprobs else None,
        )  # fmt: skip
        return _counted(answer, (*turn.spent, completion))

    def _confident(self, answer: Answer, spans: Spans) -> Answer:
        """The answer, or that it isn't known where the release asks for more confidence."""
        wanted = self.release.abstention
        if wanted is None or answer.abstained:
            return answer
        if answer.confidence is None:
            told = "the engine tells no log-probabilities, by which this release decides when to abstain"
            raise EngineError(f"{told}. Serve it on one that does.")
        enough = answer.confidence >= wanted.min_confidence
        with spans("abstention", "EVALUATOR") as span:
            span.record(confidence=answer.confidence, min_confidence=wanted.min_confidence, abstained=not enough)
        return answer if enough else _withheld(answer, f"abstention: confidence below {wanted.min_confidence:g}")

    def _checked(self, turns: Sequence[Turn], answers: Sequence[Answer], spans: Spans) -> list[Answer]:
        """Answers, those withheld that the model says the passages don't support."""
        checked = list(answers)
        places = [place for place, turn in enumerate(turns) if turn.context.passages and not answers[place].abstained]
        asked = [(turns[p].question, turns[p].context.texts, citations.without_marks(answers[p].text)) for p in places]
        said = self._chain.check(asked, spans) if asked else []
        for place, (supported, completion) in zip(places, said, strict=True):
            answer = _counted(answers[place], (completion,))
            checked[place] = answer if supported else _withheld(answer, "check: the passages don't support the answer")
        return checked


def _counted(answer: Answer, spent: Sequence[Completion]) -> Answer:
    """The answer, with the tokens that were spent on it too."""
    return replace(
        answer,
        prompt_tokens=answer.prompt_tokens + sum(completion.prompt_tokens for completion in spent),
        completion_tokens=answer.completion_tokens + sum(completion.completion_tokens for completion in spent),
    )


def _withheld(answer: Answer, reason: str) -> Answer:
    return replace(answer, text=ABSTENTION, abstained=True, citations=(), guards=(*answer.guards, reason))


def _noted(verdict: Verdict) -> Iterator[str]:
    """What guards found, one line for each kind of thing."""
    yield from dict.fromkeys(f"{finding.guard}: {finding.action}: {finding.reason}" for finding in verdict.findings)
