"""What a run has measured so far: kept on disk after every section, and shown against what is asked of it."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TARGETS: dict[str, tuple[float | None, float | None, str]] = {
    "scifact_ndcg_dense": (0.6431, 0.6471, "0.6451 is published"),
    "scifact_ndcg_hybrid": (0.73, None, ""),
    "scifact_hybrid_over_dense_low": (0.05, None, ""),
    "quality_loss_fast_path": (None, 0.005, ""),
    "index_vs_langchain": (3.5, None, "with AMX"),
    "index_vs_langchain_bf16": (1.2, None, "with AMX"),
    "reindex_vs_full": (50, None, ""),
    "recall_at_10": (0.95, None, ""),
    "peak_memory_4x": (None, 1.3, ""),
    "sft_vs_padded_trainer": (4, None, ""),
    "sft_vs_bare_loop": (0.9, None, ""),
    "f1_answerable_gain_low": (0, None, ""),
    "abstention_gain_low": (0, None, ""),
    "pretrain_vs_trigram": (None, 1, ""),
    "domain_perplexity_change": (None, -0.1, ""),
    "domain_forgetting": (None, 0.05, ""),
    "preference_accuracy_low": (0.5, None, ""),
    "batch_vs_single": (3, None, ""),
    "bulk_vs_sequential": (3, None, ""),
    "scoring_overhead": (None, 0.1, ""),
    "trace_ms_per_row": (None, 100, ""),
    "squad_em_f1_max_diff": (None, 1e-6, ""),
    "ndcg_recall_max_diff": (None, 1e-6, ""),
    "type1_error": (0.04, 0.06, ""),
    "coverage": (0.93, 0.97, ""),
    "scoring_memory_mb": (None, 2147, "10,000 questions of 5 candidates"),
}
"""Key -> the least and the most it should be, and a note."""


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Write results whole: a reader finds the old file or the new one."""
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, path)


def table(results: Mapping[str, Any]) -> str:
    """One line a figure, with its target."""
    figures = list(_figures(results))
    width = max((len(name) for name, _, _ in figures), default=0)
    lines = (f"  {name:{width}}  {_shown(value):>12}  {_verdict(key, value)}" for name, key, value in figures)
    return "\n".join(line.rstrip() for line in lines)


def _figures(results: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Name, key and value of what is a number or a word, alone or by number of vectors. Details stay in the file."""
    for key, value in results.items():
        by_size = value.items() if isinstance(value, dict) and all(size.isdigit() for size in value) else [("", value)]
        for size, one in by_size:
            if isinstance(one, int | float | str):
                yield f"{key} {size}".strip(), key, one


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _verdict(key: str, value: Any) -> str:
    low, high, note = TARGETS.get(key, (None, None, ""))
    wanted = " and ".join([f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None))
    met = (low is None or value >= low) and (high is None or value <= high)
    return f"{'reaches' if met else 'misses'} {wanted}" + f" ({note})" * bool(note) if wanted else ""
