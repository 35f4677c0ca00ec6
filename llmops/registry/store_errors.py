"""What goes wrong at the store, as one line for the user."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException
from sqlalchemy.exc import DBAPIError

from llmops.addresses import without_password
from llmops.errors import LedgerError
from llmops.registry.identity import who
from llmops.tracking.run import start_step

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # MLflow's own: minutes
NEEDS = "EDIT permission on the experiment that the run is in, and READ permission on what the step reads"
DENIED, UNKNOWN = ("PERMISSION_DENIED",), ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")
DOWN = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED")
SHOWN = 200  # characters of the store's own words


@contextmanager
def start_registry_step(name: str, config: Any, what: str, needs: str = "") -> Iterator[Run]:
    """The run of a step as `start_step` starts it; also that the store refuses or loses the run itself is one line.

    Raises:
        LedgerError: as `store_errors`.
    """
    with store_errors(what, needs), start_step(name, config) as run, store_errors(what, needs):
        yield run


@contextmanager
def store_errors(what: str, needs: str = "") -> Iterator[None]:
    """Turn a refusal or failure of MLflow's store within the block into one line; other errors stay what they are.

    `what` goes on from "alice may not", `needs` is what to ask for. Requests give up sooner than by MLflow's defaults.

    Raises:
        LedgerError: the store refuses, fails, can't be reached or doesn't answer in time.
    """
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        yield
    except MlflowException as error:
        if not (line := _line(error, what, needs)):
            raise
        raise LedgerError(line) from error
    except (RequestException, DBAPIError) as error:
        raise LedgerError(_down(what, str(error))) from error


def _line(error: MlflowException, what: str, needs: str) -> str:
    if error.error_code in DENIED:
        ask = f"Ask for {needs}." if needs else "Ask its administrator."
        return f"{who()['user']} may not {what} on {_place()} (permission denied). {ask}"
    if error.error_code in UNKNOWN:
        return (
            f"{_place()} does not know {who()['user']} or the password, so can't {what}. "
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    is_down = error.error_code in DOWN or isinstance(error.__cause__, DBAPIError)
    return _down(what, error.message) if is_down else ""


def _down(what: str, says: str) -> str:
    short = without_password(" ".join((says.partition("Caused by ")[2] or says).split()))[:SHOWN]
    return f"can't {what}: {_place()} fails or can't be reached ({short}). Run it again then: what was begun is finished."


def _place() -> str:
    return without_password(mlflow.get_registry_uri())
