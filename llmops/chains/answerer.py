"""A release brought to life: questions in, answers with their sources out."""

from collections.abc import Sequence

from llmops.chains.prompt import ABSTENTION, Prompt, is_abstention, parse_prompt
from llmops.chains.release import Release
from llmops.models.engine import Engine
from llmops.retrieval.passage import passage_text
from llmops.retrieval.retriever import IndexRetriever
from llmops.types import Answer, Completion, GenerationRequest, Hit, Message, Progress


class Answerer:
    """Runs a release on an engine. One question and a thousand take the same path.

    `adapter` is the name under which the engine knows the release's adapter; `retriever` is given exactly when the
    release has one.
    """

    def __init__(
        self, release: Release, engine: Engine, adapter: str | None = None, retriever: IndexRetriever | None = None
    ) -> None:
        self.release, self.engine = release, engine
        self._adapter, self._retriever = adapter, retriever
        self._prompt: Prompt = parse_prompt(release.template)

    def answer(self, questions: Sequence[str], progress: Progress | None = None) -> list[Answer]:
        """Answer each question, in order. Where retrieval finds nothing near enough, abstain without asking the model."""
        hits = self._retriever.hits(questions) if self._retriever else [[] for _ in questions]
        asked = [i for i in range(len(questions)) if hits[i] or self._retriever is None]
        requests = [self._request(questions[i], hits[i]) for i in asked]
        completions = dict(zip(asked, self.engine.generate(requests, progress), strict=True))
        return [_answer(completions.get(i), hits[i]) for i in range(len(questions))]

    def _request(self, question: str, hits: Sequence[Hit]) -> GenerationRequest:
        messages: list[Message] = []
        for shot in self.release.shots:
            messages += [self._prompt.message(shot.question, shot.context), Message("assistant", shot.answer)]
        messages.append(self._prompt.message(question, [passage_text(hit.chunk) for hit in hits]))
        return GenerationRequest(tuple(messages), self.release.generator.max_new_tokens, self._adapter)


def _answer(completion: Completion | None, hits: Sequence[Hit]) -> Answer:
    if completion is None:
        return Answer(ABSTENTION, True)
    return Answer(
        completion.text, is_abstention(completion.text), tuple(hits), completion.prompt_tokens,
        completion.completion_tokens, completion.finish_reason,
    )  # fmt: skip
