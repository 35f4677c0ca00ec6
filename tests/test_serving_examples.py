"""The examples for systemd, Docker, Kubernetes and KServe: valid, of one mind, and with options that exist."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import ROOT

from llmops.serving.keys.__main__ import main as create_keys
from llmops.serving.keys.check import Keys, check_bind
from llmops.serving.keys.file import FILE
from llmops.serving.options import Options, read_options

SERVING = ROOT / "examples" / "serving"
UNIT = (SERVING / "llmops@.service").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
PLAIN = list(yaml.safe_load_all((SERVING / "kubernetes.yaml").read_text(encoding="utf-8")))
KSERVE: dict[str, Any] = yaml.safe_load((SERVING / "kserve.yaml").read_text(encoding="utf-8"))
RULES = {  # hadolint's, as far as they bear on this file: what breaks each
    "DL3006, DL3007: the base has a tag, not latest": r"^FROM (?!\S+:(?!latest)\S)",
    "DL3002: the last user is not root": r"^USER (?:root|0)\b(?![\s\S]*^USER )",
    "DL3009: apt leaves no lists": r"^RUN (?=(?:.*\\\n)*.*apt-get install)(?!(?:.*\\\n)*.*rm -rf /var/lib/apt/lists)",
    "DL3015: apt installs nothing else": r"apt-get install (?!-y --no-install-recommends)",
    "DL3042: pip keeps no cache": r"\A(?![\s\S]*PIP_NO_CACHE_DIR=1)",
    "DL3003: no cd": r"^RUN (?:.*\\\n)*.*\bcd ",
    "DL3004: no sudo": r"\bsudo\b",
    "DL3020: COPY, not ADD": r"^ADD ",
    "DL3025: commands as JSON": r"^(?:CMD|ENTRYPOINT) (?!\[)",
    "DL3000: WORKDIR is absolute": r"^WORKDIR (?!/)",
    "no secret is built in": r"(?i)^(?:ENV|ARG) .*(?:password|secret|token)=",
}  # fmt: skip
BROKEN = """FROM python
ADD a b
WORKDIR app
RUN sudo apt-get install gcc && cd /tmp
ENV TOKEN=1
USER root
CMD run
"""


def pod(which: str) -> dict[str, Any]:
    found: dict[str, Any] = KSERVE["spec"]["predictor"] if which == "kserve" else PLAIN[1]["spec"]["template"]["spec"]
    return found


def options_of(words: list[str], folder: Path) -> Options:
    """The options that a command line gives; of a file, those of the config map."""
    given = dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "-C")
    if "config" in given:
        file = folder / "options.yaml"
        file.write_text(PLAIN[0]["data"]["options.yaml"])
        given["config"] = str(file)
    return read_options(given)


def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    command = shutil.which("true")
    unit = tmp_path / "llmops@.service"
    unit.write_text(re.sub(r"/opt/llmops/bin/mlflow", str(command), UNIT))  # verify wants commands that exist
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0 and "llmops@" not in done.stderr, done.stderr


def test_the_unit_gives_requests_the_time_to_end() -> None:
    stop = int(re.findall(r"^TimeoutStopSec=(\d+)", UNIT, re.M)[0])
    assert stop >= read_options({"config": str(SERVING / "options.yaml")}).request_timeout_s + 30
    assert "KillMode=mixed" in UNIT and "Restart=always" in UNIT


def test_no_unit_shares_an_engine_that_ends_with_another_unit() -> None:
    assert "LLMOPS_STATE=%S/llmops/%i " in UNIT and "StateDirectory=llmops llmops/%i\n" in UNIT


@pytest.mark.parametrize("rule", RULES)
def test_the_docker_file_keeps_the_rules(rule: str) -> None:
    assert not re.search(RULES[rule], (SERVING / "Dockerfile").read_text(encoding="utf-8"), re.M)
    assert re.search(RULES[rule], BROKEN, re.M)


def test_the_docker_file_copies_what_there_is_and_starts_with_options_that_exist(tmp_path: Path) -> None:
    text = (SERVING / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (.*)", text, re.M) for word in line.split()[:-1]]
    assert copied and all((ROOT / name).exists() for name in copied)
    assert re.findall(r"-r (\S+)", text) == ["engine/vllm-gpu.txt", "requirements.txt"]
    entry, arguments = (yaml.safe_load(re.findall(rf"^{word} (\[.*\])", text, re.M)[-1]) for word in ("ENTRYPOINT", "CMD"))
    assert entry == ["mlflow", "deployments", "run-local", "-t", "llmops"]
    options = options_of(arguments, tmp_path)
    assert options.host == "0.0.0.0" and f"EXPOSE {options.port}" in text


def test_the_container_starts_with_the_keys_that_are_made_in_it_first(tmp_path: Path) -> None:
    text = (SERVING / "Dockerfile").read_text(encoding="utf-8")
    make, start = (shlex.split(line) for line in re.findall(r"^#   (docker run .*)", text, re.M))
    assert make[make.index("-v") + 1] == start[start.index("-v") + 1] == "llmops-state:/state" and start[-1] == make[-8]
    assert make[make.index("--entrypoint") + 1] == "python" and make[-7:-5] == ["-m", "llmops.serving.keys"]
    create_keys([word.replace("/state", str(tmp_path)) for word in make[-5:]])
    (arguments,) = re.findall(r"^CMD (\[.*\])", text, re.M)
    words = yaml.safe_load(arguments)
    check_bind(options_of(words, tmp_path).host, Keys(tmp_path / words[1] / FILE).required)
    assert shlex.join(make) in PAGE


@pytest.mark.parametrize("one", PLAIN, ids=lambda one: one["kind"])
def test_an_object_is_what_kubernetes_takes(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, "1.34", strict=True)


def test_the_schema_would_see_a_mistake() -> None:
    wrong = {**PLAIN[1], "spec": {**PLAIN[1]["spec"], "replicass": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.34", strict=True)


def test_the_predictor_of_kserve_is_a_pod_that_kubernetes_takes() -> None:
    extra = {"minReplicas", "maxReplicas", "timeout"}
    spec = {name: value for name, value in pod("kserve").items() if name not in extra}
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}, "1.34", strict=True
    )
    assert (KSERVE["apiVersion"], KSERVE["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert extra <= pod("kserve").keys() and spec["containers"][0]["name"] == "kserve-container"


@pytest.mark.parametrize("which", ["plain", "kserve"])
def test_a_pod_starts_with_options_that_exist_and_ends_after_its_requests(which: str, tmp_path: Path) -> None:
    container = pod(which)["containers"][0]
    options = options_of(container["args"], tmp_path)
    assert container["ports"][0]["containerPort"] == options.port and options.host == "0.0.0.0"
    assert pod(which)["terminationGracePeriodSeconds"] >= options.request_timeout_s + 30
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"/ready", "/health"}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"] == 1


@pytest.mark.parametrize("which", ["plain", "kserve"])
def test_a_pod_may_do_no_more_than_it_needs(which: str) -> None:
    spec = pod(which)
    assert spec["securityContext"]["runAsNonRoot"] and spec["automountServiceAccountToken"] is False
    mounts = {one["name"] for container in spec["containers"] for one in container["volumeMounts"]}
    assert mounts == {one["name"] for one in spec["volumes"]}
    for container in (*spec["containers"], *spec["initContainers"]):
        context = container["securityContext"]
        assert not context["allowPrivilegeEscalation"] and context["readOnlyRootFilesystem"]


def test_the_page_names_options_and_files_that_exist() -> None:
    known = {*Options().to_dict(), "config"}
    assert set(re.findall(r"-C (\w+)=", PAGE)) <= known
    assert all((ROOT / path).exists() for path in re.findall(r"`(examples/[\w./@-]+)`", PAGE))
    for line in re.findall(r"^    (mlflow deployments .*)$", PAGE, re.M):
        assert shlex.split(line, comments=True)[2] in {
            "create",
            "update",
            "delete",
            "list",
            "get",
            "predict",
            "run-local",
            "help",
        }
