"""A benchmark as sections, run one after the other; what was measured is on disk after each."""

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import data, report
from benchmarks.machine import machine_facts
from llmops import step
from llmops.errors import ConfigError


@dataclass(frozen=True)
class Section:
    """Part of a benchmark: what it does, and the data sets and packages that it needs."""

    measure: Callable[[Any], dict[str, Any]]
    files: tuple[str, ...] = ()
    check: Callable[[], None] = lambda: None


def run(sections: Mapping[str, Section], config: Any) -> None:
    """Run the sections that `config.only` names, each in processes of its own; write all results after each, whole.

    Raises:
        LLMOpsError: a section is unknown, or a data set or package is missing; nothing was measured then.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # models are on disk; a look at the hub would cost time
    names = _check(sections, config)
    results: dict[str, Any] = {"machine": machine_facts(), "seconds": {}}
    for name in names:
        print(f"{name} ...", flush=True)
        started = time.perf_counter()
        found = sections[name].measure(config)
        results["seconds"][name] = round(time.perf_counter() - started, 1)
        results |= found
        report.write(Path(config.json), results)
        print(report.table(found), f"  took {results['seconds'][name]:,.0f} s", sep="\n", flush=True)
    print(f"results -> {config.json}")


def chosen(setting: str, known: Collection[str], what: str) -> list[str]:
    """The names in a setting, between commas.

    Raises:
        ConfigError: one of them isn't `known`; `what` says what they name.
    """
    names = [name.strip() for name in setting.split(",") if name.strip()]
    if unknown := set(names) - set(known):
        raise ConfigError(f"unknown {what} {', '.join(sorted(unknown))}. Known: {', '.join(known)}.")
    return names


def _check(sections: Mapping[str, Section], config: Any) -> list[str]:
    names = chosen(config.only, sections, "section")
    step.existing_folder(str(Path(config.json).parent), "the folder of --json")
    if files := [file for name in names for file in sections[name].files]:
        data.check(step.existing_folder(config.data, "the benchmark's data folder"), files)
    for name in names:
        sections[name].check()
    return names
