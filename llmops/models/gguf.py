"""Turn a GGUF file into a plain transformers folder, once."""

import copy
import sys
from contextlib import redirect_stderr
from importlib.metadata import version
from io import StringIO
from pathlib import Path

from llmops import digests
from llmops.files import new_folder
from llmops.models.cache import cache_folder


def convert_gguf(file: Path) -> Path:
    """Dequantise a GGUF causal LM to fp32 safetensors with its tokenizer; return the folder, cached by the file's digest.

    transformers loads GGUF into a model that refuses to be saved, so the weights move to a fresh model whose config
    doesn't say that it is quantised.
    """
    import transformers

    converter = [transformers.__version__, version("gguf"), digests.of_file(Path(__file__))]
    target = cache_folder() / "converted" / digests.of_data([digests.of_file(file), *converter])
    if target.is_dir():
        return target
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"converting {file.name}, once ...", file=sys.stderr, flush=True)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    with redirect_stderr(StringIO()):  # a bar that no setting of transformers turns off
        loaded = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = copy.deepcopy(loaded.config)
    del config.quantization_config
    config.architectures = [type(loaded).__name__]
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    for name in ("bos_token", "eos_token", "pad_token"):  # the converted tokenizer gets eos wrong and pad not at all
        token_id = getattr(config, f"{name}_id")
        if token_id is not None:
            setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(token_id))
    tokenizer.clean_up_tokenization_spaces = False
    with new_folder(target) as scratch:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
    return target
