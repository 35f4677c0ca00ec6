"""Processes that decide about one seat at once: `python -m tests.ledger_race sqlite:////tmp/race/mlflow.db 100`."""

import multiprocessing
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

import mlflow

from llmops.errors import Conflict
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit
from llmops.registry.seat import Seat

PATIENCE_S = 300
STORES = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")


def make_versions(model: str, count: int) -> None:
    """Register a model with so many versions: a ledger doesn't look into them."""
    client = mlflow.MlflowClient()
    client.create_registered_model(model)
    for _ in range(count):
        client.create_model_version(model, source="s3://nowhere/release")


def draft(seat: Seat, after: str | None, decision: str = "promote", run: str = "", reason: str = "better") -> Entry:
    """An entry for `commit` to number, about a version of the seat's model."""
    return Entry(
        0, "", "", decision, None, after, f"models:/{seat.model}/{after}", "d" * 64, {"index": "e" * 64}, "f" * 64, 
        "evidence", run or uuid.uuid4().hex, {"user": "alice"}, "2026-11-26T14:00:00+00:00", reason,
    )  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The winners of each round, all that was not a win or a conflict, and how the last seat stands."""

    winners: tuple[int, ...]
    conflicts: int
    errors: tuple[str, ...]
    entries: int
    problems: tuple[str, ...]
    alias: str | None
    attested: str | None
    chain_runs: int
    seconds: float


def race(tracking_uri: str, rounds: int, processes: int = 10, fresh: bool = False) -> Results:
    """Let processes read how a seat stands at once, then all commit the next entry at once; so many rounds.

    With `fresh` each round is about a seat without a ledger: they make it at once.
    """
    mlflow.set_tracking_uri(tracking_uri)
    model = f"race-{uuid.uuid4().hex[:8]}"
    make_versions(model, processes + 1)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["llmops.registry.ledger.writing", *STORES])  # seconds to import, so once for all
    barrier, results = context.Barrier(processes), context.Queue()
    signed_in = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_TRACKING_")}
    racers = [
        context.Process(
            target=_racer, args=(signed_in, tracking_uri, model, number, rounds, processes, fresh, barrier, results)
        )
        for number in range(processes)
    ]
    for racer in racers:
        racer.start()
    told = [results.get(timeout=PATIENCE_S + 3 * rounds) for _ in range(rounds * processes)]
    for racer in racers:
        racer.join()
    stand = standing(_seat(model, rounds - 1, fresh))
    experiment = mlflow.get_experiment_by_name(stand.seat.experiment)
    runs = mlflow.MlflowClient().search_runs([experiment.experiment_id]) if experiment else []
    return Results(
        tuple(sum(won for number, won, _, _ in told if number == index) for index in range(rounds)),
        sum(error == "Conflict" for _, _, error, _ in told),
        tuple(error for _, _, error, _ in told if error not in ("", "Conflict")),
        len(stand.entries), stand.problems, stand.alias, stand.attested, len(runs), max(end for *_, end in told),
    )  # fmt: skip


def _seat(model: str, index: int, fresh: bool) -> Seat:
    return Seat(model, f"seat-{index}") if fresh else Seat(model)


def _racer(
    signed_in: Mapping[str, str], uri: str, model: str, number: int, rounds: int, processes: int, fresh: bool,
    barrier: Barrier, results: Any,
) -> None:  # fmt: skip
    os.environ.update(signed_in)  # the server that forks may be older
    mlflow.set_tracking_uri(uri)
    mlflow.MlflowClient().get_registered_model(model)
    barrier.wait(PATIENCE_S)
    start = time.monotonic()
    for index in range(rounds):
        won, error = False, ""
        try:
            won = _decide(_seat(model, index, fresh), number, index, processes, fresh, barrier)
        except Conflict:
            error = "Conflict"
        except Exception as other:
            error = f"round {index}, process {number}: {type(other).__name__}: {other}"
        results.put((index, won, error, time.monotonic() - start))
        barrier.wait(PATIENCE_S)


def _decide(seat: Seat, number: int, index: int, processes: int, fresh: bool, barrier: Barrier) -> bool:
    stand = standing(seat)
    barrier.wait(PATIENCE_S)  # all have read the same, and nobody has written
    quiet = not stand.problems and stand.alias == stand.attested and len(stand.entries) == (0 if fresh else index)
    if not quiet:
        raise AssertionError(f"{len(stand.entries)} entries, alias {stand.alias}, problems {stand.problems}")
    mine = str(number + 1) if str(number + 1) != stand.attested else str(processes + 1)
    commit(seat, draft(seat, mine), len(stand.entries))
    return True


if __name__ == "__main__":
    print(race(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10))
