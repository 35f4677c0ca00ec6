"""What tests share: a copied MLflow store, a tiny language model, the real embedder, and the sample application."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import cast

import mlflow
import pytest
import servers
from hypothesis import settings

from llmops.streams import Piece, Stream, Whole

ROOT = Path(__file__).parent.parent
HANDBOOK = ROOT / "examples" / "handbook"

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
    os.environ.pop(name, None)  # the user's own store stays out of it

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, or one core has nothing to do while the other ends with them."""
    first = ("test_path.py", "test_vllm.py", "test_rollout_vllm.py", "test_soak.py", "test_ledger_faults.py")
    items.sort(key=lambda item: first.index(item.path.name) if item.path.name in first else len(first))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite store; making one takes seconds, copying it milliseconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    mlflow.search_experiments()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tracking URI of its own for one test, in this process and in those it starts."""
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("test", artifact_location=(tmp_path / "artifacts").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "set below")  # so that it is unset after the test
    mlflow.set_experiment("test")  # it sets MLFLOW_EXPERIMENT_ID, which the processes started then see
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where servers say what they do; pytest keeps it for a while."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def postgres(logs: Path) -> Iterator[str]:
    """The URL of a PostgreSQL without databases."""
    with servers.postgres(logs / "postgres.log") as url:
        yield url


@pytest.fixture(scope="session")
def s3(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which boto3 finds a server that speaks S3."""
    with servers.s3(tmp_path_factory.mktemp("s3"), logs / "s3.log") as environment:
        yield environment


@pytest.fixture(scope="session")
def guarded_server(postgres: str, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a tracking server on PostgreSQL, with proxied artifacts and basic auth: users admin, editor and reader."""
    store, users = (servers.create_database(postgres, name) for name in ("mlflow", "users"))
    artifacts = tmp_path_factory.mktemp("proxied").as_uri()
    with servers.mlflow_server(store, artifacts, logs / "guarded.log", users) as server:
        servers.create_users(server.url, "editor", "reader")
        yield server.url


@pytest.fixture
def sign_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sign in to the guarded server as a user, here and in processes started."""

    def sign_in_as(name: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", servers.PASSWORD)

    return sign_in_as


def use_store(uri: str, experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an experiment of this store, here and in processes started, until the test ends."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "set below")  # so that it is unset after the test
    mlflow.set_experiment(experiment)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread for torch, here and in processes started: for tiny tensors more of them only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of two layers and random weights, grouped-query heads, and a tokenizer of its own."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    specials = ["<|end|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [path.read_text(encoding="utf-8") for path in sorted((HANDBOOK / "documents").glob("*.md"))]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(wrapped), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id, bos_token_id=None, tie_word_embeddings=True, initializer_range=0.5,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny-lm")
    LlamaForCausalLM(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def drain(stream: Generator[Piece, None, Whole]) -> tuple[list[Piece], Whole]:
    """The pieces of a stream, and what it returns."""
    heard = Stream(stream)
    pieces = list(heard)
    return pieces, cast(Whole, heard.whole)
