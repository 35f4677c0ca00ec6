"""Ways to run a sentence-transformers model.

They differ in how the first module, the transformer, is run. Those after it (pooling, dense, normalize) are the model's own,
in fp32.
"""

import copy
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import ConfigError

BACKENDS = ("torch-fp32", "torch-bf16", "openvino-fp32", "openvino-bf16")  # the plainer first
MIN_COSINE = 0.999  # to fp32; bf16 gives .9999

Features = Mapping[str, Any]
Forward = Callable[[Features], npt.NDArray[np.float32]]
"""A padded batch's features -> sentence embeddings, float32, shape (n, dim), of any norm."""


def check_backend(name: str) -> None:
    """Refuse a backend that doesn't exist or isn't installed.

    Raises:
        ConfigError: `name` is neither "auto" nor one of BACKENDS, or needs a package that is missing.
    """
    if name != "auto" and name not in BACKENDS:
        raise ConfigError(f"unknown embedding backend {name!r}. Choose one of: auto, {', '.join(BACKENDS)}.")
    if name.startswith("openvino") and find_spec("openvino") is None:
        raise ConfigError(f"backend {name!r} needs openvino. Run: pip install 'mlflow-llmops[openvino]'.")


def open_backend(model: Any, name: str, device: str, samples: Sequence[Features]) -> Forward:
    """`model` as a function from features to vectors; it may share weights with `model`. `samples` are batches to try.

    Raises:
        ConfigError: OpenVINO can't run this model, or not with the vectors it has in fp32.
    """
    forward = make_forward(model, name, device, samples)
    if name.startswith("openvino"):
        cosine = least_cosine(
            embed_batches(forward, samples), embed_batches(make_forward(model, "torch-fp32", device, samples), samples)
        )
        if not cosine >= MIN_COSINE:
            raise ConfigError(f"backend {name!r} changes this model's vectors: cosine {cosine:.4f} to fp32. Choose another.")
    return forward


def make_forward(model: Any, name: str, device: str, samples: Sequence[Features]) -> Forward:
    """Run `model`'s transformer the way that `name` says, then its other modules in fp32."""
    import torch

    head, *tail = model
    if name == "torch-bf16":
        keep = {id(part): part for part in (getattr(head, "processor", None),)}  # the tokenizer is not copied
        head = copy.deepcopy(head, keep).to(torch.bfloat16)
    elif name.startswith("openvino"):
        try:
            head, device = _openvino(head, samples[0], {"fp32": "f32", "bf16": "bf16"}[name.split("-")[1]]), "cpu"
        except Exception as error:  # whatever a tracer meets in a model it doesn't know
            reason = f"OpenVINO doesn't convert it ({type(error).__name__})"
            raise ConfigError(f"backend {name!r} can't run this model: {reason}. Choose another.") from error
    tail = [module.to(device) for module in tail]

    def forward(features: Features) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            batch = {key: value.to(device) if torch.is_tensor(value) else value for key, value in features.items()}
            batch = {key: _fp32(value) for key, value in head(batch).items()}
            for module in tail:
                batch = module(batch)
            vectors: npt.NDArray[np.float32] = batch["sentence_embedding"].cpu().numpy()
            return vectors

    return forward


def _fp32(value: Any) -> Any:
    import torch

    return value.float() if torch.is_tensor(value) and value.is_floating_point() else value


def _openvino(transformer: Any, sample: Features, precision: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The transformer traced, converted and compiled, for batches of any size and length."""
    ov = import_openvino()
    import torch

    names = [name for name, value in sample.items() if torch.is_tensor(value)]
    output = transformer.module_output_name

    class Traced(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, *inputs: Any) -> Any:
            return self.transformer(dict(zip(names, inputs, strict=True)))[output]

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracer's, on branches that don't depend on the input
        traced = ov.convert_model(Traced().eval(), example_input=tuple(sample[name] for name in names))
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled, lock = ov.Core().compile_model(traced, "CPU", settings), Lock()

    def run(features: dict[str, Any]) -> dict[str, Any]:
        with lock:  # a compiled model answers one caller at a time
            hidden = compiled([features[name].numpy() for name in names])[0]
        return {**features, output: torch.from_numpy(hidden)}

    return run


def import_openvino() -> Any:
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would report each use to its maker
    import openvino

    return openvino


def embed_batches(forward: Forward, samples: Sequence[Features]) -> npt.NDArray[np.float32]:
    return np.concatenate([forward(features) for features in samples])


def least_cosine(some: npt.NDArray[np.float32], exact: npt.NDArray[np.float32]) -> float:
    """The smallest cosine between vectors of the same text; NaN where one isn't finite."""
    norms = np.linalg.norm(some, axis=1) * np.linalg.norm(exact, axis=1)
    return float(((some * exact).sum(axis=1) / norms.clip(min=1e-12)).min())
