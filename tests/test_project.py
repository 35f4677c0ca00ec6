"""What must agree across files: MLproject and configs, pins and metadata, entry points, import cost."""

import dataclasses
import importlib
import re
import subprocess
import sys
from importlib.metadata import entry_points, requires
from typing import Any

import pytest
import yaml
from conftest import ROOT

from llmops.tracking.sources import source_digest

PROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))
ENTRY_POINTS: dict[str, Any] = PROJECT["entry_points"]


def config_of(name: str) -> type[Any]:
    module = importlib.import_module(f"pipelines.{name}")
    config: type[Any] = getattr(module, f"{name.capitalize()}Config")
    return config


def test_every_pipeline_is_an_entry_point() -> None:
    files = {path.stem for path in (ROOT / "pipelines").glob("*.py")} - {"__init__"}
    assert set(ENTRY_POINTS) == files


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_parameters_flags_and_fields_are_the_same_with_the_same_defaults(name: str) -> None:
    fields = {field.name: str(field.default) for field in dataclasses.fields(config_of(name))}
    declared = {key: str(value["default"]) for key, value in ENTRY_POINTS[name]["parameters"].items()}
    flags = dict(re.findall(r"--(\w+) \{(\w+)\}", ENTRY_POINTS[name]["command"]))
    assert declared == fields
    assert flags == {field: field for field in fields}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_no_placeholder_stands_in_quotes_or_touches_another_word(name: str) -> None:
    command = ENTRY_POINTS[name]["command"]
    assert not set(command) & set("'\"`$;|&<>\\")
    assert all(re.fullmatch(r"\{\w+\}|[^{}]+", word) for word in command.split())
    assert command.startswith(f"python -m pipelines.{name} ")


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_parameter_says_what_it_is(name: str) -> None:
    assert all(field.metadata.get("help") for field in dataclasses.fields(config_of(name)))


def test_every_dependency_is_pinned_in_the_one_list() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+?)(?:;.*)?$", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    extra_pins = re.findall(r"^([\w.-]+)==\S+$", (ROOT / "requirements-extras.txt").read_text(), re.MULTILINE)
    lines = requires("mlflow-llmops") or []
    assert set(pins) == {re.split(r"[<>=]", line)[0] for line in lines if "extra ==" not in line}
    assert set(extra_pins) == {re.split(r"[<>=]", line)[0] for line in lines if "extra ==" in line}


def test_conda_reads_the_one_list() -> None:
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    assert conda["dependencies"] == ["python=3.11", "pip", {"pip": ["-r requirements.txt", "-e ."]}]


def test_the_deployment_target_is_registered_and_explains_itself() -> None:
    (found,) = [point for point in entry_points(group="mlflow.deployments") if point.name == "llmops"]
    assert "mlflow deployments create  -t llmops" in found.load().target_help()


def test_nothing_heavy_is_imported_for_help_or_for_a_target() -> None:
    heavy = {"torch", "transformers", "peft", "sentence_transformers", "faiss"}
    code = f"import mlflow_plugins.deployments, sys; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_step_is_identified_by_the_sources_it_runs_and_no_others() -> None:
    assert source_digest("pipelines.index") != source_digest("pipelines.finetune")
    assert source_digest("pipelines.index") == source_digest("pipelines.index")


def test_sources_reached_inside_functions_count_and_other_packages_beside_do_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmops.tracking import sources

    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text("")
    (tmp_path / "room" / "door.py").write_text("import neighbour\ndef open():\n    from room import key\n    return key\n")
    (tmp_path / "room" / "key.py").write_text("SHAPE = 1\n")
    (tmp_path / "room" / "rug.py").write_text("COLOUR = 1\n")
    (tmp_path / "neighbour.py").write_text("NAME = 1\n")
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(sources, "PACKAGES", ("room",))

    def digest() -> str:
        source_digest.cache_clear()
        return source_digest("room.door")

    before = digest()
    (tmp_path / "room" / "rug.py").write_text("COLOUR = 2\n")
    (tmp_path / "neighbour.py").write_text("NAME = 2\n")
    assert digest() == before
    (tmp_path / "room" / "key.py").write_text("SHAPE = 2\n")
    assert digest() != before
    source_digest.cache_clear()
