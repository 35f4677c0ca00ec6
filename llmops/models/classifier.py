"""A small text classifier: how sure it is that a text is what it was trained to find."""

from typing import Any

from llmops.errors import WeightsError
from llmops.models.weights import Weights


class TextClassifier:
    """Scores a text, in [0, 1], by a sequence classification model of two classes; the second is what is looked for.

    Raises:
        WeightsError: the model has other than two classes.
    """

    def __init__(self, weights: Weights) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(weights.folder)
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(weights.folder).eval()
        labels = self._model.config.num_labels
        if labels != 2:
            raise WeightsError(
                f"{weights.source!r} tells {labels} classes apart, expected 2: harmless and not. Take another."
            )

    def __call__(self, text: str) -> float:
        import torch

        inputs = self._tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return float(self._model(**inputs).logits[0].softmax(-1)[1])
