"""How many parameters are trained, and how large what is saved is, without any weights."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import ConfigError
from llmops.finetuning.method import Method
from llmops.planning.sizes import Sizes, attach, count_parameters, empty_model, read_config

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
EVERYTHING = ",".join((*PROJECTIONS, "embed_tokens", "lm_head"))
LLAMA2 = {  # hidden, intermediate, layers, heads, heads for keys and values
    "7B": (4096, 11008, 32, 32, 32),
    "13B": (5120, 13824, 40, 40, 40),
    "70B": (8192, 28672, 80, 64, 8),
}


def llama(
    hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, words: int = 32000, tied: bool = False
) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, vocab_size=words, tie_word_embeddings=tied,
    )  # fmt: skip


def shapes(config: Any) -> dict[str, tuple[int, int]]:
    """In and out of each linear layer of a Llama."""
    hidden, inner = config.hidden_size, config.intermediate_size
    shared = hidden // config.num_attention_heads * config.num_key_value_heads
    pairs = ((hidden, hidden), (hidden, shared), (hidden, shared), (hidden, hidden), (hidden, inner), (hidden, inner))
    return dict(zip(PROJECTIONS, (*pairs, (inner, hidden)), strict=True))


@st.composite
def small_llamas(draw: st.DrawFn) -> Any:
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 3))
    hidden = heads * 2 * draw(st.integers(1, 4))
    inner, layers, words = draw(st.integers(1, 40)), draw(st.integers(1, 4)), draw(st.integers(3, 50))
    return llama(hidden, inner, layers, heads, kv_heads, words, tied=False)


@pytest.mark.parametrize(
    ("model", "base", "attention", "linear", "everything"),
    [
        ("7B", 6_738_415_616, 4_194_304, 19_988_480, 20_566_080),
        ("13B", 13_015_864_320, 6_553_600, 31_293_440, 31_887_424),
        ("70B", 68_976_648_192, 16_384_000, 103_546_880, 104_190_016),
    ],
)
def test_rank_8_on_llama_2_trains_the_known_counts(
    model: str, base: int, attention: int, linear: int, everything: int
) -> None:
    config = llama(*LLAMA2[model])
    assert count_parameters(config, Method(rank=8, targets="q_proj,v_proj")) == Sizes(base, base + attention, attention)
    assert count_parameters(config, Method(rank=8, targets="all-linear")).trainable == linear
    wider = llama(*LLAMA2[model], words=32004)
    assert count_parameters(wider, Method(rank=8, targets=EVERYTHING)).trainable == everything


@pytest.mark.parametrize(
    ("model", "attention", "everything"), [("7B", 8.4, 41.1), ("13B", 13.1, 63.8), ("70B", 32.8, 208.4)]
)
def test_rank_8_adapters_of_llama_2_take_the_known_megabytes_in_16_bits(
    model: str, attention: float, everything: float
) -> None:
    config = llama(*LLAMA2[model], words=32004)
    for targets, megabytes in (("q_proj,v_proj", attention), (EVERYTHING, everything)):
        sizes = count_parameters(config, Method(rank=8, targets=targets))
        assert round(sizes.bytes_16 / 1e6, 1) == megabytes
        assert sizes.bytes_32 == 2 * sizes.bytes_16


@settings(max_examples=25)
@given(
    config=small_llamas(), rank=st.integers(1, 9), ends=st.sets(st.sampled_from(("embed_tokens", "lm_head"))),
    targets=st.sets(st.sampled_from(PROJECTIONS), min_size=1),
)  # fmt: skip
def test_plain_lora_trains_rank_times_in_plus_out_of_each_target(
    config: Any, rank: int, targets: set[str], ends: set[str]
) -> None:
    found = count_parameters(config, Method(rank=rank, targets=",".join([*targets, *ends])))
    layer = sum(sum(shapes(config)[name]) for name in targets)
    assert found.trainable == rank * (
        config.num_hidden_layers * layer + (config.vocab_size + config.hidden_size) * len(ends)
    )
    assert found.total == found.base + found.trainable


@settings(max_examples=15)
@given(config=small_llamas(), share=st.floats(0.01, 1), dora=st.booleans())
def test_dora_adds_a_magnitude_per_output_and_layers_below_the_share_train_nothing(
    config: Any, share: float, dora: bool
) -> None:
    method = Method(rank=3, targets="k_proj,down_proj", layers=share, variant="dora" if dora else "plain")
    layer = sum(3 * (shapes(config)[name][0] + shapes(config)[name][1]) for name in ("k_proj", "down_proj"))
    layer += dora * sum(shapes(config)[name][1] for name in ("k_proj", "down_proj"))
    upper = max(1, round(config.num_hidden_layers * share))
    assert count_parameters(config, method).trainable == upper * layer


def test_rslora_and_qlora_train_what_lora_trains() -> None:
    config = llama(32, 64, 2, 4, 2, 100)
    counts = [
        count_parameters(config, Method(name=name, variant=variant))
        for name, variant in (("lora", "plain"), ("lora", "rslora"), ("qlora", "plain"))
    ]
    assert counts[0] == counts[1] == counts[2]


def test_a_full_training_trains_everything_and_counts_tied_embeddings_once() -> None:
    untied, tied = (count_parameters(llama(32, 64, 2, 4, 2, 100, tied), Method(name="full")) for tied in (False, True))
    assert tied.base == tied.total == tied.trainable
    assert untied.trainable - tied.trainable == 32 * 100


def test_the_counts_are_those_of_a_real_adapter_and_its_file(tmp_path: Path) -> None:
    from peft import get_peft_model
    from safetensors.numpy import load_file
    from transformers import AutoModelForCausalLM

    config, method = llama(32, 64, 2, 4, 2, 100), Method(rank=4, targets="q_proj,embed_tokens,lm_head", variant="rslora")
    model = get_peft_model(AutoModelForCausalLM.from_config(config), method.peft_config(config))
    sizes = count_parameters(config, method)
    assert (sizes.trainable, sizes.total) == model.get_nb_trainable_parameters()
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    assert sizes.bytes_32 == sum(array.nbytes for array in load_file(tmp_path / "adapter_model.safetensors").values())


@pytest.mark.parametrize(("kind", "options"), [
    ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    ("gemma3_text", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}),
    ("mixtral", {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}),
])  # fmt: skip
def test_any_causal_lm_counts_as_it_does_with_weights(kind: str, options: dict[str, int]) -> None:
    from transformers import AutoModelForCausalLM
    from transformers.models.auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[kind](vocab_size=90, pad_token_id=0, bos_token_id=1, eos_token_id=1, **options)
    real = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    sizes = count_parameters(config, Method(rank=2))
    assert sizes.base == real < sizes.total


def test_a_base_is_a_config_or_a_folder_that_has_one_and_stays_as_it_was(tmp_path: Path) -> None:
    config = llama(32, 64, 2, 4, 2, 100)
    config.save_pretrained(tmp_path)
    before = config.to_dict()
    assert count_parameters(tmp_path, Method()) == count_parameters(config, Method())
    assert config.to_dict() == before
    assert {weight.device.type for weight in attach(empty_model(config), config, Method()).parameters()} == {"meta"}


def test_a_base_that_is_none_is_refused(tmp_path: Path) -> None:
    from transformers import ViTConfig

    with pytest.raises(ConfigError, match="config.json"):
        read_config(tmp_path)
    with pytest.raises(ConfigError, match="base is a vit, expected a causal language model"):
        count_parameters(ViTConfig(), Method())


def test_targets_that_the_base_has_not_are_refused() -> None:
    with pytest.raises(ConfigError, match="targets is 'c_attn'"):
        count_parameters(llama(32, 64, 2, 4, 2, 100), Method(targets="c_attn"))
