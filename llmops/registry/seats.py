"""The seats of a model that have a ledger, whether or not anything holds them now."""

import mlflow
from mlflow.exceptions import MlflowException

from llmops.registry.inventory import pages
from llmops.registry.ledger.chain import ABSENT
from llmops.registry.seat import CHAMPION, Seat


def find_seats(model: str) -> list[Seat]:
    """The seats of a registered model that anything was decided about: by their ledgers, and by the traces these left."""
    ledger, start = Seat(model).ledger, Seat(model).tag("").removesuffix(f"{CHAMPION}.")
    names = [found.name for found in pages(mlflow.MlflowClient().search_registered_models, f"name LIKE '{ledger}%'")]
    aliases = {CHAMPION} if ledger in names else set[str]()
    aliases |= {name.removeprefix(f"{ledger}-") for name in names if name.startswith(f"{ledger}-")}
    aliases |= {tag.removeprefix(start).partition(".")[0] for tag in _tags(model) if tag.startswith(start)}
    return [Seat(model, alias) for alias in sorted(aliases)]


def _tags(model: str) -> dict[str, str]:
    try:
        return dict(mlflow.MlflowClient().get_registered_model(model).tags)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return {}
