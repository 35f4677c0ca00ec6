"""Options of a deployment: what is given, typed and checked before anything starts."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import ConfigError
from llmops.serving.options import Options, help_text, read_options


def test_what_is_not_given_has_its_default() -> None:
    assert read_options({}) == Options() and Options().engine == "transformers"


def test_values_get_their_types() -> None:
    given = {"port": "8210", "poll_s": "0.5", "follow": "no", "shadow": "false", "allow_unattested": "True", "host": " ::1 "}
    options = read_options(given)
    assert (options.port, options.poll_s, options.follow, options.allow_unattested) == (8210, 0.5, False, True)
    assert options.host == "::1" and options.shadow is False


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prot": "1"}, "prot is no option. Did you mean 'port'? Options: port, host,"),
        ({"port": "eight"}, "port is 'eight', expected a whole number."),
        ({"port": "70000"}, "port is 70000, expected 0 to 65535."),
        ({"workers": "1.5"}, "workers is '1.5', expected a whole number."),
        ({"workers": "0"}, "workers is 0, expected 1 to 64."),
        ({"poll_s": "nan"}, "poll_s is nan, expected 0.1 to 86400."),
        ({"trace_rate": "2"}, "trace_rate is 2, expected 0 to 1."),
        ({"follow": "perhaps"}, "follow is 'perhaps', expected true or false."),
        ({"engine": "vlm"}, "engine is 'vlm', expected one of transformers, vllm, url. Did you mean 'vllm'?"),
        ({"base_change": "restrat"}, "Did you mean 'restart'?"),
        ({"host": ""}, "host is empty"),
        ({"engine": "url"}, "needs engine_url"),
        ({"engine_url": "http://127.0.0.1:8000/v1"}, "no use for engine_url"),
        ({"engine": "url", "engine_url": "localhost:8000"}, "expected an address such as http://"),
        ({"certificate": "a.pem"}, "certificate and private_key belong together"),
        ({"follow": "false", "canary": "10"}, "leave out canary and shadow"),
        ({"engine": "vllm", "threads": "-1"}, "threads is -1, expected 0 to 1024."),
        ({"threads": "4"}, "threads is for engine=vllm, and engine is transformers. Give 0, or engine=vllm."),
        ({"config": "no/such/file.yaml"}, "options 'no/such/file.yaml' can't be read"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_options(given)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_vllm_stays_where_nothing_else_is_asked_of_it() -> None:
    one = Options(engine="vllm", threads=2)
    assert one.other_vllm(Options(engine="vllm", threads=4, window=512, canary=10)) == "threads=4, window=512"
    assert one.other_vllm(Options(engine="vllm", threads=2, canary=10)) == one.other_vllm(Options()) == ""


def test_a_file_has_the_same_options_and_the_command_line_stands_above_it(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text("port: 8210\nfollow: false\ncertificate: tls/a.pem\nprivate_key: /etc/b.pem\n")
    options = read_options({"config": str(tmp_path / "o.yaml"), "port": "8211"})
    assert (options.port, options.follow, options.private_key) == (8211, False, "/etc/b.pem")
    assert options.certificate == str(tmp_path / "tls" / "a.pem")  # beside the file that names it


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port: 8210\nworkrs: 2\n", "o.yaml:2: workrs is no option. Did you mean 'workers'?"),
        ("port: 8210\nengine: gpu\n", "o.yaml:2: engine is 'gpu', expected one of"),
        ("\nport: true\n", "o.yaml:2: port is True, expected a whole number."),
        ("host: 12\n", "o.yaml:1: host is 12, expected text."),
        ("config: other.yaml\n", "o.yaml:1: config is no option."),
        ("- port\n", "o.yaml:1: found"),
        ("port: [\n", "o.yaml:2: options is no YAML"),
    ],
)
def test_a_mistake_in_a_file_has_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "o.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_options({"config": str(tmp_path / "o.yaml")})
    assert str(caught.value).startswith(words)


def test_an_update_changes_what_is_given_and_keeps_the_rest() -> None:
    before = read_options({"port": "8210", "workers": "2"})
    after = read_options({"workers": "3"}, before)
    assert (after.port, after.workers) == (8210, 3)
    assert read_options(after.to_dict()) == after  # as the state on disk has them


def test_help_says_all_options_and_their_defaults() -> None:
    lines = {line.split()[0]: line for line in help_text().splitlines()}
    assert set(lines) == {*(field.name for field in fields(Options)), "config"}
    assert lines["poll_s"].endswith("(default: 15)") and lines["follow"].endswith("(default: true)")
    assert "default" not in lines["engine_url"]
