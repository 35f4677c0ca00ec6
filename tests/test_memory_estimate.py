"""The peak memory of training, before training."""

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from torch.nn import Linear

from llmops.errors import ConfigError
from llmops.finetuning.collation import answer_loss, collate, without_casts
from llmops.finetuning.method import Method
from llmops.finetuning.tokens import IGNORED, Row
from llmops.planning.activations import kept_bytes, model_to_count
from llmops.planning.memory import Load, Memory, estimate_memory
from llmops.planning.sizes import attach, empty_model

HIDDEN, INNER, LAYERS, HEADS, WORDS = 128, 320, 4, 4, 500


def llama(**changes: Any) -> Any:
    from transformers import LlamaConfig

    shape = {"hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    return LlamaConfig(**{**shape, "num_key_value_heads": 2, "vocab_size": WORDS, "tie_word_embeddings": False, **changes})


def peak_of_steps(model: Any, loss: Callable[[], Any]) -> int:
    """Bytes of tensors that live at once in two training steps, the weights too, counted by torch's profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    optimiser = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], fused=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        for _ in range(2):
            loss().backward()
            optimiser.step()
            optimiser.zero_grad()
    events = profiler.profiler.kineto_results.events()
    grown = accumulate(event.nbytes() for event in events if event.name() == "[memory]")
    return max(grown) + sum(weight.numel() * weight.element_size() for weight in model.parameters())


def random_batch(batch_size: int, tokens: int, answer: int, packed: bool) -> dict[str, Any]:
    """Rows that end with `answer` labels."""
    import torch

    rows = []
    for ids in torch.randint(0, WORDS, (batch_size, tokens)).tolist():
        rows.append(Row(input_ids=ids, labels=[*[IGNORED] * (tokens - answer), *ids[-answer:]]))
    return collate(rows, pad=0, packed=packed)


@pytest.mark.parametrize(("method", "dtype", "recompute"), [
    (Method(rank=8), "float32", False),
    (Method(rank=8), "bfloat16", False),
    (Method(rank=8, variant="dora", dropout=0.1), "float32", False),
    (Method(rank=8, targets="q_proj,v_proj", layers=0.5), "float32", False),
    (Method(rank=8), "float32", True),
    (Method(name="full"), "float32", False),
    (Method(name="full"), "bfloat16", False),
])  # fmt: skip
@pytest.mark.parametrize(("batch_size", "tokens", "answer"), [(2, 64, 16), (8, 64, 4), (2, 256, 4)])
@pytest.mark.parametrize("packed", [False, True])
def test_the_estimate_is_close_to_the_peak_of_real_steps(
    method: Method, dtype: str, recompute: bool, batch_size: int, tokens: int, answer: int, packed: bool
) -> None:
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    config = llama()
    half = dtype == "bfloat16"
    model = AutoModelForCausalLM.from_config(
        config, dtype=torch.bfloat16 if half and method.name == "lora" else torch.float32
    )
    if recompute:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    if method.name != "full":
        model = get_peft_model(model, method.peft_config(config))
    batch = random_batch(batch_size, tokens, answer, packed)
    with without_casts(model, half):
        real = peak_of_steps(model.train(), lambda: answer_loss(model, batch, half=half))
    shape = (1, batch_size * tokens) if packed else (batch_size, tokens)
    found = estimate_memory(config, method, Load(*shape, batch_size * answer, dtype, recompute, masked=packed))
    assert 1 / 1.25 < found.total / real < 1.25
    if method.name == "lora" or not half:
        assert found.weights == sum(weight.numel() * weight.element_size() for weight in model.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_logits_of_the_preference_loss_are_those_of_trls_chunk(dtype: str) -> None:
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    config, method = llama(vocab_size=40_000), Method(rank=8, targets="attention")
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    add_fused_lm_head(model)
    model = get_peft_model(model, method.peft_config(config)).train()
    ids = torch.randint(0, WORDS, (4, 64))
    real = peak_of_steps(model, lambda: model(input_ids=ids, labels=ids, fused_lm_head=True).loss)
    found = estimate_memory(config, method, Load(4, 64, dtype=dtype, chunked=True, masked=True))
    assert found.logits / found.total > 0.7
    assert 0.9 < found.total / real < 1.1


def test_a_chunk_of_logits_is_bounded_and_with_a_gpu_smaller_still() -> None:
    def logits(tokens: int, **options: Any) -> int:
        return estimate_memory(llama(num_hidden_layers=1), Method(), Load(1, tokens, chunked=True, **options)).logits

    assert logits(4096) == logits(5000) > logits(4096, gpu=True) == 4096 * 32768 * 4
    assert logits(4096, gpu=True, labelled=16) == 16 * 32768 * 4


def test_a_layer_of_a_llama_with_adapters_keeps_what_adds_up_by_hand() -> None:
    batch_size, tokens, rank = 3, 20, 8
    per_token = (
        2 * HIDDEN + 2  # what comes into both norms, and the scale each finds
        + 3 * HIDDEN + 1 * INNER  # what comes into the adapters: of q, k and v; of o; of gate and up; of down
        + 7 * rank  # between their halves
        + 3 * HIDDEN + HEADS  # queries, keys and values; attention's output is o's input; its log-sums
        + 3 * INNER  # gate, up, and gate's activation
    )  # fmt: skip

    def kept(layers: int, masked: bool) -> int:
        config = llama(num_hidden_layers=layers)
        return kept_bytes(attach(model_to_count(config, "float32", masked), config, Method(rank=rank)), batch_size, tokens)

    assert kept(3, False) - kept(2, False) == 4 * batch_size * tokens * per_token
    assert kept(3, True) - kept(2, True) == 4 * (batch_size * tokens * per_token + batch_size * tokens * tokens)


def test_recomputing_and_training_upper_layers_alone_keep_less_and_half_precision_too() -> None:
    def kept(layers: float = 1.0, **options: Any) -> int:
        load = Load(4, 64, labelled=4, **options)
        return estimate_memory(llama(num_hidden_layers=8), Method(targets="attention", layers=layers), load).activations

    assert kept(layers=0.25) < kept() / 3
    assert kept(recompute=True) < kept() / 3
    assert kept(dtype="bfloat16") < kept()


def test_a_qlora_base_weighs_what_bitsandbytes_makes_of_it(tmp_path: Path) -> None:
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = llama()
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path, quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"), device_map="cpu"
    )
    weights = list(prepare_model_for_kbit_training(model, use_gradient_checkpointing=False).parameters())
    real = sum(weight.numel() * weight.element_size() for weight in weights)
    real += sum(weight.quant_state.absmax.nbytes for weight in weights if hasattr(weight, "quant_state"))
    found = estimate_memory(config, Method(name="qlora", rank=1, targets="q_proj"), Load(1, 8))
    assert found.weights == real + 4 * LAYERS * (HIDDEN + HIDDEN)


def test_adam_keeps_two_float32_moments_of_what_is_trained_and_the_total_is_the_sum() -> None:
    found = estimate_memory(llama(), Method(name="full"), Load(2, 16, labelled=3, dtype="bfloat16"))
    copies = 2 * sum(module.weight.numel() for module in empty_model(llama()).modules() if isinstance(module, Linear))
    assert (found.gradients, found.optimiser) == (found.weights - copies, 2 * (found.weights - copies))
    assert found.logits == 12 * 3 * WORDS
    assert found.total == found.weights + found.gradients + found.optimiser + found.activations + found.logits


def test_a_70b_base_is_estimated_without_its_weights() -> None:
    config = llama(
        hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=8,
        vocab_size=32000,
    )  # fmt: skip
    found = estimate_memory(config, Method(name="qlora", rank=16), Load(1, 1024, recompute=True))
    assert 38e9 < found.weights < 42e9  # 68.5 billion in 4.5 bits, the rest in 32
    assert isinstance(found, Memory) and found.total < 80e9


@pytest.mark.parametrize(("name", "options"), [
    ("batch_size", {"batch_size": 0}), ("tokens", {"tokens": -1}), ("labelled", {"labelled": 33}),
    ("dtype", {"dtype": "int8"}),
])  # fmt: skip
def test_a_load_that_makes_no_sense_is_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{name} is "):
        Load(**{"batch_size": 2, "tokens": 16, **options})


@pytest.mark.parametrize("kind", ["mixtral", "gptj"])
def test_an_architecture_that_needs_numbers_to_run_is_refused_by_name(kind: str) -> None:
    from transformers.models.auto import CONFIG_MAPPING

    shapes = {"mixtral": {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 1},
              "gptj": {"n_embd": 32, "n_head": 4, "n_layer": 1, "rotary_dim": 4}}  # fmt: skip
    config = CONFIG_MAPPING[kind](vocab_size=50, **shapes[kind])
    with pytest.raises(ConfigError, match=f"base is a {kind}, which can't run without weights"):
        estimate_memory(config, Method(targets="q_proj"), Load(1, 8))
