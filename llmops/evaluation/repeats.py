"""Questions that were answered several times: one row each, so that the question stays the unit of all statistics.

Repeats of a question are no further questions. Their mean says better what a release that draws its answers scores.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from llmops.evaluation.rows import Row
from llmops.types import Metrics


def mean_rows(repeats: Sequence[Sequence[Row]]) -> list[Row]:
    """One row for each question, from its rows in all repeats, which stand in one order.

    A KPI is the mean over the repeats in which it applies. The answer shown is the first one's, an error whichever's.
    """
    return [_mean_row(rows) for rows in zip(*repeats, strict=True)]


def repeat_figures(repeats: Sequence[Sequence[Row]]) -> Metrics:
    """How much the score varies from repeat to repeat: the standard deviation within a question, averaged over questions.

    Nothing where no question was scored twice.
    """
    found = [[row.score for row in rows if "answer/score" in row.scores] for rows in zip(*repeats, strict=True)]
    spreads = [stdev(scores) for scores in found if len(scores) > 1]
    return {"answer/repeat_sd": fmean(spreads)} if spreads else {}


def _mean_row(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    names = dict.fromkeys(name for row in rows for name in row.scores)
    scores = {name: fmean(row.scores[name] for row in rows if name in row.scores) for name in names}
    return replace(rows[0], scores=scores, error=next((row.error for row in rows if row.error), ""))
