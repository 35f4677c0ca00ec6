"""Proof that what was saved computes what was trained, read back from disk: the same tokens in, the same answers out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmops import digests
from llmops.errors import ArtifactError
from llmops.finetuning.forgetting import Forgetting
from llmops.finetuning.tokens import IGNORED, Row
from llmops.finetuning.trainable import Trainable, load_base
from llmops.models.adapter import read_identity
from llmops.models.engine import resolve_dtype
from llmops.models.tokenizer import base_identity, load_tokenizer

RELOAD_TOLERANCE = 1e-3  # of logits, in the dtype of training
# Of a merged model's logits, as a share of the largest, by the dtype of either side.
MERGE_TOLERANCES = {"float32": 1e-3, "bfloat16": 0.2}
_GREEDY_TOKENS = 16
_CHAT = [{"role": "user", "content": "How long is leave?"}, {"role": "assistant", "content": "Thirty days."}]


@dataclass(frozen=True)
class Probe:
    """Token ids, and what the trained model says of them: any engine that serves it has to say the same.

    `logprobs` are those of the tokens at `positions`, which were learned; `greedy_ids` go on from what stands before them.
    """

    input_ids: tuple[int, ...]
    positions: tuple[int, ...]
    logprobs: tuple[float, ...]
    greedy_ids: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """How far two forms of a model are apart on the probes: the largest differences of logits and of log-probabilities.

    Logits may differ by `tolerance`; None is any difference, where the two are known to differ.
    """

    logit_difference: float
    logprob_difference: float
    greedy_equal: bool
    tolerance: float | None


@dataclass(frozen=True)
class Template:
    """How messages become tokens: the template, bytes that it renders, and the special tokens."""

    digest: str
    rendered_digest: str
    special_tokens: dict[str, int]


@dataclass(frozen=True)
class Certificate:
    """What was compared. Of a whole model `merge_from_trained` is None, and `effect` and `merge` are unless it was merged.

    `effect` is how far training moved the base's logits; `reload` compares what was read back with the trained model,
    `merge` the merged model with base and adapter in float32, and `merge_from_trained` with the trained model as it
    was: in its dtype, and of QLoRA on a base in 4 bits, which no merge can equal.
    """

    probes: tuple[Probe, ...]
    template: Template
    reload: Comparison
    effect: float | None = None
    merge: Comparison | None = None
    merge_from_trained: Comparison | None = None
    forgetting: Forgetting | None = None


@dataclass(frozen=True)
class Said:
    """What a model says of rows: logits before each learned token, float32, (n, vocabulary); those tokens; answers."""

    logits: Any
    tokens: Any
    greedy: list[list[int]]

    @property
    def logprobs(self) -> Any:
        return self.logits.log_softmax(-1).gather(-1, self.tokens[:, None])[:, 0]


def certify(trained: Trainable, folder: Path, rows: Sequence[Row], forgetting: Forgetting | None = None) -> Certificate:
    """Compare the trained model with what is read back from `folder`, and an adapter's merge into its base with both.

    Raises:
        ArtifactError: they differ by more than the tolerances, aren't finite, or an adapter changes nothing.
    """
    said = measure(trained.model, rows)
    if trained.kind == "adapter":
        certificate = _certify_adapter(trained, folder, rows, said)
    else:
        certificate = _certify_model(trained.model, trained.tokenizer, folder, rows, said)
    _check(certificate, trained.kind)
    return replace(certificate, forgetting=forgetting)


def certify_merged(
    merged: Any, tokenizer: Any, folder: Path, rows: Sequence[Row], apart: Said, plain: Said
) -> Certificate:  # fmt: skip
    """Compare a merged model with what base and adapter say `apart`, and with what is read back from `folder`.

    It has to be nearer to them than they are to what the base alone says, `plain`.

    Raises:
        ArtifactError: they differ by more than the tolerances.
    """
    effect = _difference(apart.logits, plain.logits)
    dtype = str(merged.dtype).removeprefix("torch.")
    said = measure(merged, rows)
    certificate = replace(
        _certify_model(merged, tokenizer, folder, rows, said),
        effect=effect,
        merge=_compare(said, apart, min(_merge_tolerance(apart, dtype), effect)),
    )
    _check(certificate, "base")
    return certificate


def _certify_model(model: Any, tokenizer: Any, folder: Path, rows: Sequence[Row], said: Said) -> Certificate:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    template = _describe(AutoTokenizer.from_pretrained(folder))
    if template != _describe(tokenizer):
        raise ArtifactError("the tokenizer that is read back renders a chat otherwise than that of training. Train it anew.")
    reloaded = AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype).to(model.device)
    return Certificate(_probes(rows, said), template, _compare(measure(reloaded, rows), said, RELOAD_TOLERANCE))


def _certify_adapter(trained: Trainable, folder: Path, rows: Sequence[Row], said: Said) -> Certificate:
    from peft import PeftModel

    weights, quantised = trained.weights, trained.method.name == "qlora"
    tokenizer = load_tokenizer(weights, chat=False)
    read_identity(folder).check(base_identity(weights, tokenizer))
    dtype, place = resolve_dtype(trained.dtype), trained.model.device
    base = load_base(weights, dtype, quantised)
    if not quantised:
        trained.model.to("cpu")  # where room on a GPU is short, one of the two is enough
        base = base.to(place)
    plain = measure(base, rows)
    found = measure(PeftModel.from_pretrained(base, str(folder)), rows)
    del base
    whole = PeftModel.from_pretrained(_where_it_fits(load_base(weights, "float32"), place), str(folder))
    apart = measure(whole, rows)
    merged = measure(whole.merge_and_unload(), rows)
    return Certificate(
        _probes(rows, said), _describe(tokenizer), _compare(found, said, RELOAD_TOLERANCE),
        effect=_difference(said.logits, plain.logits),
        merge=_compare(merged, apart, _merge_tolerance(apart, "float32")),
        merge_from_trained=_compare(merged, said, None if quantised else _merge_tolerance(said, dtype)),
    )  # fmt: skip


def _where_it_fits(model: Any, place: Any) -> Any:
    """The model on the GPU `place`, many times faster, or left on the processor where there is no GPU or too little room."""
    import torch

    if place.type != "cuda":
        return model
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(place)
    needed = sum(weight.nbytes for weight in model.parameters())
    return model.to(place) if 1.5 * needed < free else model


def _merge_tolerance(said: Said, dtype: str) -> float:
    return MERGE_TOLERANCES[dtype] * float(said.logits.abs().max())


def _check(certificate: Certificate, kind: str) -> None:
    found = certificate
    if not found.reload.logit_difference < float("inf"):
        raise ArtifactError(f"the trained {kind} gives logits that are not finite. Lower the learning rate.")
    if found.effect == 0:
        raise ArtifactError("the adapter changes nothing: its logits equal the base's. It was not registered.")
    if not _within(found.reload) or not found.reload.greedy_equal:
        raise ArtifactError(
            f"the saved {kind} is not the trained one: logits differ by {found.reload.logit_difference:.4g}, expected "
            f"at most {found.reload.tolerance:g}. It was not registered."
        )
    for merge in (found.merge, found.merge_from_trained):
        if merge is not None and not _within(merge):
            raise ArtifactError(
                f"the adapter merged into its base computes something else: logits differ by {merge.logit_difference:.4g}, "
                f"expected at most {merge.tolerance:g}. It was not registered."
            )


def _within(comparison: Comparison) -> bool:
    return comparison.tolerance is None or comparison.logit_difference <= comparison.tolerance


def measure(model: Any, rows: Sequence[Row]) -> Said:
    """What a model says of rows."""
    import torch

    model.eval()
    logits, tokens, greedy = [], [], []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row["input_ids"]], device=model.device)
            keep = torch.tensor([place - 1 for place in _learned(row)], device=model.device)
            logits.append(model(input_ids=ids, logits_to_keep=keep, use_cache=False).logits[0].float().cpu())
            tokens.append(ids[0, keep + 1].cpu())
            prompt = ids[:, : int(keep[0]) + 1]
            answered = model.generate(
                input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=_GREEDY_TOKENS,
                pad_token_id=0,
            )  # fmt: skip
            greedy.append(answered[0, prompt.shape[1] :].tolist())
    return Said(torch.cat(logits), torch.cat(tokens), greedy)


def _learned(row: Row) -> list[int]:
    """The positions of the tokens that are learned, the first of a row apart: nothing comes before it."""
    return [place for place, label in enumerate(row["labels"]) if label != IGNORED and place > 0]


def _probes(rows: Sequence[Row], said: Said) -> tuple[Probe, ...]:
    logprobs = iter(said.logprobs.tolist())
    return tuple(
        Probe(
            tuple(row["input_ids"]), tuple(places := _learned(row)), tuple(round(next(logprobs), 6) for _ in places),
            tuple(answer),
        )
        for row, answer in zip(rows, said.greedy, strict=True)
    )  # fmt: skip


def _compare(found: Said, wanted: Said, tolerance: float | None) -> Comparison:
    logits, logprobs = _difference(found.logits, wanted.logits), _difference(found.logprobs, wanted.logprobs)
    return Comparison(logits, logprobs, found.greedy == wanted.greedy, tolerance)


def _difference(found: Any, wanted: Any) -> float:
    """The largest difference; infinite where either has a value that isn't finite."""
    import torch

    finite = torch.isfinite(found).all() and torch.isfinite(wanted).all()
    return float((found - wanted).abs().max()) if finite else float("inf")


def _describe(tokenizer: Any) -> Template:
    """How a tokenizer renders a chat; of one without a template, digests of nothing."""
    template = tokenizer.chat_template or ""
    rendered = str(tokenizer.apply_chat_template(_CHAT, tokenize=False)) if template else ""
    names = [name for name in ("bos_token", "eos_token", "pad_token") if getattr(tokenizer, name) is not None]
    special = {name: int(getattr(tokenizer, f"{name}_id")) for name in names}
    return Template(digests.of_bytes(template.encode()), digests.of_bytes(rendered.encode()), special)
