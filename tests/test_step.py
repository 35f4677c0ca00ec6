"""A config dataclass as a command line, and how a step ends."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmops import step
from llmops.errors import ConfigError, LLMOpsError


@dataclass(frozen=True)
class Config:
    """Do something with documents."""

    documents: str = step.setting("folder of documents")
    app: str = step.setting("application", "handbook")
    shots: int = step.setting("examples shown", 3)
    rate: float = step.setting("learning rate, at most 100%", 0.5)
    index: str = step.setting("empty means the newest", "")


def test_defaults_are_those_of_the_dataclass() -> None:
    assert step.parse(Config, ["--documents", "docs"]) == Config("docs", "handbook", 3, 0.5, "")


def test_each_flag_has_the_type_of_its_field() -> None:
    argv = ["--documents", "docs", "--app", "7", "--shots", "5", "--rate", "1e-3", "--index", "models:/x/1"]
    assert step.parse(Config, argv) == Config("docs", "7", 5, 0.001, "models:/x/1")


def test_an_empty_value_is_a_value() -> None:
    assert step.parse(Config, ["--documents", "docs", "--app", ""]).app == ""


BAD_ARGUMENTS = {
    "unknown flag": (["--documents", "docs", "--shot", "3"], "unrecognized arguments: --shot 3"),
    "misspelt flag": (["--documents", "docs", "--shotts", "3"], "unrecognized arguments"),
    "left out": ([], "the following arguments are required: --documents"),
    "no number": (["--documents", "docs", "--shots", "many"], "argument --shots: invalid int value: 'many'"),
    "no whole number": (["--documents", "docs", "--shots", "2.5"], "argument --shots: invalid int value"),
    "stray word": (["--documents", "docs", "more"], "unrecognized arguments: more"),
}


@pytest.mark.parametrize("argv, hint", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_wrong_arguments_are_refused(capsys: pytest.CaptureFixture[str], argv: list[str], hint: str) -> None:
    with pytest.raises(SystemExit) as caught:
        step.parse(Config, argv)
    assert caught.value.code == 2 and hint in capsys.readouterr().err


def test_help_shows_what_each_flag_means_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        step.parse(Config, ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    assert "Do something with documents." in shown
    assert "folder of documents" in shown and "examples shown (default: 3)" in shown and "at most 100%" in shown
    assert "empty means the newest (default" not in shown


@pytest.fixture
def argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["step", "--documents", "docs"])


def test_a_step_runs_with_the_arguments_of_its_process(argv: None) -> None:
    seen: list[Config] = []
    step.run(seen.append, Config)
    assert seen == [Config("docs")]


def test_a_users_mistake_is_one_line_and_exit_code_2(argv: None, capsys: pytest.CaptureFixture[str]) -> None:
    def main(config: Config) -> None:
        raise ConfigError(f"{config.documents!r} makes no sense. Give another.")

    with pytest.raises(SystemExit) as caught:
        step.run(main, Config)
    captured = capsys.readouterr()
    assert (caught.value.code, captured.out, captured.err) == (2, "", "error: 'docs' makes no sense. Give another.\n")


def test_a_mistake_in_the_config_itself_is_one_line_too(argv: None, capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Strict(Config):
        """Refuse any folder."""

        def __post_init__(self) -> None:
            raise ConfigError("no folder is good enough.")

    with pytest.raises(SystemExit) as caught:
        step.run(print, Strict)
    assert (caught.value.code, capsys.readouterr().err) == (2, "error: no folder is good enough.\n")


def test_a_bug_keeps_its_traceback(argv: None) -> None:
    def main(config: Config) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug") as caught:
        step.run(main, Config)
    assert caught.traceback[-1].name == "main"


def test_a_path_that_exists_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("text")
    monkeypatch.chdir(tmp_path)
    assert step.existing_folder("docs", "documents folder") == (tmp_path / "docs").resolve()
    assert step.existing_file("docs/a.md", "questions file") == (tmp_path / "docs" / "a.md").resolve()


@pytest.mark.parametrize("find", [step.existing_file, step.existing_folder])
def test_a_path_that_does_not_exist_is_named_with_where_it_was_looked_for(tmp_path: Path, find: Any) -> None:
    with pytest.raises(LLMOpsError, match="what I gave '.*missing' does not exist") as caught:
        find(str(tmp_path / "missing"), "what I gave")
    assert str((tmp_path / "missing").resolve()) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_is_no_file_and_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    with pytest.raises(LLMOpsError, match="is a folder"):
        step.existing_file(str(tmp_path), "questions file")
    with pytest.raises(LLMOpsError, match="is a file"):
        step.existing_folder(str(tmp_path / "a.md"), "documents folder")


@pytest.mark.parametrize("app", ["handbook", "hr-2.0_beta", "7"])
def test_an_application_is_named_in_letters_digits_and_dashes(app: str) -> None:
    assert step.check_app(app) == app


@pytest.mark.parametrize("app", ["", "my app", "-x", "a/b", "a" * 101, "café", "handbook\n"])
def test_an_application_of_another_name_is_refused(app: str) -> None:
    with pytest.raises(LLMOpsError, match="expected letters, digits"):
        step.check_app(app)
