"""What a deployment is to serve by the registry, and whether the ledger stands behind it. Reads only."""

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llmops.errors import ArtifactError, DeploymentError
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.succession import attested, attested_digest
from llmops.registry.seat import CHAMPION, Seat
from llmops.registry.store_errors import store_errors
from llmops.tracking.versions import Registered, get_version

CHALLENGER = "challenger"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


class Refused(DeploymentError):
    """The ledger doesn't stand behind what an alias names."""


def split_uri(model_uri: str) -> tuple[str, str, str]:
    """Model, alias and version; one of the latter is empty.

    Raises:
        ArtifactError: the URI names neither.
    """
    rest = model_uri.removeprefix("models:/")
    model, at, alias = rest.partition("@")
    if not at:
        model, _, version = rest.rpartition("/")
    if rest == model_uri or not model or not (alias or not at):
        raise ArtifactError(f"{model_uri!r}: expected models:/<name>@<alias> or models:/<name>/<version>.")
    return (model, alias, "") if at else (model, "", version)


def resolve(model_uri: str) -> Registered:
    """The version that a URI means now.

    Raises:
        ArtifactError: there is no such version.
        LedgerError: the store refuses, or can't be reached.
    """
    with store_errors("ask what is to be served"):
        return get_version(model_uri)


def read_aliases(model: str) -> dict[str, str]:
    """Versions by alias.

    Raises:
        ArtifactError: there is no such model.
        LedgerError: the store refuses, or can't be reached.
    """
    with store_errors(f"read the aliases of {model!r}", f"READ permission on the registered model {model}"):
        try:
            found = MlflowClient().get_registered_model(model).aliases
        except MlflowException as error:
            if error.error_code != _ABSENT:
                raise
            raise ArtifactError(f"{model!r} is not in the registry. Register a release, or deploy another.") from error
    return {alias: str(version) for alias, version in found.items()}


def seat_of(model_uri: str, asked: str) -> Seat:
    """The seat whose ledger has to stand behind a deployment; `asked` is what its URI was found by, where it is pinned."""
    model, alias, _ = split_uri(asked or model_uri)
    return Seat(model, alias or CHAMPION)


def find_target(model_uri: str, aliases: dict[str, str]) -> str:
    """The release that a URI means now.

    Raises:
        ArtifactError: the alias is not set.
    """
    model, alias, version = split_uri(model_uri)
    if alias and alias not in aliases:
        raise ArtifactError(f"{model}@{alias} is not set. Promote a release, or deploy another.")
    return f"models:/{model}/{aliases[alias] if alias else version}"


def check_attested(seat: Seat, uri: str, follows: bool) -> None:
    """Check that by its ledger a release holds the seat, or for one that is pinned, that it ever did; with this digest.

    Raises:
        Refused: it doesn't, it was changed since, or the ledger is broken.
        LedgerError: the store can't be reached.
    """
    stand, version = standing(seat), split_uri(uri)[2]
    if stand.flaws:
        raise Refused(f"the ledger of {seat.name} is broken: {stand.flaws[0]}")
    if version != stand.attested and (follows or version not in attested(stand.entries)):
        says = f"by it {seat.name} is version {stand.attested}" if stand.attested else "it has no entry"
        raise Refused(
            f"{uri} is not attested by the ledger of {seat.name}: {says}. Promote it, or deploy with allow_unattested=true."
        )
    said, found = attested_digest(stand.entries, version), resolve(uri).digest
    if said not in (None, found):
        raise Refused(
            f"{uri} has digest {found[:12]}, by the ledger of {seat.name} it was {str(said)[:12]}. It was changed since: "
            "promote another, or deploy with allow_unattested=true."
        )
