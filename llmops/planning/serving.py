"""Whether vLLM can serve an adapter beside its base, known before it is trained.

What vLLM 0.32 checks when it loads one: vllm/lora/peft_helper.py, vllm/config/lora.py, vllm/lora/lora_model.py. The kinds of
bases are those of vllm/model_executor/models, whose classes say what takes an adapter.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from llmops.errors import ConfigError
from llmops.finetuning.method import Method
from llmops.planning.sizes import empty_model, read_config

MAX_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
MAX_HEAD_VOCABULARY = 258_048
HARMLESS_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")  # others change the base's weights
UNSERVED = (  # features of PEFT that are refused, and how to do without
    ("use_dora", "DoRA: train with variant plain or rslora"),
    ("lora_bias", "lora_bias: train without biases"),
    ("trainable_token_indices", "trainable_token_indices: target embed_tokens instead"),
    ("target_parameters", "target_parameters: target linear layers instead"),
    ("alora_invocation_tokens", "activated LoRA: train a plain one"),
    ("layer_replication", "layer_replication: train without it"),
    ("use_bdlora", "block-diagonal LoRA: train a plain one"),
    ("use_qalora", "QALoRA: train a plain one"),
)
NO_ADAPTERS = frozenset(  # kinds of bases that take none
    "bloom cohere2_moe dbrx deepseek_v32 deepseek_v4 falcon falcon_mamba gemma3n gemma3n_text glm_moe_dsa gpt2 gptj "
    "hrm_text kimi_linear mamba mamba2 stablelm step3p5 zamba2".split()
)
EMBEDDINGS = dict.fromkeys(  # kinds of bases that take adapters on these
    "apertus ernie4_5 exaone4 exaone_moe falcon_h1 granite granitemoe granitemoehybrid granitemoeshared hyperclovax jamba "
    "lfm2 lfm2_moe llama llama4_text minicpm3 mixtral nemotron nemotron_h phi3 phimoe qwen3 qwen3_moe qwen3_5_text "
    "qwen3_5_moe_text".split(),
    ("embed_tokens", "lm_head"),
) | dict.fromkeys(("cohere", "cohere2"), ("embed_tokens",))


def unservable(adapter: Method | Mapping[str, Any], base: Any) -> list[str]:
    """Why vLLM won't serve an adapter, a line each; nothing where it will, and for a full training: that is a base itself.

    `adapter` is a method or what adapter_config.json holds; `base` is as `read_config` takes it.

    Raises:
        ConfigError: there is no such base, or it has none of the adapter's target modules.
    """
    if isinstance(adapter, Method) and adapter.name == "full":
        return []
    config = read_config(base)
    entries = _entries(adapter, config)
    if entries.get("peft_type", "LORA") != "LORA":
        return [f"peft_type is {entries['peft_type']}: only LORA is served."]
    return [*_features(entries), *_base(config), *_modules(entries, config)]


def max_lora_rank(adapter: Method | Mapping[str, Any]) -> int:
    """The least `--max-lora-rank` that vLLM has to be started with.

    Raises:
        ConfigError: the rank is above what vLLM takes.
    """
    rank = adapter.rank if isinstance(adapter, Method) else _rank(adapter)
    for allowed in MAX_LORA_RANKS:
        if rank <= allowed:
            return allowed
    raise ConfigError(f"rank is {rank}, expected at most {MAX_LORA_RANKS[-1]}, the most that vLLM takes.")


def _entries(adapter: Method | Mapping[str, Any], config: Any) -> Mapping[str, Any]:
    if not isinstance(adapter, Method):
        return adapter
    made: dict[str, Any] = adapter.peft_config(config).to_dict()
    return made


def _rank(entries: Mapping[str, Any]) -> int:
    """The highest rank of any module."""
    ranks = [entries.get("r"), *(entries.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and rank > 0 for rank in ranks):
        raise ConfigError(f"the adapter's ranks are {ranks}, expected whole numbers above 0. Give its adapter_config.json.")
    return int(max(ranks))


def _features(entries: Mapping[str, Any]) -> Iterator[str]:
    if (rank := _rank(entries)) > MAX_LORA_RANKS[-1]:
        yield f"rank {rank}: at most {MAX_LORA_RANKS[-1]} is served."
    yield from (f"{feature}." for name, feature in UNSERVED if entries.get(name))
    if entries.get("bias", "none") != "none":
        yield f"bias is {entries['bias']!r}: train with bias 'none'."
    if saved := entries.get("modules_to_save"):
        yield f"modules_to_save is {', '.join(saved)}: make them targets instead."
    start = entries.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower() not in HARMLESS_STARTS:
        yield f"init_lora_weights is {start!r}, which changes the base: convert the adapter to a plain one with PEFT."


def _base(config: Any) -> Iterator[str]:
    kind, words = config.model_type, config.get_text_config().vocab_size
    if kind in NO_ADAPTERS:
        yield f"the base is a {kind}, which takes no adapters: merge it into the base."
    if "lm_head" in EMBEDDINGS.get(kind, ()) and words > MAX_HEAD_VOCABULARY:
        yield f"the base has {words} tokens: with adapters at most {MAX_HEAD_VOCABULARY} are served."


def _modules(entries: Mapping[str, Any], config: Any) -> Iterator[str]:
    """Reasons among the modules that the adapter is put on: all linear layers are served but the head."""
    import torch

    taken = EMBEDDINGS.get(config.model_type, ())
    model = empty_model(config)
    head = model.get_output_embeddings()
    refused = {
        name
        for name, module in _targets(model, entries)
        if name not in taken and (module is head or not isinstance(module, torch.nn.Linear))
    }
    for name in sorted(refused):
        yield f"target {name}: not served on a {config.model_type}; leave it out."


def _targets(model: Any, entries: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The last part of the name, and the module, for all that PEFT puts an adapter on."""
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    where = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "target_parameters")
    chosen = {name: entries[name] for name in where if entries.get(name) is not None}
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's advice on saving tied weights: nothing is saved here
            get_peft_model(model, LoraConfig(r=1, task_type="CAUSAL_LM", **chosen))
    except ValueError as error:
        raise ConfigError(f"target_modules: {str(error).splitlines()[0]}") from error
    layers = ((name, module) for name, module in model.named_modules() if isinstance(module, BaseTunerLayer))
    return [(name.rpartition(".")[2], module.get_base_layer()) for name, module in layers]
