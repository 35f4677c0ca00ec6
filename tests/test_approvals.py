"""Approvals: who gave them, for what, and whether it was they."""

import subprocess
from pathlib import Path

import mlflow
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)  # fmt: skip
from test_release import make

from llmops.errors import ArtifactError, ConfigError
from llmops.registry.decision.approvals import APPROVED_TAG, Approved, approvals, sign
from llmops.registry.decision.keys import PASSPHRASE_ENV, fingerprint
from llmops.registry.decision.policy import Approvals
from llmops.tracking.releases import log_release
from llmops.tracking.versions import get_version
from pipelines import approve
from pipelines.approve import ApproveConfig

DIGEST, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4


def key_pair(folder: Path, name: str = "key", locked: bytes | None = None) -> tuple[Path, str]:
    """The file of a private key, and the line of its public one."""
    key, file = Ed25519PrivateKey.generate(), folder / name
    lock: KeySerializationEncryption = BestAvailableEncryption(locked) if locked else NoEncryption()
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8 if locked else PrivateFormat.OpenSSH, lock))
    return file, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def asked(*users: str, **signed: str) -> Approvals:
    return Approvals(count=1, users=list(users), signed=signed)


def objection(policy: Approvals, value: str, digest: str = DIGEST, model: str = "handbook") -> str:
    """Why the tag of alice is no approval, or nothing."""
    return approvals(policy, {f"{APPROVED_TAG}alice": value}, model, digest).missing.get("alice", "")


# Attribution


def test_an_approval_is_a_tag_that_holds_the_digest_or_its_beginning() -> None:
    for value in (DIGEST, DIGEST[:12], f" {DIGEST}\n", DIGEST.upper()):
        assert objection(asked("alice"), value) == ""
    assert approvals(asked("alice", "bob"), {}, "handbook", DIGEST) == Approved(
        {},
        {"alice": "has not approved (tag llmops.approved_by.alice)", "bob": "has not approved (tag llmops.approved_by.bob)"},
    )


@pytest.mark.parametrize("value", [DIGEST[:11], OTHER, "yes", f"{DIGEST}0", "  ", f"{OTHER} {DIGEST}"])
def test_anything_else_is_none(value: str) -> None:
    assert objection(asked("alice"), value)


def test_an_approval_is_invalid_once_anything_changes() -> None:
    assert objection(asked("alice"), DIGEST) == ""
    assert objection(asked("alice"), DIGEST, digest=OTHER) == "approved '0123456789ab', and the release is fedcba987654"


def test_only_those_named_by_the_policy_count() -> None:
    found = approvals(asked("alice"), {f"{APPROVED_TAG}mallory": DIGEST}, "handbook", DIGEST)
    assert not found.found and list(found.missing) == ["alice"]


# Authentication


def test_a_signed_approval_counts_and_shows_the_key(tmp_path: Path) -> None:
    file, public = key_pair(tmp_path)
    tags = {f"{APPROVED_TAG}alice": sign(file, "handbook", DIGEST)}
    assert approvals(asked(alice=public), tags, "handbook", DIGEST).found == {"alice": fingerprint(public)}
    (tmp_path / "key.pub").write_text(public)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")], capture_output=True, text=True)
    assert fingerprint(public) in shown.stdout


def test_a_key_made_by_ssh_keygen_signs(tmp_path: Path) -> None:
    file = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alice@laptop", "-f", str(file)], check=True)
    public = " ".join((tmp_path / "id_ed25519.pub").read_text().split()[:2])
    assert objection(asked(alice=public), sign(file, "handbook", DIGEST)) == ""


def test_where_there_is_a_key_a_tag_without_its_signature_is_none(tmp_path: Path) -> None:
    (alice, public), (mallory, _) = key_pair(tmp_path), key_pair(tmp_path, "mallory")
    signed = sign(alice, "handbook", DIGEST)
    assert objection(asked(alice=public), DIGEST) == "has not signed, and the policy has a key"
    assert "with another key" in objection(asked(alice=public), sign(mallory, "handbook", DIGEST))
    assert "with another key" in objection(asked(alice=public), f"{DIGEST} not-base-64")
    assert "with another key" in objection(asked(alice=public), signed[:-8])
    assert objection(asked(alice=public), signed) == ""


def test_a_signature_is_of_one_release_of_one_model(tmp_path: Path) -> None:
    file, public = key_pair(tmp_path)
    signed = sign(file, "handbook", DIGEST)
    assert "something else" in objection(asked(alice=public), signed, model="handbook-prod")
    moved = f"{OTHER} {signed.split()[1]}"
    assert "something else" in objection(asked(alice=public), moved, digest=OTHER)


def test_a_signature_is_of_the_whole_digest(tmp_path: Path) -> None:
    file, public = key_pair(tmp_path)
    short = sign(file, "handbook", DIGEST[:12])
    assert "something else" in objection(asked(alice=public), short)


def test_a_locked_key_is_opened_by_the_passphrase_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, public = key_pair(tmp_path, locked=b"open sesame")
    with pytest.raises(ConfigError, match=f"is locked. Put its passphrase in the environment variable {PASSPHRASE_ENV}"):
        sign(file, "handbook", DIGEST)
    monkeypatch.setenv(PASSPHRASE_ENV, "wrong")
    with pytest.raises(ConfigError, match="can't be read"):
        sign(file, "handbook", DIGEST)
    monkeypatch.setenv(PASSPHRASE_ENV, "open sesame")
    assert objection(asked(alice=public), sign(file, "handbook", DIGEST)) == ""


def test_what_is_no_ed25519_key_is_refused_in_one_line(tmp_path: Path) -> None:
    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    for content, hint in ((b"nonsense", "can't be read"), (curve, "is of another kind")):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(ConfigError, match=hint) as caught:
            sign(tmp_path / "key", "handbook", DIGEST)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="can't be read"):
        sign(tmp_path / "missing", "handbook", DIGEST)


# The step


@pytest.fixture
def release(store: str, tiny_lm: Path) -> str:
    with mlflow.start_run():
        return log_release(make(tiny_lm)).uri


def tags_of(uri: str) -> dict[str, str]:
    version = get_version(uri)
    return dict(mlflow.MlflowClient().get_model_version(version.name, version.version).tags)


def test_the_step_approves_a_release_in_a_run_of_its_own(
    release: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, public = key_pair(tmp_path)
    approve.main(ApproveConfig(release=release, user="alice", key=str(file)))
    approve.main(ApproveConfig(release=release, user="bob"))
    digest = get_version(release).digest
    found = approvals(asked("bob", alice=public), tags_of(release), "handbook", digest).found
    assert found == {"alice": fingerprint(public), "bob": ""}
    assert "alice approves models:/handbook/1, signed:" in (said := capsys.readouterr().out) and "base: " in said
    runs = mlflow.search_runs(filter_string="tags.`llmops.step` = 'approve'", output_format="list")
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert not [run for run in runs if "PRIVATE" in str(run.to_dictionary())]


def test_a_release_whose_digest_was_edited_is_not_approved(release: str) -> None:
    mlflow.MlflowClient().set_model_version_tag("handbook", "1", "llmops.digest", OTHER)
    with pytest.raises(ArtifactError, match="It was changed"):
        approve.main(ApproveConfig(release=release, user="alice"))
    assert f"{APPROVED_TAG}alice" not in tags_of(release)


def test_nobody_approves_nothing(store: str) -> None:
    with pytest.raises(ConfigError, match="Name who approves"):
        ApproveConfig(release="models:/handbook/1")
    with pytest.raises(ArtifactError, match="names no registered version"):
        approve.main(ApproveConfig(user="alice"))
