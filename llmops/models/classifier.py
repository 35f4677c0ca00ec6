"""A small text classifier: how sure it is that a text is what it was trained to find."""

from typing import Any

from llmops.errors import WeightsError
from llmops.models.tokenizer import load_tokenizer, read_window
from llmops.models.weights import Weights

_BATCH = 16  # windows


class TextClassifier:
    """Scores a text, in [0, 1], by a sequence classification model of two classes; the second is what is looked for.

    A text longer than the model's window is read in windows that overlap by a quarter, and has the highest of their scores.

    Raises:
        WeightsError: the model has other than two classes.
    """

    def __init__(self, weights: Weights) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification

        self._tokenizer = load_tokenizer(weights, chat=False)
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(weights.folder).eval()
        if torch.cuda.is_available():
            self._model.to("cuda")
        labels = self._model.config.num_labels
        if labels != 2:
            raise WeightsError(
                f"{weights.source!r} tells {labels} classes apart, expected 2: harmless and not. Take another."
            )
        self._window = min(self._tokenizer.model_max_length, read_window(weights))

    def __call__(self, text: str) -> float:
        import torch

        windows = self._tokenizer(
            text, truncation=True, max_length=self._window, stride=self._window // 4, return_overflowing_tokens=True,
            padding=True, return_tensors="pt",
        )  # fmt: skip
        windows.pop("overflow_to_sample_mapping")
        windows = windows.to(self._model.device)
        parts = zip(*(values.split(_BATCH) for values in windows.values()), strict=True)
        with torch.inference_mode():
            logits = [self._model(**dict(zip(windows, part, strict=True))).logits for part in parts]
        return float(torch.cat(logits).softmax(-1)[:, 1].max())
