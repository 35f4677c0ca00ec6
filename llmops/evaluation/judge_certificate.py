"""How far a judge agrees with labels, and whether that is enough: without a certificate it is shown and decides nothing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from llmops import digests
from llmops.errors import ConfigError
from llmops.evaluation.agreement import Agreement, agree
from llmops.evaluation.judge import Judgement, Labelled, Rubric
from llmops.evaluation.statistics import Interval

MEASURES = ("kappa", "ac1")


@dataclass(frozen=True)
class Probes:
    """What changes a judge's mind though it shouldn't, as shares of `n` answers. A judgement that then fails has changed.

    `repeat`: asked the same again. `position`: shown everything, passages and labels too, in the opposite order.
    `verbosity`: the answer padded, and judged better for it.
    """

    n: int = 0
    repeat: float = 0.0
    position: float = 0.0
    verbosity: float = 0.0


def probe(
    rubric: Rubric, plain: Sequence[Judgement], again: Sequence[Judgement], swapped: Sequence[Judgement],
    padded: Sequence[Judgement],
) -> Probes:  # fmt: skip
    """Compare judgements of the same answers, asked in four ways; those that failed at first are left out."""
    asked = [four for four in zip(plain, again, swapped, padded, strict=True) if four[0].label is not None]
    if not asked:
        return Probes()
    changed = [
        (first.label != again.label, first.label != swapped.label, rubric.value(padded.label) > rubric.value(first.label))
        for first, again, swapped, padded in asked
    ]
    return Probes(len(asked), *(sum(column) / len(asked) for column in zip(*changed, strict=True)))


@dataclass(frozen=True)
class Thresholds:
    """What a judge must show. ARES asks for at least 150 human labels (Saad-Falcon et al. 2024).

    `min_agreement` is for the lower end of the interval of `measure`. AC1 is high for a judge that always says what is
    said most; kappa isn't.
    """

    measure: str = "kappa"
    min_agreement: float = 0.6
    min_labels: int = 150
    max_failures: float = 0.05
    max_bias: float = 0.1

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ConfigError(f"measure is {self.measure!r}, expected one of {', '.join(MEASURES)}.")
        for name in ("min_agreement", "max_failures", "max_bias"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share, 0 to 1.")
        if self.min_labels < 1:
            raise ConfigError(f"min_labels is {self.min_labels}, expected at least 1.")


@dataclass(frozen=True)
class JudgeCertificate:
    """How far a judge, known by its digest, agrees with labels. `labels_from` counts these by source."""

    digest: str
    rubric: str
    model: str
    labels_digest: str
    labels_from: dict[str, int]
    n: int
    failures: int
    agreement: Agreement
    probes: Probes
    thresholds: Thresholds = field(default_factory=Thresholds)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "JudgeCertificate":
        agreement, probes = Agreement.from_dict(data["agreement"]), Probes(**data["probes"])
        parts = {"agreement": agreement, "probes": probes, "thresholds": Thresholds(**data["thresholds"])}
        return cls(**{**data, **parts})

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the judge is not certified; none if it is."""
        bar, probes, low = self.thresholds, self.probes, self._low()
        found = [
            (set(self.labels_from) != {"human"}, self._labels_reason()),
            (self.n < bar.min_labels, f"{self.n} labels, needed {bar.min_labels}"),
            (self.failures > bar.max_failures * self.n, f"{self.failures} of {self.n} judgements failed"),
            (low is None or low < bar.min_agreement, self._agreement_reason()),
            (probes.n == 0, "no judgement could be probed for bias"),
            (probes.repeat > bar.max_bias, f"asked again it changes {probes.repeat:.0%} of its judgements"),
            (probes.position > bar.max_bias, f"another order changes {probes.position:.0%} of its judgements"),
            (probes.verbosity > bar.max_bias, f"it likes {probes.verbosity:.0%} of the answers better when padded"),
        ]
        return tuple(reason for holds, reason in found if holds)

    @property
    def certified(self) -> bool:
        return not self.reasons

    @property
    def verdict(self) -> str:
        """One line: certified, or not and why."""
        return "not certified: " + "; ".join(self.reasons) if self.reasons else f"certified: {self._agreement_reason()}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _labels_reason(self) -> str:
        made = self.n - self.labels_from.get("human", 0)
        return "the labels are constructed" if made == self.n else f"{made} of {self.n} labels are constructed"

    def _measured(self) -> Interval | None:
        return self.agreement.kappa if self.thresholds.measure == "kappa" else self.agreement.ac1

    def _low(self) -> float | None:
        found = self._measured()
        return None if found is None else found.low

    def _agreement_reason(self) -> str:
        found = self._measured()
        if found is None:
            return "kappa is undefined, as all labels and judgements are the same"
        return f"{self.thresholds.measure} is {_shown(found)}, needed from {self.thresholds.min_agreement:g} up"


def certify(
    digest: str, rubric: Rubric, model: str, labelled: Sequence[Labelled], judgements: Sequence[Judgement], probes: Probes,
    thresholds: Thresholds,
) -> JudgeCertificate:  # fmt: skip
    """Compare judgements with the labels of the same answers; answers to one question are resampled together.

    A failure counts as a disagreement: as the worst label, or where that is right, as the best.
    """
    given = [one.label for one in labelled]
    judged = [said.label or _wrong(rubric, label) for said, label in zip(judgements, given, strict=True)]
    agreement = agree(given, judged, rubric.labels, [one.item.question for one in labelled])
    sources = [one.source for one in labelled]
    failures = sum(said.label is None for said in judgements)
    return JudgeCertificate(
        digest, rubric.name, model, digests.of_data([asdict(one) for one in labelled]),
        {source: sources.count(source) for source in sorted(set(sources))}, len(labelled), failures, agreement, probes,
        thresholds,
    )  # fmt: skip


def _wrong(rubric: Rubric, label: str) -> str:
    return rubric.labels[0 if label == rubric.labels[-1] else -1]


def table(certificate: JudgeCertificate) -> str:
    """A certificate as text: what was found, with 95 % intervals, and the verdict."""
    one, probes = certificate, certificate.probes
    sources = ", ".join(f"{count} {source}" for source, count in one.labels_from.items())
    lines = {
        "judge": f"{one.model}, {one.rubric} ({one.digest[:12]})", "labels": sources,
        "failures": f"{one.failures} of {one.n}", "agreement": _shown(one.agreement.share),
        "kappa": _shown(one.agreement.kappa) if one.agreement.kappa else "undefined: there is one label only",
        "AC1": _shown(one.agreement.ac1),
        **({} if probes.n == 0 else {
            f"changed of {probes.n}": f"asked again {probes.repeat:.3f}, in another order {probes.position:.3f}",
            "better if padded": f"{probes.verbosity:.3f}",
        }),
    }  # fmt: skip
    width = max(map(len, lines))
    return "\n".join([f"{name.ljust(width)}  {value}" for name, value in lines.items()] + [one.verdict])


def _shown(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
