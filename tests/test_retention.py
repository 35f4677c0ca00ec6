"""What can go of an application and what can't: shown first, removed release by release, and taken up after a kill."""

import os
import shutil
import time
from pathlib import Path
from urllib.parse import urlparse

import mlflow
import pytest
from applications import decide, make_adapter, make_base, make_index, make_release, need_no_weights
from mlflow.exceptions import MlflowException

from llmops.errors import ArtifactError, ConfigError, LedgerError
from llmops.registry.inventory import search_versions, uri_of
from llmops.registry.retention.caches import find_unused, remove_cache
from llmops.registry.retention.plan import Held, make_plan
from llmops.registry.retention.store import find_orphans, take_inventory
from llmops.registry.seat import Seat
from llmops.serving import state
from llmops.serving.options import Options
from llmops.tracking.releases import read_release
from llmops.tracking.versions import Registered, is_whole
from pipelines import retention
from pipelines.retention import RetentionConfig

LEAVE, CARS = {"leave.md": "# Leave\n\nThirty days.\n"}, {"cars.md": "# Cars\n\nAsk Pebble.\n"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need_no_weights(monkeypatch)
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))


def run(apply: bool = True, keep: int = 1) -> list[str]:
    """The names of what was removed, or would be."""
    return [one.name for one in retention.main(RetentionConfig(keep=keep, apply="yes" if apply else "no"))]


def left() -> list[str]:
    return [uri_of(version) for version in search_versions()]


def files(version: Registered) -> Path:
    return Path(urlparse(str(mlflow.get_logged_model(version.model_id).artifact_location)).path)


# What can go


def held(model: str, version: int, *names: str, aliases: tuple[str, ...] = (), model_id: str = "") -> Held:
    return Held(model, version, model_id or f"{model}-{version}", aliases, names)


def removed(*registered: Held, keep: int = 1, pinned: dict[str, str] | None = None) -> list[str]:
    return [one.uri for one in make_plan("app", registered, keep, pinned or {}).removed]


def test_the_newest_of_each_kind_stay_and_the_others_go_releases_first() -> None:
    registered = [held(model, version) for model in ("app-index", "app", "app-adapter") for version in (1, 2, 3, 10)]
    assert removed(*registered, keep=2) == [f"models:/{m}/{v}" for m in ("app", "app-index", "app-adapter") for v in (1, 2)]
    assert removed(*registered, keep=4) == []


def test_an_alias_and_a_seat_held_once_keep_a_version() -> None:
    versions = [held("app", 1, aliases=("staging",)), held("app", 2), held("app", 3), held("app", 4)]
    assert removed(*versions, pinned={"models:/app/3": "was app@champion"}) == ["models:/app/2"]


def test_what_is_kept_keeps_what_it_is_made_of_through_any_number_of_parts() -> None:
    parts = [held("app-base", 1), held("app-adapter", 1, "models:/app-base/1"), held("app-index", 1), held("app-base", 2)]
    newer = [held(f"app-{part}", 9) for part in ("base", "adapter", "index")]
    release = held("app", 1, "models:/app-adapter/1", "wheel:x")
    assert removed(*parts, *newer, release) == ["models:/app-index/1", "models:/app-base/2"]


def test_another_application_keeps_what_it_uses_and_is_never_removed() -> None:
    index, newer = held("app-index", 1), held("app-index", 2)
    others = [held("other", version, "models:/app-index/1") for version in (1, 2)]
    assert removed(index, newer, *others) == [] and removed(index, newer, held("other", 1)) == [index.uri]


def test_a_copy_keeps_the_version_it_was_made_of_and_its_parts() -> None:
    release, newer = held("app", 1, "models:/app-index/1", model_id="m"), held("app", 2)
    index, newer_index = held("app-index", 1), held("app-index", 2)
    assert removed(release, newer, index, newer_index, held("app-prod", 1, model_id="m")) == []
    assert removed(release, newer, index, newer_index) == [release.uri, index.uri]


def test_of_two_versions_of_one_model_the_files_go_with_the_last() -> None:
    plan = make_plan("app", [held("app", n, model_id="m") for n in (1, 2)] + [held("app", 3), held("app", 4)], 1, {})
    assert [one.uri for one in plan.removed] == ["models:/app/1", "models:/app/2", "models:/app/3"]
    assert plan.last == {"models:/app/2", "models:/app/3"}


# In the store


def test_what_would_go_is_shown_first_and_nothing_goes_unasked(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = make_index(tmp_path / "a", LEAVE), make_index(tmp_path / "b", CARS)
    make_release(old)
    decide(make_release(new))
    before = left()
    assert run(apply=False) == ["models:/handbook/1", old.uri] and left() == before
    said = capsys.readouterr().out
    assert "2 can go" in said and "apply=yes" in said and " 0.0 MB" not in said.splitlines()[0]
    assert f"{new.uri} " in said and "was handbook@champion" in said
    assert run() == ["models:/handbook/1", old.uri] and left() == ["models:/handbook/2", new.uri]
    assert run() == []


def test_files_go_and_those_of_what_stays_stay_whole(store: str, tmp_path: Path) -> None:
    old, new = make_adapter(tmp_path, "old", make_base(tmp_path, "own").uri), make_adapter(tmp_path, "new")
    make_base(tmp_path, "newer")
    gone, stays = make_release(adapter=old), make_release(adapter=new)
    places = [files(gone), files(old)]
    assert all(place.is_dir() for place in places)
    assert run() == [gone.uri, old.uri, "models:/handbook-base/1"]
    assert not any(place.exists() for place in places)
    assert is_whole(stays) and is_whole(new) and read_release(stays.uri).generator.adapter == new.uri
    with pytest.raises(MlflowException, match="not found"):
        mlflow.get_logged_model(gone.model_id)


def test_all_that_a_rollback_can_go_back_to_stays_in_any_seat(store: str, tmp_path: Path) -> None:
    index = make_index(tmp_path / "a", LEAVE)
    releases = [make_release(index, tokens=2), *(make_release(tokens=tokens) for tokens in (3, 4, 5, 6))]
    make_index(tmp_path / "b", CARS)
    decide(releases[0])
    decide(releases[1], "keep")
    decide(releases[2], seat=Seat("handbook", "staging"))
    decide(releases[3])
    mlflow.MlflowClient().delete_registered_model_alias("handbook", "staging")
    assert run() == ["models:/handbook/2"] and index.uri in left()


def test_an_approval_a_deployment_and_a_copy_keep_a_release(store: str, tmp_path: Path) -> None:
    for tokens in (2, 3, 4, 5, 6):
        make_release(tokens=tokens)
    client = mlflow.MlflowClient()
    client.set_model_version_tag("handbook", "1", "llmops.approved_by.alice", "d" * 12)
    client.copy_model_version("models:/handbook/2", "handbook-prod")
    state.write(state.Deployment("d", "models:/handbook@x", Options(), 9))
    state.write_json(state.deployment_folder("d") / state.PLAN, {"current": "models:/handbook/3"})
    assert run() == ["models:/handbook/4"]
    client.delete_model_version("handbook", "2")
    assert run() == [] and read_release("models:/handbook-prod/1").app == "handbook"


def test_a_copy_whose_original_was_deleted_by_hand_keeps_the_parts(store: str, tmp_path: Path) -> None:
    index = make_index(tmp_path / "a", LEAVE)
    make_index(tmp_path / "b", CARS)
    release, client = make_release(index), mlflow.MlflowClient()
    client.copy_model_version(release.uri, "handbook-prod")
    client.delete_model_version("handbook", release.version)
    assert run() == [] and is_whole(index)


def test_a_release_that_cannot_be_read_stops_it_and_one_without_files_does_not(store: str, tmp_path: Path) -> None:
    damaged, _ = make_release(tokens=2), make_release(tokens=3)
    model = files(damaged) / "MLmodel"
    model.write_text(model.read_text().replace("generator:", "machine:"))
    with pytest.raises(ArtifactError, match="Nothing is removed"):
        run()
    shutil.rmtree(files(damaged))
    assert run() == [damaged.uri]


def test_a_broken_ledger_stops_it(store: str) -> None:
    for tokens in (2, 3):
        decide(make_release(tokens=tokens))
    make_release(tokens=4)
    mlflow.MlflowClient().delete_registered_model("handbook-ledger")
    with pytest.raises(LedgerError, match="isn't whole"):
        run()
    assert len(left()) == 3


def test_what_becomes_a_champion_meanwhile_stays_with_its_parts(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make_index(tmp_path / "a", LEAVE)
    make_index(tmp_path / "b", CARS)
    release, _ = make_release(index), make_release(tokens=3)

    def promoted_meanwhile(*given: object) -> object:
        planned = make_plan(*given)  # type: ignore[arg-type]
        mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", release.version)
        return planned

    monkeypatch.setattr(retention, "make_plan", promoted_meanwhile)
    with pytest.raises(ArtifactError, match="became champion meanwhile"):
        run()
    assert is_whole(release) and is_whole(index) and index.uri in left()


@pytest.mark.parametrize("killed_at", ["delete_model_version", "delete_logged_model"])
def test_killed_in_between_no_release_lacks_a_part_and_the_next_one_goes_on(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    index = make_index(tmp_path / "a", LEAVE)
    make_index(tmp_path / "b", CARS)
    release, _ = make_release(index), make_release(tokens=3)
    place, whole = files(release), getattr(mlflow.MlflowClient, killed_at)

    def killed(*given: object) -> None:
        whole(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, killed_at, killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert release.uri not in left() and is_whole(index)
    assert place.exists() == (killed_at == "delete_model_version")
    again = run()
    assert again == ([f"models:/{release.model_id}", index.uri] if killed_at == "delete_model_version" else [index.uri])
    assert not place.exists() and not find_orphans("handbook", take_inventory())


@pytest.mark.parametrize("given", [{"keep": 0}, {"apply": "please"}, {"unused_days": -1}])
def test_settings_that_make_no_sense_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        RetentionConfig(**given)  # type: ignore[arg-type]


# Caches


def test_caches_go_by_when_they_were_last_used(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "training" / "one" / "checkpoints").mkdir(parents=True)
    (tmp_path / "wheels" / "model").mkdir(parents=True)
    old, fresh = tmp_path / "answers" / "old.jsonl", tmp_path / "answers" / "fresh.jsonl"
    inner = tmp_path / "training" / "one" / "checkpoints" / "1.bin"
    for file in (old, fresh, inner):
        file.write_bytes(b"x" * 1000)
    then = time.time() - 40 * 86400
    for path in (old, inner, inner.parent, inner.parent.parent, tmp_path / "wheels" / "model"):
        os.utime(path, (then, then))
    found = find_unused(tmp_path, 30)
    assert [cache.path for cache in found] == [old, inner.parent.parent]
    assert found[0].size == 1000 and found[0].unused_days == pytest.approx(40, abs=0.1)
    os.utime(inner, (time.time(), time.time()))
    assert [cache.path for cache in find_unused(tmp_path, 30)] == [old]
    for cache in found:
        remove_cache(cache)
    assert not old.exists() and fresh.exists() and not inner.exists() and (tmp_path / "wheels" / "model").exists()


def test_a_workplace_in_which_somebody_works_stays(tmp_path: Path) -> None:
    from llmops.files import open_workplace

    with open_workplace(tmp_path / "indexing" / "one"):
        (cache,) = find_unused(tmp_path, 0)
        remove_cache(cache)
        assert cache.path.is_dir()
    remove_cache(cache)
    assert not cache.path.exists()


def test_the_step_removes_caches_too(store: str, tmp_path: Path) -> None:
    (tmp_path / "cache" / "answers").mkdir(parents=True)
    file = tmp_path / "cache" / "answers" / "a.jsonl"
    file.write_text("x")
    os.utime(file, (1e9, 1e9))
    assert run(apply=False) == [str(file)] and file.exists()
    assert run() == [str(file)] and not file.exists()
