"""Whether an adapter may be loaded into vLLM, which takes much that it then can't serve, and the folder it is loaded from.

A registered adapter has a name and a folder of its own for each version: vLLM remembers what it read by both.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmops import digests, files
from llmops.errors import ArtifactError, ConfigError
from llmops.models.adapter import BaseIdentity, read_identity
from llmops.planning.serving import max_lora_rank, unservable
from llmops.planning.sizes import empty_model, read_config
from llmops.serving import state
from llmops.serving.engine.flags import EngineSpec

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_OF_BASE = ".base_layer.weight"  # PEFT may store the base's own embeddings beside an adapter on them; nobody reads those


def engine_name(uri: str, digest: str) -> str:
    """The name an engine knows a version of an adapter by, such as handbook-adapter-3-0123456789ab."""
    return f"{uri.removeprefix('models:/').replace('/', '-').replace('@', '-')}-{digest[:12]}"


def place_adapter(source: Path, name: str, digest: str) -> Path:
    """Copy an adapter's files to where engines load it from, whole or not at all; they stay until it is unloaded.

    Raises:
        ArtifactError: what was copied isn't what has this digest.
        LLMOpsError: the disk is full.
    """
    files.make_private(adapters_folder())
    target = adapters_folder() / name
    if target.is_dir() and digests.of_folder(target) != digest:
        shutil.rmtree(target)  # damaged since
    if not target.is_dir():
        with files.told_when_full(target.parent, "nothing was loaded"), files.new_folder(target) as scratch:
            shutil.copytree(source, scratch, dirs_exist_ok=True)
            if (found := digests.of_folder(scratch)) != digest:
                raise ArtifactError(f"adapter {name} has digest {found[:12]}, expected {digest[:12]}. Fetch it anew.")
    os.utime(target)  # it is new here, whenever it was made
    return target


def remove_adapter(name: str) -> None:
    """Remove an adapter's files, once no engine has it."""
    shutil.rmtree(adapters_folder() / name, ignore_errors=True)


def adapters_folder() -> Path:
    return state.state_folder() / "adapters"


def check_adapter(folder: Path, spec: EngineSpec) -> None:
    """Check that an engine of this spec serves what the adapter is.

    Raises:
        ArtifactError: it is of another base, has features or a rank that aren't served, tensors that the base has no place
            for or that are missing, or values that are no numbers.
    """
    read_identity(folder).check(BaseIdentity(spec.base, spec.base_digest, spec.template_digest))
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        reasons, rank = unservable(config, spec.folder), max_lora_rank(config)
    except (ValueError, ConfigError) as error:
        raise ArtifactError(f"{folder.name}: {error}") from error
    if reasons:
        raise ArtifactError(f"{folder.name} can't be served: {' '.join(reasons)}")
    if rank > spec.max_rank:
        raise ArtifactError(
            f"{folder.name} has rank {rank}, and the engine takes at most {spec.max_rank}: it has to be started anew for it."
        )
    if wrong := next(_wrong_tensors(folder, spec), ""):
        raise ArtifactError(f"{folder.name}: {wrong} Train the adapter anew, or register it again.")


def _wrong_tensors(folder: Path, spec: EngineSpec) -> Iterator[str]:
    """What is wrong with the file of weights, which is read tensor by tensor."""
    import torch
    from safetensors import SafetensorError, safe_open

    expected = expected_tensors(folder, spec.folder)
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys() if _OF_BASE not in name}
            yield from _differences(shapes, expected)
            for name in shapes:
                if not torch.isfinite(file.get_tensor(name).to(getattr(torch, spec.dtype))).all():
                    yield f"{name} holds values that are no numbers (in {spec.dtype})."
    except (SafetensorError, OSError) as error:
        yield f"{WEIGHTS} can't be read ({str(error).splitlines()[0]})."


def expected_tensors(folder: Path, base: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that an adapter of this configuration has on this base, as PEFT saves them."""
    import torch
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    config = LoraConfig.from_pretrained(str(folder))
    config.init_lora_weights = True  # other starts compute, and here are no values
    with torch.device("meta"):
        model = get_peft_model(empty_model(read_config(base)), config)
    tensors: Mapping[str, Any] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _differences(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    for name in sorted(found.keys() - expected.keys()):
        near = next(iter(sorted(expected)), "none")
        yield f"its tensor {name} has no place in the base, where names are like {near}: it would be left out in silence."
    for name in sorted(expected.keys() - found.keys()):
        yield f"its configuration has a tensor {name}, and its weights don't."
    for name in sorted(found):
        if found[name] != expected[name]:
            yield f"its tensor {name} has shape {found[name]}, and the base a place for {expected[name]}."
