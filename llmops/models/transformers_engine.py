"""Decoding in this process with transformers; adapters share one base."""

import os
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from llmops.errors import WindowError
from llmops.models import attention
from llmops.models.adapter import adapter_digest, read_identity
from llmops.models.decoding import Choice, TextPieces, TokenQueue
from llmops.models.engine import resolve_dtype
from llmops.models.tokenizer import ModelTokenizer, base_identity, stop_tokens
from llmops.models.weights import Weights
from llmops.types import Completion, GenerationRequest, Progress


class AdapterName(str):
    """The name of a loaded adapter, which stays loaded for as long as somebody holds this."""


class TransformersEngine:
    """Decoding, greedy or drawn, as each request says.

    Calls from several threads wait for each other; `MicroBatcher` makes one batch of them.
    """

    def __init__(self, weights: Weights, dtype: str = "auto", batch_size: int = 16) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.dtype = resolve_dtype(dtype)
        self.batch_size = batch_size
        self.tokenizer = ModelTokenizer(weights)
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            weights.folder, dtype=getattr(torch, self.dtype), attn_implementation=attention.register()
        ).eval()
        if torch.cuda.is_available():
            self._model.to("cuda")
        self._base = base_identity(weights, self.tokenizer.wrapped)
        self._stop = stop_tokens(self.tokenizer.wrapped, self._model.generation_config)
        self._adapters: WeakValueDictionary[str, AdapterName] = WeakValueDictionary()
        self._loaded: set[str] = set()  # in the model, some of which nobody may name any more
        self._busy = threading.Lock()  # which adapter is at work is a state of the model

    @property
    def identity(self) -> dict[str, str]:
        import transformers

        return {"name": "transformers", "version": transformers.__version__, "dtype": self.dtype}

    def load_adapter(self, folder: Path) -> str:
        """Load an adapter beside those already there; return the name to put into requests, its digest.

        It is freed before the next call once nobody holds the name, nor an equal one that was returned here.

        Raises:
            ArtifactError: it belongs to another base.
        """
        digest = adapter_digest(folder)
        with self._ready():
            if (known := self._adapters.get(digest)) is not None:
                return known
            from peft import PeftModel  # 4 s to import

            read_identity(folder).check(self._base)
            if self._loaded:
                self._model.load_adapter(str(folder), adapter_name=digest)
            else:
                self._model = PeftModel.from_pretrained(self._model, str(folder), adapter_name=digest).eval()
            self._loaded.add(digest)
            self._adapters[digest] = name = AdapterName(digest)
        return name

    @contextmanager
    def _ready(self) -> Iterator[None]:
        """The model, for one call at a time, with the adapters that are in use."""
        with self._busy:
            for unused in self._loaded.difference(self._adapters):
                if len(self._loaded) > 1:
                    self._model.delete_adapter(unused)
                else:
                    self._model = self._model.unload()
                self._loaded.remove(unused)
            yield

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        """Answer requests in batches of up to `batch_size`, those of like length together.

        Raises:
            WindowError: a prompt and its answer don't fit the model's window. A prompt is never cut.
        """
        completions: list[Completion | None] = [None] * len(requests)
        done = 0
        for batch, prompts in self._batches(requests):
            with self._ready():
                answers = self._generate_batch(prompts, [requests[i] for i in batch])
            for i, completion in zip(batch, answers, strict=True):
                completions[i] = completion
            done += len(batch)
            if progress:
                progress("answering", done, len(requests))
        return [completion for completion in completions if completion is not None]

    def stream(self, request: GenerationRequest) -> Generator[str, None, Completion]:
        """Yield an answer's text as it comes, and return the whole; decoding stops when nobody listens any more.

        Raises:
            WindowError: the prompt and its answer don't fit the model's window.
        """
        prompt, queue, pieces = self._encode(request), TokenQueue(), TextPieces(self.tokenizer.wrapped)
        with ThreadPoolExecutor(1, "stream") as thread:
            answer = thread.submit(self._stream, prompt, request, queue)
            try:
                while (token := queue.tokens.get()) is not None:
                    if token not in self._stop and (piece := pieces.add(token)):
                        yield piece
            finally:
                queue.given_up.set()
        completion = answer.result()
        if rest := pieces.rest(completion.text):
            yield rest
        return completion

    def _stream(self, prompt: list[int], request: GenerationRequest, queue: TokenQueue) -> Completion:
        try:
            with self._ready():
                return self._generate_batch([prompt], [request], queue)[0]
        finally:
            queue.tokens.put(None)

    def score(self, requests: Sequence[GenerationRequest], answer: str) -> list[float]:
        """The log-probability, in nats, that the answer to each request begins with `answer`."""
        import torch

        said = list(self.tokenizer.wrapped(answer, add_special_tokens=False)["input_ids"])
        scores = [0.0] * len(requests)
        for batch, prompts in self._batches(requests):
            ids, mask, shared = self._padded([[*prompt, *said] for prompt in prompts], keep=len(said) + 1)
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, shared:]
            with self._ready(), torch.inference_mode(), self._adapter(requests[batch[0]].adapter):
                logits = self._model(
                    input_ids=ids[:, shared:], attention_mask=mask, position_ids=positions, logits_to_keep=len(said) + 1,
                    past_key_values=self._prefix(ids[:1, :shared], len(batch)),
                ).logits[:, :-1]  # fmt: skip
            logprobs = logits.float().log_softmax(-1).gather(-1, ids[:, -len(said) :, None]).sum((1, 2))
            for i, logprob in zip(batch, logprobs.tolist(), strict=True):
                scores[i] = logprob
        return scores

    def _encode(self, request: GenerationRequest) -> list[int]:
        prompt, window = self.tokenizer.encode(request.messages), self.tokenizer.window
        if len(prompt) + request.max_new_tokens > window:
            raise WindowError(
                f"a prompt of {len(prompt)} tokens and an answer of up to {request.max_new_tokens} don't fit the model's "
                f"window of {window}. Show fewer passages or examples, or take a model with a longer one."
            )
        return prompt

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

        pad = self.tokenizer.wrapped.pad_token_id
        shared = len(os.path.commonprefix(prompts)) if len(prompts) > 1 else 0
        shared = max(0, min(shared, min(map(len, prompts)) - keep))
        width = max(map(len, prompts))
        rows = [[*p[:shared], *[pad] * (width - len(p)), *p[shared:]] for p in prompts]
        seen = [[*[1] * shared, *[0] * (width - len(p)), *[1] * (len(p) - shared)] for p in prompts]
        ids, mask = (torch.tensor(values, device=self._model.device) for values in (rows, seen))
        return ids, mask, shared

    def _generate_batch(
        self, prompts: list[list[int]], requests: Sequence[GenerationRequest], queue: TokenQueue | None = None
    ) -> list[Completion]:
        """Decode requests of one adapter and token limit. What all prompts begin with is computed once."""
        import torch

        ids, mask, shared = self._padded(prompts)
        choice = Choice(requests, self._model.device)
        with torch.inference_mode(), self._adapter(requests[0].adapter):
            output = self._model.generate(
                input_ids=ids, attention_mask=mask, past_key_values=self._prefix(ids[:1, :shared], len(prompts)),
                max_new_tokens=requests[0].max_new_tokens, do_sample=False, eos_token_id=sorted(self._stop),
                pad_token_id=self.tokenizer.wrapped.pad_token_id, logits_processor=[choice],
                **({"streamer": queue, "stopping_criteria": [queue]} if queue else {}),
            )  # fmt: skip
        rows = output[:, ids.shape[1] :].tolist()
        return [self._completion(prompt, row, i, choice) for i, (prompt, row) in enumerate(zip(prompts, rows, strict=True))]

    def _completion(self, prompt: list[int], row: list[int], place: int, choice: Choice) -> Completion:
        end = next((i for i, token in enumerate(row) if token in self._stop), len(row))
        text = self.tokenizer.wrapped.decode(row[:end], skip_special_tokens=True).strip()
        reason = "stop" if end < len(row) else "length"
        return Completion(text, len(prompt), end, reason, choice.of_row(place, min(end + 1, len(row))))

    def _prefix(self, ids: Any, rows: int) -> Any:
        """The key-value cache of `ids`, shape (1, s), repeated for `rows` prompts; None where nothing is shared."""
        if ids.shape[1] == 0:
            return None
        from transformers import DynamicCache

        cache = self._model(input_ids=ids, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(rows)
        return cache

    def _adapter(self, name: str | None) -> Any:
        if name is not None:
            self._model.set_adapter(str(name))  # it keeps what it is given
            return nullcontext()
        return self._model.disable_adapter() if self._loaded else nullcontext()


def _group(request: GenerationRequest) -> tuple[str, int]:
    return (request.adapter or "", request.max_new_tokens)
