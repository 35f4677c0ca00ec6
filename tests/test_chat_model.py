"""Calls of many threads as batches of one engine, and any engine as a chat model for LangChain."""

import asyncio
import contextlib
import gc
import signal
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import drain
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate

from llmops.errors import ConfigError, DataError, EngineError
from llmops.models.batcher import MicroBatcher
from llmops.models.chat_messages import to_messages
from llmops.models.chat_model import EngineChatModel
from llmops.models.weights import resolve_weights
from llmops.types import Completion, GenerationRequest, Message, Progress


def ask(text: str) -> GenerationRequest:
    return GenerationRequest((Message("user", text),), 12)


def answer(request: GenerationRequest) -> Completion:
    """What the engine below says to a request: something else to each."""
    text = "|".join(message.content for message in request.messages)
    return Completion(f"{text[::-1]} ({request.adapter})", len(text), request.max_new_tokens, "stop", (-0.5,))


class Echo:
    """An engine that keeps what it was asked in each batch, and can be held in the middle of one."""

    identity = {"name": "echo", "version": "1", "dtype": "none"}

    def __init__(self) -> None:
        self.batches: list[list[GenerationRequest]] = []
        self.running, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.busy = threading.Lock()
        self.streams_ended = 0

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        assert self.busy.acquire(blocking=False), "two calls at once"
        try:
            self.batches.append(list(requests))
            self.running.set()
            assert self.go_on.wait(20)
            if any("fail" in request.messages[-1].content for request in requests):
                raise EngineError("out of memory")
            lost = sum("lose" in request.messages[-1].content for request in requests)
            return [answer(request) for request in requests[lost:]]
        finally:
            self.busy.release()

    def stream(self, request: GenerationRequest) -> Generator[str, None, Completion]:
        completion = answer(request)
        try:
            for word in completion.text.split(" "):
                if word == "fail"[::-1]:
                    raise EngineError("out of memory")
                yield word
            return completion
        finally:
            self.streams_ended += 1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Stop in the next batch, until the block ends."""
        self.running.clear()
        self.go_on.clear()
        try:
            yield
        finally:
            self.go_on.set()


@pytest.fixture
def echo() -> Echo:
    return Echo()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


def waiting(batcher: MicroBatcher, count: int) -> Callable[[], bool]:
    return lambda: batcher._queue.qsize() == count


# Batches


@given(st.lists(st.lists(st.text("abc", max_size=3), max_size=7), min_size=1, max_size=6), st.integers(1, 5))
@settings(max_examples=40)
def test_everybody_gets_their_own_answers_in_their_own_order(calls: list[list[str]], max_batch: int) -> None:
    echo, together = Echo(), threading.Barrier(len(calls))

    def call(texts: list[str]) -> list[Completion]:
        together.wait(10)
        return batcher.generate([ask(text) for text in texts])

    with MicroBatcher(echo, max_batch, wait_s=0.001) as batcher, ThreadPoolExecutor(len(calls)) as threads:
        answers = list(threads.map(call, calls))
    assert answers == [[answer(ask(text)) for text in texts] for texts in calls]
    asked = sorted(request.messages[0].content for batch in echo.batches for request in batch)
    assert asked == sorted(text for texts in calls for text in texts)
    assert all(len(batch) <= max_batch for batch in echo.batches)


def test_what_is_asked_while_a_batch_runs_is_the_next_batch(echo: Echo) -> None:
    with MicroBatcher(echo) as batcher, ThreadPoolExecutor(5) as threads:
        with echo.held():
            first = threads.submit(batcher.generate, [ask("first")])
            assert echo.running.wait(10)
            others = [threads.submit(batcher.generate, [ask(f"{i}a"), ask(f"{i}b")]) for i in range(4)]
            wait_until(waiting(batcher, 8))
        assert first.result(10) == [answer(ask("first"))]
        assert [other.result(10) for other in others] == [[answer(ask(f"{i}a")), answer(ask(f"{i}b"))] for i in range(4)]
    assert [len(batch) for batch in echo.batches] == [1, 8]


def test_what_is_asked_within_the_wait_is_one_batch(echo: Echo) -> None:
    together = threading.Barrier(3)

    def call(text: str) -> list[Completion]:
        together.wait(10)
        return batcher.generate([ask(text)])

    with MicroBatcher(echo, max_batch=3, wait_s=10) as batcher, ThreadPoolExecutor(3) as threads:
        assert list(threads.map(call, "abc")) == [[answer(ask(text))] for text in "abc"]  # full, so nobody waits for long
    assert [len(batch) for batch in echo.batches] == [3]


def test_more_than_fits_is_answered_in_several_batches_and_progress_told(echo: Echo) -> None:
    seen: list[tuple[str, int, int]] = []
    with MicroBatcher(echo, max_batch=2, wait_s=1) as batcher:
        batcher.generate([ask("a"), ask("b"), ask("c"), ask("d")], lambda *report: seen.append(report))
    assert [len(batch) for batch in echo.batches] == [2, 2]
    assert seen == [("answering", done, 4) for done in (1, 2, 3, 4)]


def test_a_request_that_fails_in_a_batch_fails_alone(echo: Echo) -> None:
    with MicroBatcher(echo) as batcher, ThreadPoolExecutor(5) as threads:
        with echo.held():
            threads.submit(batcher.generate, [ask("first")])
            assert echo.running.wait(10)
            texts = ["fine", "fail", "good", "right"]
            calls = [threads.submit(batcher.generate, [ask(text)]) for text in texts]
            wait_until(waiting(batcher, 4))
        for text, call in zip(texts, calls, strict=True):
            if text == "fail":
                with pytest.raises(EngineError, match="out of memory"):
                    call.result(10)
            else:
                assert call.result(10) == [answer(ask(text))]
    assert [len(batch) for batch in echo.batches][:2] == [1, 4]


@given(texts=st.lists(st.sampled_from(["fine", "fail", "lose", "good"]), max_size=9))
@settings(max_examples=50)
def test_whichever_fail_the_others_are_answered(texts: list[str]) -> None:
    with MicroBatcher(Echo(), max_batch=4, wait_s=0) as batcher:
        outcomes = batcher.generate_each([ask(text) for text in texts])
    wanted = [answer(ask(text)) if text in ("fine", "good") else EngineError for text in texts]
    assert [type(one) if isinstance(one, Exception) else one for one in outcomes] == wanted


def test_an_engine_whose_answers_are_lost_gives_nobody_those_of_others(echo: Echo) -> None:
    with MicroBatcher(echo, wait_s=1, max_batch=3) as batcher:
        with pytest.raises(EngineError, match="0 answers to 1 requests"):
            batcher.generate([ask("a"), ask("lose"), ask("c")])


def test_a_prompt_over_the_window_takes_no_others_with_it(tiny_lm: Path) -> None:
    from llmops.models.transformers_engine import TransformersEngine

    engine = TransformersEngine(resolve_weights(str(tiny_lm)), "float32")
    with MicroBatcher(engine, wait_s=0.5, max_batch=3) as batcher:
        first, long, last = batcher.generate_each([ask("Leave?"), ask("leave " * 5000), ask("Pay?")])
    assert [first, last] == [engine.generate([ask(text)])[0] for text in ("Leave?", "Pay?")]
    assert isinstance(long, EngineError) and "don't fit the model's window" in str(long)


class Interrupted(BaseException):
    pass


def test_who_is_interrupted_is_not_answered_and_holds_up_nobody(echo: Echo) -> None:
    raised = threading.Event()

    def raise_once(*_: Any) -> None:
        if not raised.is_set():
            raised.set()
            raise Interrupted

    def interrupt() -> None:
        assert echo.running.wait(10)
        wait_until(waiting(batcher, 2))
        while not raised.wait(0.01):  # a signal that comes just before a thread blocks doesn't wake it
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raise_once)
    interrupter = threading.Thread(target=interrupt)
    with MicroBatcher(echo, max_batch=1) as batcher:
        with echo.held():
            interrupter.start()
            with pytest.raises(Interrupted):
                batcher.generate([ask("a"), ask("b"), ask("c")])
        assert batcher.generate([ask("after")]) == [answer(ask("after"))]
    interrupter.join()
    signal.signal(signal.SIGUSR1, before)
    assert echo.batches == [[ask("a")], [ask("after")]]


def test_a_request_that_is_cancelled_before_its_batch_is_not_answered(echo: Echo) -> None:
    with MicroBatcher(echo) as batcher:
        with echo.held():
            first = batcher.submit(ask("a"))
            assert echo.running.wait(10)
            cancelled, other = batcher.submit(ask("b")), batcher.submit(ask("c"))
            assert cancelled.cancel() and not first.cancel()
        assert (first.result(10), other.result(10)) == (answer(ask("a")), answer(ask("c")))
    assert echo.batches == [[ask("a")], [ask("c")]]


def test_no_requests_are_no_batch(echo: Echo) -> None:
    with MicroBatcher(echo) as batcher:
        assert batcher.generate([]) == []
    assert not echo.batches


# The end


def test_closing_answers_what_was_asked_and_refuses_what_comes_after(echo: Echo) -> None:
    batcher = MicroBatcher(echo)
    with echo.held():
        asked = [batcher.submit(ask(str(i))) for i in range(3)]
        closer = threading.Thread(target=batcher.close)
        closer.start()
    closer.join(10)
    assert [each.result(0) for each in asked] == [answer(ask(str(i))) for i in range(3)]
    assert not batcher._thread.is_alive()
    batcher.close()
    for call in (
        lambda: batcher.generate([ask("a")]),
        lambda: batcher.submit(ask("a")),
        lambda: next(batcher.stream(ask("a"))),
    ):
        with pytest.raises(EngineError, match="this batcher is closed"):
            call()


def test_a_batcher_that_nobody_holds_ends_its_thread_and_lets_go_of_the_engine() -> None:
    echo = Echo()
    batcher, engine = MicroBatcher(echo), weakref.ref(echo)
    batcher.generate([ask("a")])
    thread = batcher._thread
    assert thread.is_alive()
    del batcher, echo
    gc.collect()
    thread.join(10)
    assert not thread.is_alive() and engine() is None


@pytest.mark.parametrize("settings", [{"max_batch": 0}, {"wait_s": -1.0}, {"wait_s": float("nan")}])
def test_a_batcher_of_no_sense_is_refused(echo: Echo, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected at least 1 and 0"):
        MicroBatcher(echo, **settings)


# Streams beside batches


def test_a_stream_that_nobody_reads_on_holds_up_nobody(echo: Echo) -> None:
    with MicroBatcher(echo) as batcher:
        stream = batcher.stream(ask("a b c d"))
        assert next(stream) == "d"
        assert batcher.generate([ask("other")]) == [answer(ask("other"))]
        assert drain(stream)[0] == ["c", "b", "a", "(None)"]


def test_closing_a_stream_early_closes_the_engines(echo: Echo) -> None:
    with MicroBatcher(echo) as batcher, closing(batcher.stream(ask("a b"))) as stream:
        assert next(stream) == "b" and echo.streams_ended == 0
    assert echo.streams_ended == 1


def test_an_engine_without_streams_answers_in_one_piece(echo: Echo) -> None:
    class Whole:
        identity, generate = echo.identity, echo.generate

    with MicroBatcher(Whole()) as batcher:  # type: ignore[arg-type]
        assert drain(batcher.stream(ask("a b"))) == (["b a (None)"], answer(ask("a b")))


def test_an_error_in_a_stream_is_raised_to_who_reads_it(echo: Echo) -> None:
    with MicroBatcher(echo) as batcher:
        stream = batcher.stream(ask("never fail here"))
        assert next(stream) == "ereh"
        with pytest.raises(EngineError, match="out of memory"):
            next(stream)
        assert batcher.generate([ask("after")]) == [answer(ask("after"))]


# LangChain


def texts(messages: Sequence[BaseMessage]) -> list[str]:
    return [str(message.text) for message in messages]


def said(text: str, adapter: str | None = None) -> str:
    return f"{text[::-1]} ({adapter})"


def test_a_chat_is_answered_with_its_counts_and_its_end(echo: Echo) -> None:
    message = EngineChatModel(engine=echo, max_new_tokens=5, adapter="handbook").invoke("Leave?")
    assert message.text == said("Leave?", "handbook")
    assert message.usage_metadata == {"input_tokens": 6, "output_tokens": 5, "total_tokens": 11}
    metadata = {"finish_reason": "stop", "model_name": "echo", "model_provider": "echo", "logprobs": [-0.5]}
    assert metadata.items() <= message.response_metadata.items()
    assert echo.batches == [[GenerationRequest((Message("user", "Leave?"),), 5, "handbook")]]


def test_messages_of_all_kinds_become_the_three_roles() -> None:
    chat = [
        SystemMessage("Be brief."), HumanMessage([{"type": "text", "text": "Leave"}, "?"]), AIMessage("Ten."),
        AIMessageChunk(content="Days."), ToolMessage("12", tool_call_id="1", name="sum"),
        ToolMessage("13", tool_call_id="2"),
    ]  # fmt: skip
    assert to_messages(chat) == (
        Message("system", "Be brief."), Message("user", "Leave?"), Message("assistant", "Ten."),
        Message("assistant", "Days."), Message("user", "Result of sum: 12"), Message("user", "Result of the tool: 13"),
    )  # fmt: skip


PICTURE = {"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (HumanMessage([{"type": "text", "text": "What is it?"}, PICTURE]), "message 1 holds 'image_url'"),
        (HumanMessage([{"type": "audio", "base64": "", "mime_type": "audio/wav"}]), "message 1 holds 'audio'"),
        (ChatMessage(content="Hello", role="critic"), "message 1 is of kind 'chat'"),
    ],
)
def test_what_is_more_than_text_is_refused_in_one_line(echo: Echo, message: BaseMessage, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        EngineChatModel(engine=echo).invoke([SystemMessage("Be brief."), message])
    assert "\n" not in str(caught.value) and not echo.batches


def test_stop_words_are_refused_rather_than_ignored(echo: Echo) -> None:
    with pytest.raises(ConfigError, match="Leave it out"):
        EngineChatModel(engine=echo).invoke("Leave?", stop=["\n"])


def many(model: EngineChatModel, questions: list[Any]) -> dict[str, Callable[[], list[str]]]:
    """The ways LangChain has to ask many questions."""

    async def gathered() -> list[BaseMessage]:
        return list(await asyncio.gather(*(model.ainvoke(question) for question in questions)))

    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | model
    chats: list[list[BaseMessage]] = [[HumanMessage(question)] for question in questions]
    return {
        "batch": lambda: texts(model.batch(questions)),
        "abatch": lambda: texts(asyncio.run(model.abatch(questions))),
        "ainvoke": lambda: texts(asyncio.run(gathered())),
        "generate": lambda: [chat[0].text for chat in model.generate(chats).generations],
        "agenerate": lambda: [chat[0].text for chat in asyncio.run(model.agenerate(chats)).generations],
        "a chain's batch": lambda: texts(chain.batch([{"question": question} for question in questions])),
    }


@pytest.mark.parametrize("way", ["batch", "abatch", "ainvoke", "generate", "agenerate", "a chain's batch"])
def test_many_questions_reach_the_engine_as_one_batch_however_they_are_asked(echo: Echo, way: str) -> None:
    questions = [f"question {i}" for i in range(12)]
    with MicroBatcher(echo, max_batch=12, wait_s=10) as batcher:  # so long that only a full batch begins
        assert many(EngineChatModel(engine=batcher), questions)[way]() == [said(question) for question in questions]
    assert [len(batch) for batch in echo.batches] == [12]


def test_a_config_may_ask_for_fewer_at_once(echo: Echo) -> None:
    EngineChatModel(engine=echo).batch(["a", "b", "c"], {"max_concurrency": 1})
    assert [len(batch) for batch in echo.batches] == [1, 1, 1]


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.started, self.ended, self.tokens = 0, 0, list[str]()

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.started += 1

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        self.ended += 1


def test_a_batch_tells_callbacks_of_every_chat_and_names_its_runs(echo: Echo) -> None:
    told, first = Tokens(), uuid.uuid4()
    chats: list[list[BaseMessage]] = [[HumanMessage(text)] for text in "abc"]
    result = EngineChatModel(engine=echo).generate(chats, callbacks=[told], run_id=first)
    assert (told.started, told.ended) == (3, 3)
    runs = [run.run_id for run in result.run or ()]
    assert runs[0] == first and len(set(runs)) == 3


def test_one_failing_chat_of_a_batch_is_returned_as_its_error(echo: Echo) -> None:
    fine, failed = EngineChatModel(engine=echo).batch(
        ["fine", "fail"], {"max_concurrency": 1}, return_exceptions=True
    )  # fmt: skip
    assert fine.text == said("fine") and isinstance(failed, EngineError)


def test_leaving_a_stream_early_closes_the_engines(echo: Echo) -> None:
    with closing(EngineChatModel(engine=echo).stream("a b")) as stream:  # type: ignore[type-var]
        assert next(stream).text == "b" and echo.streams_ended == 0
    assert echo.streams_ended == 1


def test_a_stream_comes_in_pieces_and_adds_up_to_the_answer(echo: Echo) -> None:
    told = Tokens()
    model = EngineChatModel(engine=echo)
    chunks = list(model.stream("a b c", {"callbacks": [told]}))
    assert texts(chunks) == ["c", "b", "a", "(None)", ""] == told.tokens
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    asked = model.invoke("a b c")
    assert whole.usage_metadata == asked.usage_metadata
    assert whole.response_metadata == asked.response_metadata


def test_the_model_says_which_engine_it_runs_on(echo: Echo) -> None:
    model = EngineChatModel(engine=echo, adapter="handbook")
    assert model._identifying_params == {**echo.identity, "adapter": "handbook", "max_new_tokens": 256}


def test_a_model_that_nobody_holds_ends_its_thread(echo: Echo) -> None:
    model = EngineChatModel(engine=echo)
    thread = model._batcher._thread
    del model
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_a_real_model_answers_a_batch_of_chats_as_it_answers_each(tiny_lm: Path) -> None:
    from llmops.models.transformers_engine import TransformersEngine

    engine = TransformersEngine(resolve_weights(str(tiny_lm)), "float32")
    model = EngineChatModel(engine=engine, max_new_tokens=8)
    questions: list[Any] = ["Leave?", "Who signs form ON-3?", "How many days of leave does Ardvale give in a year?"]
    wanted = engine.generate([GenerationRequest((Message("user", question),), 8) for question in questions])
    answers = model.batch(questions)
    assert texts(answers) == [completion.text for completion in wanted]
    assert [message.usage_metadata["output_tokens"] for message in answers if message.usage_metadata] == [
        completion.completion_tokens for completion in wanted
    ]
