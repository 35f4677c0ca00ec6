"""A cross-encoder reads question and passage together: slower than comparing vectors, and more exact."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import WeightsError
from llmops.models.weights import Weights

BATCH_SIZE = 16


class CrossEncoderReranker:
    """A sentence-transformers cross-encoder with one score, on the CPU or the first GPU.

    Raises:
        WeightsError: the weights are of another kind of model.
    """

    def __init__(self, weights: Weights) -> None:
        _check_architecture(weights)
        from sentence_transformers import CrossEncoder  # 5.6 s to import
        from torch.nn import Sigmoid

        self.source, self.digest = weights.source, weights.digest
        try:
            # some models are saved with another activation: naming it keeps every score in [0, 1]
            self._model: Any = CrossEncoder(str(weights.folder), activation_fn=Sigmoid(), local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise WeightsError(f"{weights.source!r} can't be loaded as a cross-encoder: {reason}") from error
        if self._model.num_labels != 1:
            raise WeightsError(f"{weights.source!r} gives {self._model.num_labels} scores a pair; a reranker must give one.")

    def scores(self, query: str, passages: Sequence[str]) -> npt.NDArray[np.float32]:
        """Score each passage for the query, in [0, 1], higher is better; float32, shape (n_passages,).

        Pairs longer than the model reads are cut at their end; batches hold pairs of like length.
        """
        if not passages:
            return np.empty(0, dtype=np.float32)
        pairs = [(query, passage) for passage in passages]
        return np.asarray(self._model.predict(pairs, batch_size=BATCH_SIZE, show_progress_bar=False), dtype=np.float32)


def _check_architecture(weights: Weights) -> None:
    """Any encoder loads as a cross-encoder, with a random last layer: the scores would be noise."""
    try:
        architectures = json.loads((weights.folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{weights.source!r} is no cross-encoder: its config.json names no architecture.") from error
    if not any(str(name).endswith("ForSequenceClassification") for name in architectures or ()):
        named = ", ".join(map(str, architectures or ())) or "model without a name"
        raise WeightsError(
            f"{weights.source!r} is no cross-encoder: it is a {named}, expected a ...ForSequenceClassification."
        )
