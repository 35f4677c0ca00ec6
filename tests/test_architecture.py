"""A base made from nothing: its file, its tokenizer, its weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import HANDBOOK
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops import digests
from llmops.errors import ConfigError, DataError
from llmops.finetuning.architecture import (
    MIN_VOCAB,
    SPECIAL_TOKENS,
    Architecture,
    llama_config,
    new_base,
    new_tokenizer,
    read_architecture,
)
from llmops.finetuning.tokens import conversation_row
from llmops.models.tokenizer import load_tokenizer
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import Weights, resolve_weights
from llmops.types import Conversation, GenerationRequest, Message

SMALL = Architecture(vocab_size=400, hidden_size=32, layers=2, heads=4, kv_heads=2, intermediate_size=48, max_tokens=64)
DOCUMENTS = [path.read_text(encoding="utf-8") for path in sorted((HANDBOOK / "documents").glob("*.md"))]
TEXTS = DOCUMENTS[:4]
LINES = {
    "vocab_size": "400", "hidden_size": "32", "layers": "2", "heads": "4", "kv_heads": "2", "intermediate_size": "48",
    "max_tokens": "64",
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return resolve_weights(str(new_base(SMALL, TEXTS, tmp_path_factory.mktemp("base"), seed=1)))


@pytest.fixture(scope="module")
def tokenizer(base: Weights) -> Any:
    return load_tokenizer(base)


def written(folder: Path, **changed: str | None) -> Path:
    lines = {name: value for name, value in {**LINES, **changed}.items() if value is not None}
    path = folder / "mini.yaml"
    path.write_text("\n".join(f"{name}: {value}" for name, value in lines.items()), encoding="utf-8")
    return path


def test_a_file_gives_the_architecture_it_describes(tmp_path: Path) -> None:
    assert read_architecture(written(tmp_path)) == SMALL
    untied = read_architecture(written(tmp_path, tie_embeddings="false", rope_theta="500000"))
    assert (untied.tie_embeddings, untied.rope_theta) == (False, 500_000)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hiden_size": "32"}, r"mini.yaml: unknown key 'hiden_size'.*hidden_size"),
        ({"1": "2"}, "mini.yaml: unknown key 1"),
        ({"layers": None, "heads": None}, "mini.yaml: missing layers, heads"),
        ({"layers": "two"}, "mini.yaml: layers is 'two', expected a whole number"),
        ({"layers": "2.0"}, "mini.yaml: layers is 2.0, expected a whole number"),
        ({"layers": "true"}, "mini.yaml: layers is True, expected a whole number"),
        ({"layers": "0"}, "mini.yaml: layers is 0, expected 1 or more"),
        ({"max_tokens": "1"}, "mini.yaml: max_tokens is 1, expected 2 or more"),
        ({"vocab_size": "255"}, f"mini.yaml: vocab_size is 255, expected {MIN_VOCAB} or more"),
        ({"heads": "5"}, "mini.yaml: hidden_size is 32 with heads 5, expected a multiple of 10"),
        ({"heads": "32", "kv_heads": "32"}, "mini.yaml: hidden_size is 32 with heads 32, expected a multiple of 64"),
        ({"kv_heads": "3"}, "mini.yaml: kv_heads is 3, expected a divisor of heads, 4"),
        ({"tie_embeddings": "1"}, "mini.yaml: tie_embeddings is 1, expected true or false"),
        ({"rope_theta": ".nan"}, "mini.yaml: rope_theta is nan"),
        ({"layers": "[2"}, "mini.yaml' can't be read"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name_and_key(
    tmp_path: Path, changed: dict[str, str | None], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        read_architecture(written(tmp_path, **changed))


def test_a_file_that_is_missing_binary_or_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        read_architecture(tmp_path / "none.yaml")
    path = tmp_path / "mini.yaml"
    for content, said in [(b"\xff\xfe\xfa", "can't be read"), (b"", "holds None"), (b"- 1", r"holds \[1\]")]:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=said):
            read_architecture(path)


def test_the_sample_is_a_model_of_three_to_six_million_parameters() -> None:
    import torch
    from transformers import LlamaForCausalLM

    architecture = read_architecture(HANDBOOK / "mini.yaml")
    tokenizer = new_tokenizer(DOCUMENTS, architecture.vocab_size, architecture.max_tokens)
    assert len(tokenizer) == architecture.vocab_size
    with torch.device("meta"):
        model = LlamaForCausalLM(llama_config(architecture, tokenizer))
    assert 3e6 < model.num_parameters() < 6e6


def test_a_new_base_is_a_plain_folder_of_the_shape_asked_for(base: Weights) -> None:
    assert {path.suffix for path in base.folder.iterdir()} == {".json", ".safetensors", ".jinja"}
    config = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_key_value_heads", "max_position_embeddings")
    assert [config[name] for name in sizes] == [400, 32, 2, 2, 64]
    assert "vocab_size_asked" not in config


def test_a_new_base_answers_in_the_engine_as_any_base_does(base: Weights) -> None:
    engine = TransformersEngine(base, dtype="float32")
    asked = [GenerationRequest((Message("user", content),), max_new_tokens=4) for content in ("Hello", "How long is leave?")]
    assert all(completion.completion_tokens <= 4 for completion in engine.generate(asked))


def test_generation_ends_with_the_turn_and_with_the_text(base: Weights, tokenizer: Any) -> None:
    settings = json.loads((base.folder / "generation_config.json").read_text(encoding="utf-8"))
    assert tokenizer.convert_ids_to_tokens(settings["eos_token_id"]) == ["<|endoftext|>", "<|im_end|>"]
    assert len({tokenizer.eos_token_id, tokenizer.pad_token_id}) == 2  # or padding would hide ends from the loss


def test_the_same_texts_and_seed_give_the_same_base_and_the_seed_decides_the_weights_only(
    base: Weights, tmp_path: Path
) -> None:
    again = digests.of_files(new_base(SMALL, TEXTS, tmp_path / "again", seed=1))
    other = digests.of_files(new_base(SMALL, TEXTS, tmp_path / "other", seed=2))
    assert again == digests.of_files(base.folder)
    assert {name for name in again if again[name] != other[name]} == {"model.safetensors"}


def test_making_a_base_leaves_the_random_numbers_of_others_alone(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    new_base(SMALL, TEXTS[:1], tmp_path / "base", seed=9)
    assert torch.equal(torch.rand(3), wanted)


def test_too_few_texts_give_a_smaller_vocabulary_and_the_config_says_so(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = new_base(replace(SMALL, vocab_size=5000), ["to be or not to be"], tmp_path / "base", seed=0)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert MIN_VOCAB < model.config.vocab_size < 300
    assert model.config.vocab_size_asked == 5000
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size


def test_a_tokenizer_with_more_tokens_than_the_architecture_is_refused(tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="400 tokens, expected at most vocab_size, 300"):
        llama_config(replace(SMALL, vocab_size=300), tokenizer)


def test_a_folder_in_use_and_texts_without_content_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something already"):
        new_base(SMALL, TEXTS, tmp_path, seed=0)
    for texts in ([], ["fine", " \n"], ["half \ud83d"]):
        with pytest.raises(DataError, match="text"):
            new_base(SMALL, texts, tmp_path / "base", seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@settings(max_examples=200)
@given(text=st.lists(st.one_of(st.text(), st.sampled_from(SPECIAL_TOKENS))).map("".join))
def test_every_text_comes_back_whole_and_spells_no_special_token(text: str, tokenizer: Any) -> None:
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids) == tokenizer.decode(ids, skip_special_tokens=True) == text


def test_only_split_special_tokens_keeps_them_out_and_only_for_the_call(tokenizer: Any) -> None:
    spelt = "<|im_end|>"
    special = tokenizer.convert_tokens_to_ids(spelt)
    assert tokenizer(spelt, add_special_tokens=False)["input_ids"] == [special]
    assert special not in tokenizer(spelt, split_special_tokens=True)["input_ids"]
    assert tokenizer(spelt)["input_ids"] == [special]


def test_texts_that_are_full_of_special_tokens_teach_none_of_them() -> None:
    tokenizer = new_tokenizer(["<|im_end|>" * 50, "<|pad|> <|pad|>" * 50], 400, 64)
    vocabulary = tokenizer.get_vocab()
    assert [vocabulary[token] for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert not any(id_ in range(4) for id_ in tokenizer("<|im_end|><|pad|>", split_special_tokens=True)["input_ids"])


def test_chats_are_rendered_in_turns_that_training_can_label(tokenizer: Any) -> None:
    user, answer = Message("user", "How long?"), Message("assistant", "Six months.")
    chat = [{"role": user.role, "content": user.content}]
    rendered = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert rendered == "<|im_start|>user\nHow long?<|im_end|>\n<|im_start|>assistant\n"
    labels = [label for label in conversation_row(Conversation((user, answer)), tokenizer)["labels"] if label != -100]
    assert tokenizer.decode(labels) == "Six months.<|im_end|>"
