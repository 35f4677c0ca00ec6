"""What generates tokens: lists of requests in, lists of completions out, truly batched."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from llmops import digests
from llmops.errors import ConfigError, WeightsError
from llmops.models import attention
from llmops.models.adapter import BaseIdentity, adapter_digest, read_identity
from llmops.models.weights import Weights
from llmops.types import Completion, GenerationRequest, Progress

DTYPES = ("auto", "bfloat16", "float32")


class Engine(Protocol):
    """Answers requests in the order they were asked."""

    @property
    def identity(self) -> dict[str, str]:
        """Name, version and dtype: recorded with every answer."""

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]: ...


def resolve_dtype(name: str) -> str:
    """Turn "auto" into bfloat16 where the processor computes in it, else float32.

    Raises:
        ConfigError: `name` is not one of DTYPES.
    """
    if name not in DTYPES:
        raise ConfigError(f"dtype is {name!r}, expected one of {', '.join(DTYPES)}.")
    if name != "auto":
        return name
    import torch

    native = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


def base_identity(weights: Weights, tokenizer: Any) -> BaseIdentity:
    texts = (tokenizer.chat_template or "", _tokenizer_text(tokenizer))
    template, words = (digests.of_bytes(text.encode()) for text in texts)
    return BaseIdentity(weights.source, weights.digest, template, words, weights.revision)


def _tokenizer_text(tokenizer: Any) -> str:
    fast = getattr(tokenizer, "backend_tokenizer", None)
    return str(fast.to_str()) if fast is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)


def load_tokenizer(weights: Weights, chat: bool = True) -> Any:
    """Load a tokenizer; one without a padding token pads with the end of the turn.

    Raises:
        WeightsError: it is for a `chat`, and has no chat template.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.folder)
    if chat and not tokenizer.chat_template:
        raise WeightsError(f"{weights.source!r} has no chat template: it is no instruction-tuned model. Use one that is.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


class TransformersEngine:
    """Greedy decoding in this process with transformers; adapters share one base."""

    def __init__(self, weights: Weights, dtype: str = "auto", batch_size: int = 16) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.dtype = resolve_dtype(dtype)
        self.batch_size = batch_size
        self._tokenizer = load_tokenizer(weights)
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            weights.folder, dtype=getattr(torch, self.dtype), attn_implementation=attention.register()
        ).eval()
        if torch.cuda.is_available():
            self._model.to("cuda")
        self._base = base_identity(weights, self._tokenizer)
        self._adapters: set[str] = set()

    @property
    def identity(self) -> dict[str, str]:
        import transformers

        return {"name": "transformers", "version": transformers.__version__, "dtype": self.dtype}

    def load_adapter(self, folder: Path) -> str:
        """Load an adapter beside those already there; return the name to put into requests, its digest.

        Raises:
            ArtifactError: it belongs to another base.
        """
        name = adapter_digest(folder)
        if name not in self._adapters:
            from peft import PeftModel  # 4 s to import

            read_identity(folder).check(self._base)
            if self._adapters:
                self._model.load_adapter(str(folder), adapter_name=name)
            else:
                self._model = PeftModel.from_pretrained(self._model, str(folder), adapter_name=name).eval()
            self._adapters.add(name)
        return name

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        """Answer requests in batches of up to `batch_size`, those of like length together.

        A prompt is never cut.
        """
        completions: list[Completion | None] = [None] * len(requests)
        done = 0
        for batch, prompts in self._batches(requests):
            for i, completion in zip(batch, self._generate_batch(prompts, requests[batch[0]]), strict=True):
                completions[i] = completion
            done += len(batch)
            if progress:
                progress("answering", done, len(requests))
        return [completion for completion in completions if completion is not None]

    def _encode(self, request: GenerationRequest) -> list[int]:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        encoded = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return list(encoded["input_ids"])

    def score(self, requests: Sequence[GenerationRequest], answer: str) -> list[float]:
        """The log-probability, in nats, that the answer to each request begins with `answer`."""
        import torch

        said = list(self._tokenizer(answer, add_special_tokens=False)["input_ids"])
        scores = [0.0] * len(requests)
        for batch, prompts in self._batches(requests):
            ids, mask, shared = self._padded([[*prompt, *said] for prompt in prompts], keep=len(said) + 1)
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, shared:]
            with torch.inference_mode(), self._adapter(requests[batch[0]].adapter):
                logits = self._model(
                    input_ids=ids[:, shared:], attention_mask=mask, position_ids=positions, logits_to_keep=len(said) + 1,
                    past_key_values=self._prefix(ids[:1, :shared], len(batch)),
                ).logits[:, :-1]  # fmt: skip
            logprobs = logits.float().log_softmax(-1).gather(-1, ids[:, -len(said) :, None]).sum((1, 2))
            for i, logprob in zip(batch, logprobs.tolist(), strict=True):
                scores[i] = logprob
        return scores

    def _batches(self, requests: Sequence[GenerationRequest]) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Requests of one adapter and token limit, by their places, with their prompts; those of like length together."""
        prompts = [self._encode(request) for request in requests]
        order = sorted(range(len(requests)), key=lambda i: (_group(requests[i]), len(prompts[i])))
        done = 0
        while done < len(order):
            group = _group(requests[order[done]])
            batch = [i for i in order[done : done + self.batch_size] if _group(requests[i]) == group]
            yield batch, [prompts[i] for i in batch]
            done += len(batch)

    def _padded(self, prompts: list[list[int]], keep: int = 1) -> tuple[Any, Any, int]:
        """Ids and mask, each of shape (b, s), and how many first columns all prompts share; the rest is padded on its left.

        Of each prompt the last `keep` tokens are never among the shared ones.
        """
        import torch

        pad = self._tokenizer.pad_token_id
        shared = len(os.path.commonprefix(prompts)) if len(prompts) > 1 else 0
        shared = max(0, min(shared, min(map(len, prompts)) - keep))
        width = max(map(len, prompts))
        rows = [[*p[:shared], *[pad] * (width - len(p)), *p[shared:]] for p in prompts]
        seen = [[*[1] * shared, *[0] * (width - len(p)), *[1] * (len(p) - shared)] for p in prompts]
        ids, mask = (torch.tensor(values, device=self._model.device) for values in (rows, seen))
        return ids, mask, shared

    def _generate_batch(self, prompts: list[list[int]], request: GenerationRequest) -> list[Completion]:
        """Decode greedily. What all prompts begin with is computed once."""
        import torch

        stop, pad = _stop_tokens(self._tokenizer, self._model.generation_config), self._tokenizer.pad_token_id
        ids, mask, shared = self._padded(prompts)
        width = ids.shape[1]
        with torch.inference_mode(), self._adapter(request.adapter):
            output = self._model.generate(
                input_ids=ids, attention_mask=mask, past_key_values=self._prefix(ids[:1, :shared], len(prompts)),
                max_new_tokens=request.max_new_tokens, do_sample=False, eos_token_id=sorted(stop), pad_token_id=pad,
            )  # fmt: skip
        completions = []
        for prompt, row in zip(prompts, output[:, width:].tolist(), strict=True):
            end = next((i for i, token in enumerate(row) if token in stop), len(row))
            text = self._tokenizer.decode(row[:end], skip_special_tokens=True).strip()
            completions.append(Completion(text, len(prompt), end, "stop" if end < len(row) else "length"))
        return completions

    def _prefix(self, ids: Any, rows: int) -> Any:
        """The key-value cache of `ids`, shape (1, s), repeated for `rows` prompts; None where nothing is shared."""
        if ids.shape[1] == 0:
            return None
        from transformers import DynamicCache

        cache = self._model(input_ids=ids, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(rows)
        return cache

    def _adapter(self, name: str | None) -> Any:
        from contextlib import nullcontext

        if name is not None:
            self._model.set_adapter(name)
            return nullcontext()
        return self._model.disable_adapter() if self._adapters else nullcontext()


def read_stop_tokens(weights: Weights, tokenizer: Any) -> set[int]:
    """The tokens that end an answer of this model."""
    from transformers import GenerationConfig

    has = (weights.folder / "generation_config.json").is_file()
    return _stop_tokens(tokenizer, GenerationConfig.from_pretrained(weights.folder) if has else GenerationConfig())


def _stop_tokens(tokenizer: Any, generation: Any) -> set[int]:
    configured = generation.eos_token_id  # an id, a list of ids, or None
    return {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])} - {None}


def _group(request: GenerationRequest) -> tuple[str, int]:
    return (request.adapter or "", request.max_new_tokens)
