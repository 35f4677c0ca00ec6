"""A model in a process of its own: answers reach who asked, nobody holds up another, and a process that died is replaced."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest

from llmops.errors import ArtifactError, EngineError
from llmops.tracking import package
from llmops.tracking.worker import Worker

MODEL = """
import os, time
from pathlib import Path
import mlflow

class Scripted(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return list(self.predict_stream(context, model_input))[-1]

    def predict_stream(self, context, model_input, params=None):
        if "die" in model_input:
            os._exit(3)
        if "fail" in model_input:
            raise ValueError("no such thing")
        while not Path(model_input.get("until", "/")).exists():
            time.sleep(0.01)
        for number in range(model_input.get("events", 1)):
            yield {"said": model_input.get("say", ""), "number": number}

mlflow.models.set_model(Scripted())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a model that does as it is told, and the wheel it is to run with."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "scripted.py").write_text(MODEL)
    mlflow.pyfunc.save_model(folder / "model", python_model=str(folder / "scripted.py"), pip_requirements=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMOPS_CACHE", str(folder / "cache"))
        return folder / "model", package.write_wheel(folder)


@pytest.fixture(scope="module")
def worker(made: tuple[Path, Path]) -> Iterator[Worker]:
    worker = Worker(*made)
    yield worker
    worker.close()


def said(text: str, number: int = 0) -> dict[str, Any]:
    return {"said": text, "number": number}


class Interrupted(BaseException):
    pass


def interrupted(call: Callable[[], object]) -> None:
    """Make a call that waits for long, and interrupt it as Ctrl-C does."""
    raised = threading.Event()

    def raise_once(*_: Any) -> None:
        if not raised.is_set():
            raised.set()
            raise Interrupted

    def interrupt() -> None:
        while not raised.wait(0.05):  # a signal that comes just before a thread blocks doesn't wake it
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raise_once)
    interrupter = threading.Timer(0.3, interrupt)
    interrupter.start()
    with pytest.raises(Interrupted):
        call()
    interrupter.join()
    signal.signal(signal.SIGUSR1, before)


def test_who_asks_after_an_interrupted_call_gets_an_answer_of_his_own(worker: Worker, tmp_path: Path) -> None:
    first = tmp_path / "first"
    interrupted(lambda: worker.predict({"say": "first", "until": str(first)}))
    first.touch()
    assert [worker.predict({"say": text}) for text in ("second", "third")] == [said("second"), said("third")]


def test_a_stream_that_nobody_reads_on_holds_up_nobody(worker: Worker) -> None:
    with closing(worker.predict_stream({"say": "slow", "events": 5})) as stream:  # type: ignore[type-var]
        assert next(stream) == said("slow")
        assert worker.predict({"say": "other"}) == said("other")
        assert list(worker.predict_stream({"say": "third"})) == [said("third")]
        assert list(stream) == [said("slow", number) for number in range(1, 5)]


def test_a_stream_that_is_given_up_is_not_heard_by_the_next(worker: Worker) -> None:
    with closing(worker.predict_stream({"say": "long", "events": 2000})) as stream:  # type: ignore[type-var]
        assert list(islice(stream, 2)) == [said("long"), said("long", 1)]
    assert list(worker.predict_stream({"say": "next", "events": 2})) == [said("next"), said("next", 1)]


def test_callers_are_answered_at_once_and_each_with_his_own(worker: Worker, tmp_path: Path) -> None:
    last = tmp_path / "last"
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(worker.predict, {"say": str(i), "until": str(last)}) for i in range(19)]
        assert threads.submit(worker.predict, {"say": "quick"}).result(30) == said("quick")
        last.touch()
        assert [each.result(30) for each in waiting] == [said(str(i)) for i in range(19)]


def test_an_error_is_told_to_who_asked_and_to_nobody_else(worker: Worker) -> None:
    for call in (worker.predict, lambda request: list(worker.predict_stream(request))):
        with pytest.raises(EngineError, match=r"^ValueError: no such thing$"):
            call({"fail": True})
    assert worker.predict({"say": "after"}) == said("after")


def test_a_process_that_died_is_started_again_for_the_next_request(worker: Worker, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        other = threads.submit(worker.predict, {"until": str(tmp_path / "never")})
        with pytest.raises(EngineError, match=r"process ended \(exit code 3\). Ask again"):
            worker.predict({"die": True})
        with pytest.raises(EngineError, match="process ended"):  # whoever else had asked isn't left waiting
            other.result(30)
    assert worker.predict({"say": "again"}) == said("again")


def test_only_one_process_runs_however_many_find_the_old_one_dead(worker: Worker) -> None:
    worker.predict({})
    (process,) = children()
    process.kill()
    with ThreadPoolExecutor(4) as threads:
        psutil.wait_procs([process])
        assert list(threads.map(worker.predict, [{"say": "again"}] * 4)) == [said("again")] * 4
    assert len(children()) == 1


def test_a_worker_that_was_closed_or_that_nobody_holds_has_no_process(made: tuple[Path, Path], worker: Worker) -> None:
    others = children()
    closed, dropped = Worker(*made), Worker(*made)
    assert len(children()) == len(others) + 2
    closed.close()
    with pytest.raises(EngineError, match="Load the release again"):
        closed.predict({})
    del dropped
    assert children() == others


def test_a_model_that_does_not_load_says_why_and_leaves_no_process(made: tuple[Path, Path], tmp_path: Path) -> None:
    others = children()
    with pytest.raises(ArtifactError, match="own code .* can't be started: .*Exception"):
        Worker(tmp_path, made[1])
    assert children() == others


def children() -> set[psutil.Process]:
    """The workers' processes; other tests leave trackers of their own beside them."""
    found = [process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE]
    return {process for process in found if any("mlflow.pyfunc.load_model" in part for part in process.cmdline())}
