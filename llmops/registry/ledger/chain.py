"""The chain: the params of one run, which MLflow never overwrites, so that who writes entry N first has written it."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

from llmops.errors import Conflict, LedgerError
from llmops.registry.ledger.entry import Entry
from llmops.registry.seat import Seat

ENTRY, APPLIED, REPAIR = "entry.", "applied.", "repair."
ROOT = "llmops.ledger.run"
ABSENT, TAKEN = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True)
class Chain:
    """What the run holds, by the number of the entry; `run` is "" where there is no ledger yet, or it was lost."""

    run: str = ""
    texts: tuple[tuple[int, str], ...] = ()
    applied: frozenset[int] = frozenset()
    repairs: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()


def read_chain(seat: Seat) -> Chain:
    """The chain of a seat as it is in the store; whether it is whole is for the anchors to say."""
    run_id = _find_root(seat)
    if run_id is None:
        return Chain()
    try:
        run = MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return Chain(flaws=(f"the run {run_id}, which holds the ledger of {seat.name}, is gone.",))
    flaws: tuple[str, ...] = ()
    if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        restore = f"mlflow runs restore --run-id {run_id}"
        flaws = (f"the run {run_id}, which holds the ledger of {seat.name}, was deleted. Restore it: {restore}",)
    params = sorted(run.data.params.items())
    return Chain(
        run_id, tuple(_numbered(params, ENTRY)), frozenset(number for number, _ in _numbered(params, APPLIED)),
        tuple(text for key, text in params if key.startswith(REPAIR)), flaws,
    )  # fmt: skip


def _numbered(params: list[tuple[str, str]], prefix: str) -> list[tuple[int, str]]:
    found = [(key.removeprefix(prefix), value) for key, value in params if key.startswith(prefix)]
    return [(int(number), value) for number, value in found if number.isdecimal()]


def make_chain(seat: Seat) -> str:
    """The run that holds the chain of a seat, made if there is none: of those who try at once all get the same.

    Raises:
        LedgerError: the place for it is taken, or deleted.
    """
    if found := _find_root(seat):
        return found
    client = MlflowClient()
    run_id = client.create_run(_experiment(seat), run_name=seat.name).info.run_id
    client.update_run(run_id, status="FINISHED")
    note = f"The ledger of {seat.name} is in the run that the tag names. Deleted, nobody can promote or roll back."
    try:
        client.create_registered_model(seat.ledger, tags={ROOT: run_id}, description=note)
    except MlflowException as error:
        if error.error_code != TAKEN:
            raise
        if _find_root(seat) != run_id:  # else it was made, the answer lost, and asked for again
            with suppress(MlflowException):  # it may be left over, and is empty
                client.delete_run(run_id)
    return str(_find_root(seat))


def _find_root(seat: Seat) -> str | None:
    try:
        model = MlflowClient().get_registered_model(seat.ledger)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return None
    if ROOT not in model.tags:
        raise LedgerError(
            f"the registered model {seat.ledger!r} has no tag {ROOT}, so it is not the ledger of {seat.name}. Rename it."
        )
    return str(model.tags[ROOT])


def _experiment(seat: Seat) -> str:
    client = MlflowClient()
    experiment = client.get_experiment_by_name(seat.experiment)
    if experiment is None:
        try:
            return client.create_experiment(seat.experiment)
        except MlflowException as error:
            if error.error_code != TAKEN:
                raise
        return _experiment(seat)
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        restore = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
        raise LedgerError(f"the experiment {seat.experiment!r}, for the ledger, was deleted. Restore it: {restore}")
    return str(experiment.experiment_id)


def append(run_id: str, entry: Entry) -> None:
    """Write an entry, unless there is one of this number.

    Raises:
        Conflict: there is another.
    """
    client, key, text = MlflowClient(), f"{ENTRY}{entry.number:06d}", entry.to_json()
    try:
        client.log_param(run_id, key, text, synchronous=True)
    except MlflowException:
        found = client.get_run(run_id).data.params.get(key)
        if found is None:
            raise
        if found != text:  # else it was written, and the answer lost
            raise Conflict(conflict(Entry.from_json(found))) from None


def conflict(theirs: Entry) -> str:
    """The line for who came second."""
    by = ", ".join(theirs.who.values())
    return (
        f"entry {theirs.number} of the ledger of {theirs.seat} came meanwhile: {theirs.decision}, {theirs.challenger}, "
        f"by {by}, {theirs.when}. Run it again: it decides on what holds now."
    )


def mark_applied(run_id: str, entry: Entry) -> None:
    """Say that the alias was where an entry says."""
    MlflowClient().log_param(run_id, f"{APPLIED}{entry.number:06d}", str(entry.after), synchronous=True)


def note_repair(run_id: str, line: str) -> None:
    """Keep in the chain run that an alias is being put back."""
    MlflowClient().log_param(run_id, f"{REPAIR}{time.time_ns()}", line, synchronous=True)


def put(write: Callable[..., Any], *values: Any) -> None:
    """Set a tag or alias; of two processes that insert its row at once MLflow refuses one, which then finds it there."""
    try:
        write(*values)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        write(*values)
