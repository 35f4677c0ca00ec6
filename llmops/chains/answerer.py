"""A release brought to life: questions in, answers with their sources out."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from llmops import digests
from llmops.chains import citations
from llmops.chains.chain import Chain
from llmops.chains.examples import SimilarExamples
from llmops.chains.preparation import Preparation
from llmops.chains.prompt import ABSTENTION, is_abstention, parse_prompt
from llmops.chains.release import Release
from llmops.chains.turn import Turn
from llmops.errors import EngineError
from llmops.guards.check import Guard
from llmops.guards.finding import Verdict, verdict_on
from llmops.guards.guard import Guards
from llmops.guards.injection import Classifier
from llmops.guards.secrets import find_secrets
from llmops.models.engine import Engine, TokenCounter, generate_each, make_each
from llmops.retrieval.retriever import IndexRetriever
from llmops.streams import Stream
from llmops.types import Answer, Completion, GenerationRequest, Progress, Query, Span, Spans, no_spans

T = TypeVar("T")
_BROKEN_OFF = Completion("", 0, 0, "content_filter")  # of a streamed answer that a guard blocked, and nobody counted


class Unanswered(EngineError):
    """Some of several questions failed. `outcomes` holds the answer or the error of each, in order."""

    def __init__(self, outcomes: Sequence[Answer | Exception]) -> None:
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        super().__init__(f"{len(errors)} of {len(outcomes)} questions failed, the first so: {errors[0]}")
        self.outcomes = tuple(outcomes)


class Answerer:
    """Runs a release on an engine. One question and a thousand, streamed or not, take the same path.

    `counter` counts tokens as the release's base does; `adapter` is the name under which the engine knows the release's
    adapter; `retriever`, `examples` and `classifier` are given exactly when the release names an index, similar examples
    and a guard's classifier. Where the release draws tokens, a question with the same `seed` has the same answer, and
    without one another each time. What comes before and after the answer is never drawn.
    """

    def __init__(
        self, release: Release, engine: Engine, counter: TokenCounter, adapter: str | None = None,
        retriever: IndexRetriever | None = None, classifier: Classifier | None = None,
        examples: SimilarExamples | None = None, seed: int | None = None,
    ) -> None:  # fmt: skip
        self.release, self.engine = release, engine
        self._adapter, self._seed = adapter, seed
        self._parts = (engine, counter, adapter, retriever, classifier, examples)
        self._prompt = parse_prompt(release.template)
        self._guards = Guards(release.guards, self._prompt.instructions, classifier)
        self._chain = Chain(release.chain, engine, counter)
        self._preparation = Preparation(
            release, self._prompt, self._guards, self._chain, counter, adapter, retriever, examples
        )

    @property
    def identity(self) -> dict[str, str]:
        """The engine's name, version and dtype."""
        return self.engine.identity

    def with_template(self, template: str) -> "Answerer":
        """One of the same parts that asks with another prompt."""
        return Answerer(replace(self.release, template=template), *self._parts, self._seed)

    def with_retriever(self, retriever: IndexRetriever) -> "Answerer":
        """One of the same parts that retrieves elsewhere."""
        engine, counter, adapter, _, classifier, examples = self._parts
        return Answerer(self.release, engine, counter, adapter, retriever, classifier, examples, self._seed)

    def with_engine(self, engine: Engine, adapter: str | None = None) -> "Answerer":
        """One of the same parts that another engine of the same model answers for, which has the adapter by that name."""
        _, counter, _, retriever, classifier, examples = self._parts
        return Answerer(self.release, engine, counter, adapter, retriever, classifier, examples, self._seed)

    def with_seed(self, seed: int | None) -> "Answerer":
        """One of the same parts that draws with this seed."""
        return self if seed == self._seed else Answerer(self.release, *self._parts, seed)

    def restricted(self, groups: Sequence[str] | None, max_new_tokens: int | None) -> "Answerer":
        """One of the same parts for a caller who may see less, or wants less: only these groups, at most so many tokens."""
        engine, counter, adapter, retriever, classifier, examples = self._parts
        if groups is not None and retriever is not None:
            retriever = retriever.within(groups)
        generator = self.release.generator
        most = min(generator.max_new_tokens, max_new_tokens or generator.max_new_tokens)
        release = replace(self.release, generator=replace(generator, max_new_tokens=most))
        return Answerer(release, engine, counter, adapter, retriever, classifier, examples, self._seed)

    def answer(
        self, queries: Sequence[str | Query], progress: Progress | None = None, spans: Spans = no_spans
    ) -> list[Answer]:
        """Answer each question, in order. Where a guard refuses or nothing near enough is found, the model isn't asked.

        Raises:
            Unanswered: some of the questions failed; it holds the answers to the others.
            WindowError: a question leaves no room in the model's window.
            EngineError: the engine fails.
        """
        turns = _some(make_each(lambda part: self._preparation.prepare(part, spans), queries))
        requests = [self._decoded(turn.request) for turn in turns if isinstance(turn, Turn) and turn.request is not None]
        with spans("generate", "CHAT_MODEL") as span:
            said = iter(generate_each(self.engine, requests, progress))
            outcomes = _some([self._outcome(turn, said, spans) for turn in turns])
            self._record(span, turns, outcomes)
        if "check" in self._chain:
            outcomes = self._checked(turns, outcomes, spans)
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        if len(answers) < len(outcomes):
            raise Unanswered(outcomes)
        return answers

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
        said = Stream(self.engine.stream(self._decoded(turn.request)))
        pieces = citations.keep_shown_arriving(said, len(turn.context.texts)) if self._prompt.cites else iter(said)
        verdict = yield from self._guards.stream_output(pieces, turn.context.texts, spans, turn.query.question)
        said.close()
        answer = self._answer(turn, said.whole or _BROKEN_OFF, verdict)
        with spans("generate", "CHAT_MODEL") as span:  # afterwards: a span can't stay open while a caller holds the stream
            self._record(span, [turn], [answer])
        return answer

    def _decoded(self, request: GenerationRequest) -> GenerationRequest:
        """The request with the release's way to choose tokens, and a seed of its own.

        With one noise for all of them questions would be answered alike, and their mean would say less than their number.
        """
        generator = self.release.generator
        if generator.temperature == 0:
            return request
        seed = None if self._seed is None else _own_seed(self._seed, request)
        return replace(request, temperature=generator.temperature, top_p=generator.top_p, seed=seed)

    def _record(self, span: Span, turns: Sequence[Turn | Exception], outcomes: Sequence[Answer | Exception]) -> None:
        """What a trace shows of generation: of a single question the prompt, and the answer as guards let it out."""
        asked = [(turn.request, outcome) for turn, outcome in _answered(turns, outcomes).values() if turn.request]
        if len(asked) == 1:
            request, answer = asked[0]
            span.record(inputs=[vars(message) for message in request.messages], outputs=answer.text)
        span.record(requests=len(asked), engine=self.engine.identity, adapter=self._adapter or "")

    def _outcome(self, turn: Turn | Exception, said: Iterator[Completion | Exception], spans: Spans) -> Answer | Exception:
        """The answer to the next question, or why there is none."""
        if isinstance(turn, Exception):
            return turn
        completion = next(said) if turn.request is not None else None
        return completion if isinstance(completion, Exception) else self._judge(turn, completion, spans)

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
            places=turn.context.places, passages=self._without_secrets(turn.context.texts),
            guards=(*_noted(turn.verdict), *_noted(verdict)), engine=self.engine.identity,
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

    def _without_secrets(self, passages: Sequence[str]) -> tuple[str, ...]:
        """Passages as whoever asks may read them: what is cut out of answers isn't told beside them."""
        guard = Guard("answer_secrets", self.release.guards.answer_secrets, find_secrets)
        return tuple(verdict_on(text, guard.check(text)[0], blocked="").text for text in passages)

    def _checked(
        self, turns: Sequence[Turn | Exception], outcomes: Sequence[Answer | Exception], spans: Spans
    ) -> list[Answer | Exception]:
        """Outcomes, those answers withheld that the model says the passages don't support."""
        checked = list(outcomes)
        answered = _answered(turns, outcomes)
        places = [place for place, (turn, answer) in answered.items() if turn.context.passages and not answer.abstained]
        asked = [
            (turn.question, turn.context.texts, citations.without_marks(answer.text))
            for turn, answer in map(answered.__getitem__, places)
        ]
        said = self._chain.check(asked, spans) if asked else []
        for place, (supported, completion) in zip(places, said, strict=True):
            answer = _counted(answered[place][1], (completion,))
            checked[place] = answer if supported else _withheld(answer, "check: the passages don't support the answer")
        return checked


def _own_seed(seed: int, request: GenerationRequest) -> int:
    """31 bits, which all servers take."""
    digest = digests.of_data([seed, *((message.role, message.content) for message in request.messages)])
    return int(digest[:8], 16) >> 1


def _some(outcomes: list[T | Exception]) -> list[T | Exception]:
    """The outcomes, unless all of them are errors: then the first one is raised."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if errors and len(errors) == len(outcomes):
        raise errors[0]
    return outcomes


def _answered(turns: Sequence[Turn | Exception], outcomes: Sequence[Answer | Exception]) -> dict[int, tuple[Turn, Answer]]:
    """What was answered, by its place."""
    pairs = enumerate(zip(turns, outcomes, strict=True))
    return {i: (turn, one) for i, (turn, one) in pairs if isinstance(turn, Turn) and isinstance(one, Answer)}


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
