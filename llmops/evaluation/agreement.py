"""How far two raters agree on categories: the share of equal labels, Cohen's kappa and Gwet's AC1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import DataError
from llmops.evaluation.statistics import Interval, cluster_resamples

Floats = npt.NDArray[np.float64]
_NO_SPREAD = 1e-12  # agreement by chance that is 1, up to rounding


@dataclass(frozen=True)
class Agreement:
    """Two raters on the same items. `kappa` is None where it is undefined: both gave everything one and the same label."""

    share: Interval
    kappa: Interval | None
    ac1: Interval

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Agreement":
        return cls(**{name: value and Interval(**value) for name, value in data.items()})


def equal_share(tables: Floats) -> Floats:
    """The share of equal labels, for tables of counts of shape (..., k, k); the result has shape (...)."""
    return np.asarray(np.trace(tables, axis1=-2, axis2=-1) / tables.sum((-2, -1)))


def cohen_kappa(tables: Floats) -> Floats:
    """Agreement beyond that of two raters who label by chance, each with the own frequencies (Cohen 1960).

    Tables are of shape (..., k, k), the result (...); NaN where chance alone makes them agree on everything.
    """
    shares = tables / tables.sum((-2, -1), keepdims=True)
    chance = (shares.sum(-1) * shares.sum(-2)).sum(-1)
    return _beyond(equal_share(tables), chance)


def gwet_ac1(tables: Floats) -> Floats:
    """Agreement beyond chance where only some items are labelled by chance (Gwet 2008), defined for one label too.

    Tables are of shape (..., k, k) with k, at least 2, the labels that could have been given; the result has shape (...).
    """
    shares = tables / tables.sum((-2, -1), keepdims=True)
    frequency = (shares.sum(-1) + shares.sum(-2)) / 2
    chance = (frequency * (1 - frequency)).sum(-1) / (tables.shape[-1] - 1)
    return _beyond(equal_share(tables), chance)


def _beyond(found: Floats, chance: Floats) -> Floats:
    room = 1 - chance
    return np.where(room > _NO_SPREAD, (found - chance) / np.where(room > _NO_SPREAD, room, 1.0), np.nan)


def agree(
    left: Sequence[str], right: Sequence[str], labels: Sequence[str], clusters: Sequence[str] | None = None, seed: int = 0
) -> Agreement:
    """Compare two raters on the same items, with 95 % percentile bootstraps over items, or over whole `clusters` of them.

    `labels` are all that could be given. A resample in which kappa is undefined counts as 0, for it shows nothing beyond
    chance: so a label given once or twice doesn't make a kappa sure.

    Raises:
        DataError: the two are of different lengths or empty, or a label is not among `labels`, or these are fewer than two.
    """
    _check(left, right, labels)
    k = len(labels)
    cell = [labels.index(one) * k + labels.index(other) for one, other in zip(left, right, strict=True)]
    items = np.eye(k * k)[cell]  # (n, k * k), which cell of the table each item is in
    resamples = cluster_resamples(clusters or [str(i) for i in range(len(left))], seed)
    tables = np.array([weights @ items for weights in resamples]).reshape(-1, k, k)
    table, n = items.sum(0).reshape(k, k), len(left)
    kappa = float(cohen_kappa(table))
    return Agreement(
        _interval(float(equal_share(table)), equal_share(tables), n),
        None if np.isnan(kappa) else _interval(kappa, np.nan_to_num(cohen_kappa(tables)), n),
        _interval(float(gwet_ac1(table)), gwet_ac1(tables), n),
    )


def _check(left: Sequence[str], right: Sequence[str], labels: Sequence[str]) -> None:
    if len(left) != len(right) or not left:
        raise DataError(f"the raters gave {len(left)} and {len(right)} labels, expected as many from each, at least one.")
    unknown = sorted({*left, *right} - set(labels))
    if unknown or len(labels) < 2:
        raise DataError(f"labels are {', '.join(labels)}, at least two, and {', '.join(unknown) or 'no other'} was given.")


def _interval(found: float, resampled: Floats, n: int) -> Interval:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Interval(found, float(low), float(high), n)
