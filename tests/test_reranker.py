"""The cross-encoder, on a tiny one that is trained here to tell whether question and passage share a word."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmops.errors import WeightsError
from llmops.models.weights import Weights
from llmops.retrieval.reranker import CrossEncoderReranker

WORDS = ["leave", "car", "canteen", "buoy", "form", "noon", "depot", "days"]
MAX_TOKENS = 16


def save_model(folder: Path, kind: str = "BertForSequenceClassification", labels: int = 1) -> Path:
    import torch
    import transformers

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=MAX_TOKENS).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=MAX_TOKENS, num_labels=labels, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
    )  # fmt: skip
    getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


def train(folder: Path) -> None:
    """Teach the model that a passage is relevant that holds the question's word."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model: Any = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    pairs = [(left, right) for left in WORDS for right in WORDS] + [(word, word) for word in WORDS] * 7
    batch = tokenizer([left for left, _ in pairs], [right for _, right in pairs], return_tensors="pt")
    labels = torch.tensor([float(left == right) for left, right in pairs])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # eight times faster for so small a model
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(**batch).logits[:, 0], labels).backward()
        optimizer.step()
    torch.set_num_threads(threads)
    model.save_pretrained(folder)


def weights(folder: Path) -> Weights:
    return Weights(f"./{folder.name}", "d" * 64, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_model(tmp_path_factory.mktemp("reranker") / "tiny")
    train(folder)
    return folder


@pytest.fixture(scope="module")
def reranker(folder: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(weights(folder))


def test_the_passage_that_holds_the_word_scores_highest(reranker: CrossEncoderReranker) -> None:
    for word in WORDS:
        assert WORDS[reranker.scores(word, WORDS).argmax()] == word


def test_scores_are_the_cross_encoders_own_and_lie_between_0_and_1(folder: Path, reranker: CrossEncoderReranker) -> None:
    from sentence_transformers import CrossEncoder

    passages = ["car depot", "leave days noon", "form"]
    expected = CrossEncoder(str(folder)).predict([("leave days", passage) for passage in passages], show_progress_bar=False)
    found = reranker.scores("leave days", passages)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32 and ((found >= 0) & (found <= 1)).all()


def test_a_score_does_not_depend_on_the_other_passages(reranker: CrossEncoderReranker) -> None:
    passages = [" ".join(WORDS[n % 8 :][: 1 + n % 5]) for n in range(40)]
    together = reranker.scores("car", passages)
    np.testing.assert_allclose(reranker.scores("car", passages[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_allclose([reranker.scores("car", [passage])[0] for passage in passages], together, atol=1e-5)


def test_a_passage_that_is_too_long_is_cut_at_its_end(reranker: CrossEncoderReranker) -> None:
    long, longer = " ".join(["noon"] * 20), " ".join(["noon"] * 5000)
    assert reranker.scores("noon", [long]) == pytest.approx(reranker.scores("noon", [longer]), abs=1e-6)


def test_no_passages_have_no_scores(reranker: CrossEncoderReranker) -> None:
    assert reranker.scores("noon", []).shape == (0,)


def test_a_model_that_was_saved_without_sigmoid_still_scores_between_0_and_1(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "logits")
    config = json.loads((folder / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    (tmp_path / "logits" / "config.json").write_text(json.dumps(config))
    found = CrossEncoderReranker(weights(tmp_path / "logits")).scores("noon", WORDS)
    assert found.min() >= 0 and found.max() <= 1 and WORDS[found.argmax()] == "noon"


def test_a_reranker_says_which_weights_it_is(reranker: CrossEncoderReranker) -> None:
    assert (reranker.source, reranker.digest) == ("./tiny", "d" * 64)


def test_an_embedding_model_is_no_cross_encoder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="'./embedder' is no cross-encoder: it is a BertModel"):
        CrossEncoderReranker(weights(save_model(tmp_path / "embedder", "BertModel")))


def test_a_classifier_of_several_labels_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="gives 3 scores"):
        CrossEncoderReranker(weights(save_model(tmp_path / "classifier", labels=3)))


def test_a_folder_without_a_model_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="names no architecture"):
        CrossEncoderReranker(weights(tmp_path))
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(WeightsError, match="can't be loaded"):
        CrossEncoderReranker(weights(tmp_path))
