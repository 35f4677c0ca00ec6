"""Whether vLLM would serve an adapter, and with what setting."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import ConfigError
from llmops.finetuning.method import Method
from llmops.planning.serving import MAX_LORA_RANKS, max_lora_rank, unservable


def base(kind: str = "llama", **changes: Any) -> Any:
    from transformers.models.auto import CONFIG_MAPPING

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 90}
    return CONFIG_MAPPING[kind](**{**shape, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, **changes})


def adapter(**changes: Any) -> dict[str, Any]:
    """What adapter_config.json holds, as far as it matters."""
    plain = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "bias": "none"}
    return {**plain, **changes}


@pytest.mark.parametrize("method", [
    Method(), Method(name="qlora"), Method(name="full"), Method(variant="rslora"), Method(rank=512),
    Method(targets="attention", layers=0.5), Method(targets="q_proj,down_proj,embed_tokens,lm_head"),
])  # fmt: skip
def test_plain_adapters_are_served_whatever_their_scaling_layers_and_targets(method: Method) -> None:
    assert unservable(method, base()) == []


@pytest.mark.parametrize(("changes", "reason"), [
    ({"r": 513}, "rank 513"),
    ({"rank_pattern": {"q_proj": 600}}, "rank 600"),
    ({"use_dora": True}, "DoRA"),
    ({"bias": "lora_only"}, "bias is 'lora_only'"),
    ({"lora_bias": True}, "lora_bias"),
    ({"modules_to_save": ["embed_tokens", "lm_head"]}, "modules_to_save is embed_tokens, lm_head"),
    ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
    ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4'"),
    ({"alora_invocation_tokens": [5]}, "activated LoRA"),
    ({"layer_replication": [[0, 2]]}, "layer_replication"),
    ({"peft_type": "IA3"}, "peft_type is IA3"),
])  # fmt: skip
def test_what_vllm_refuses_is_said_before_training(changes: dict[str, Any], reason: str) -> None:
    (found,) = unservable(adapter(**changes), base())
    assert found.startswith(reason)


@pytest.mark.parametrize("changes", [
    {"use_rslora": True}, {"layers_to_transform": [1]}, {"init_lora_weights": "gaussian"}, {"modules_to_save": None},
    {"target_modules": "all-linear"}, {"target_modules": r".*\.(q|k)_proj"}, {"rank_pattern": {"q_proj": 64}},
])  # fmt: skip
def test_features_that_leave_a_plain_adapter_are_served(changes: dict[str, Any]) -> None:
    assert unservable(adapter(**changes), base()) == []


def test_all_reasons_are_given_at_once() -> None:
    found = unservable(adapter(r=1024, use_dora=True, bias="all", target_modules=["q_proj", "lm_head"]), base("qwen2"))
    assert [reason.split()[0] for reason in found] == ["rank", "DoRA:", "bias", "target"]


@pytest.mark.parametrize(("kind", "refused"), [
    ("llama", []), ("qwen3", []), ("cohere", ["lm_head"]), ("qwen2", ["embed_tokens", "lm_head"]),
    ("mistral", ["embed_tokens", "lm_head"]),
])  # fmt: skip
def test_embeddings_and_heads_are_served_only_on_bases_whose_classes_take_them(kind: str, refused: list[str]) -> None:
    config = base(kind, num_key_value_heads=2, tie_word_embeddings=False)
    found = unservable(Method(targets="q_proj,embed_tokens,lm_head"), config)
    assert [reason.split()[1].rstrip(":") for reason in found] == refused


def test_bases_that_take_no_adapters_are_named() -> None:
    config = base("gpt2", n_layer=2, n_embd=32, n_head=4)
    first, *others = unservable(Method(targets="c_attn"), config)
    assert first == "the base is a gpt2, which takes no adapters: merge it into the base."
    assert others == ["target c_attn: not served on a gpt2; leave it out."]


def test_a_base_with_a_vocabulary_above_vllms_bound_takes_no_adapters() -> None:
    assert unservable(Method(), base(vocab_size=258_048)) == []
    (found,) = unservable(Method(), base(vocab_size=258_049))
    assert "at most 258048" in found


def test_what_a_real_adapter_folder_says_is_read_as_it_is(tmp_path: Path) -> None:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    config = base()
    config.save_pretrained(tmp_path / "base")
    for variant, reasons in (("rslora", 0), ("dora", 1)):
        method = Method(rank=4, targets="all-linear", variant=variant)
        model = get_peft_model(AutoModelForCausalLM.from_config(config), method.peft_config(config))
        model.save_pretrained(tmp_path / variant)
        entries = json.loads((tmp_path / variant / "adapter_config.json").read_text())
        assert len(unservable(entries, tmp_path / "base")) == reasons
        assert unservable(entries, tmp_path / "base") == unservable(method, config)


@pytest.mark.parametrize(("rank", "allowed"), [(1, 1), (2, 8), (8, 8), (9, 16), (257, 320), (321, 512), (512, 512)])
def test_the_rank_to_start_vllm_with_is_the_least_it_allows_that_fits(rank: int, allowed: int) -> None:
    assert max_lora_rank(Method(rank=rank)) == max_lora_rank(adapter(r=rank)) == allowed
    assert allowed in MAX_LORA_RANKS


def test_the_rank_to_start_vllm_with_covers_every_module() -> None:
    assert max_lora_rank(adapter(rank_pattern={"q_proj": 40})) == 64


@pytest.mark.parametrize(("entries", "message"), [
    (adapter(r=513), "rank is 513, expected at most 512"), (adapter(r=None), "ranks are"), (adapter(r=0), "ranks are"),
    ({}, "ranks are"),
])  # fmt: skip
def test_a_rank_that_is_none_is_refused(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        max_lora_rank(entries)


def test_targets_that_the_base_has_not_are_refused() -> None:
    with pytest.raises(ConfigError, match="target_modules: .*w_pack"):
        unservable(adapter(target_modules=["w_pack"]), base())
