"""Any engine as a chat model for LangChain. Costs 1.2 s to import."""

import asyncio
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun, Callbacks
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ContextThreadPoolExecutor, get_config_list
from pydantic import Field, PrivateAttr

from llmops.errors import ConfigError
from llmops.models.batcher import MicroBatcher
from llmops.models.chat_messages import to_messages
from llmops.types import Completion, GenerationRequest


class EngineChatModel(BaseChatModel):
    """A chat model on an engine. Calls that come at once, in threads, `batch`, `generate` or asyncio, are one batch of it.

    Give a MicroBatcher as the engine to choose the size of batches, or to share them with other callers.
    """

    engine: Any = Field(exclude=True)  # an Engine, which as a protocol can't be checked
    max_new_tokens: int = Field(default=256, gt=0)
    adapter: str | None = None
    _batcher: MicroBatcher = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._batcher = self.engine if isinstance(self.engine, MicroBatcher) else MicroBatcher(self.engine)

    @property
    def _llm_type(self) -> str:
        return "llmops-engine"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**self.engine.identity, "adapter": self.adapter, "max_new_tokens": self.max_new_tokens}

    def generate(
        self, messages: list[list[BaseMessage]], stop: list[str] | None = None, callbacks: Callbacks = None, **kwargs: Any
    ) -> LLMResult:
        """Answer several chats as one batch; LangChain would answer one after the other."""
        ask, run_id = super().generate, kwargs.pop("run_id", None)

        def one(chat: list[BaseMessage], first: bool) -> LLMResult:
            return ask([chat], stop, callbacks, run_id=run_id if first else None, **kwargs)

        if len(messages) < 2:
            return ask(messages, stop, callbacks, run_id=run_id, **kwargs)
        with ContextThreadPoolExecutor(min(len(messages), self._batcher.max_batch)) as threads:
            results = list(threads.map(one, messages, [i == 0 for i in range(len(messages))]))
        return LLMResult(
            generations=[generations for result in results for generations in result.generations],
            llm_output=self._combine_llm_outputs([result.llm_output for result in results]),
            run=[run for result in results for run in result.run or ()],
        )

    def batch(
        self, inputs: list[LanguageModelInput], config: RunnableConfig | list[RunnableConfig] | None = None, **kwargs: Any
    ) -> list[AIMessage]:
        """As LangChain's, but unless the config says how many run at once, as many as the engine takes in a batch."""
        configs = get_config_list(config, len(inputs))
        for each in configs:
            each["max_concurrency"] = each.get("max_concurrency") or self._batcher.max_batch
        return super().batch(inputs, configs, **kwargs)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any,
    ) -> ChatResult:  # fmt: skip
        (completion,) = self._batcher.generate([self._request(messages, stop)])
        return self._result(completion)

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None, **kwargs: Any,
    ) -> ChatResult:  # fmt: skip
        return self._result(await asyncio.wrap_future(self._batcher.submit(self._request(messages, stop))))

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:  # fmt: skip
        with closing(self._batcher.stream(self._request(messages, stop))) as stream:
            completion = yield from _chunks(stream)
        yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last", **self._facts(completion)))

    def _request(self, messages: Sequence[BaseMessage], stop: list[str] | None) -> GenerationRequest:
        if stop:
            raise ConfigError(f"stop is {stop}, but engines end an answer where the model does. Leave it out.")
        return GenerationRequest(to_messages(messages), self.max_new_tokens, self.adapter)

    def _result(self, completion: Completion) -> ChatResult:
        message = AIMessage(content=completion.text, **self._facts(completion))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _facts(self, completion: Completion) -> dict[str, Any]:
        """A message's metadata, as LangChain and its tracers name them."""
        prompt, answer = completion.prompt_tokens, completion.completion_tokens
        identity = self.engine.identity
        response = {"finish_reason": completion.finish_reason, "model_name": identity.get("model", identity["name"])}
        logprobs = {"logprobs": list(completion.logprobs)} if completion.logprobs else {}
        return {
            "usage_metadata": UsageMetadata(input_tokens=prompt, output_tokens=answer, total_tokens=prompt + answer),
            "response_metadata": {**response, "model_provider": identity["name"], **logprobs},
        }


def _chunks(stream: Generator[str, None, Completion]) -> Generator[ChatGenerationChunk, None, Completion]:
    """Wrap each piece of a stream; return what it returns."""
    while True:
        try:
            piece = next(stream)
        except StopIteration as end:
            return cast(Completion, end.value)
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
