"""The benchmarks measure what they say, and say what they lack."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.data import Page, read_pages, read_squad
from benchmarks.measure import cpu_seconds, on_one_core, peak_mb, reset_peak, resident_mb, timed
from benchmarks.retrieval.__main__ import RetrievalBenchmark, main
from benchmarks.retrieval.reindexing import SENTENCE, revise
from llmops.errors import DataError

ROOT = Path(__file__).parent.parent
SCIENCE = {
    "liver": ("Caffeine", "Coffee drinkers have fewer scars in the liver."),
    "heart": ("Walking", "An hour of walking a day lowers the risk of heart disease."),
    "sleep": ("Screens", "Bright screens in the evening delay sleep in teenagers."),
}
CLAIMS = {
    "1": ("coffee protects the liver", "liver"),
    "2": ("exercise is good for the heart", "heart"),
    "3": ("screens and sleep", "sleep"),
}


def write_data(folder: Path) -> Path:
    """SciFact and SQuAD of three passages each."""
    (folder / "scifact" / "qrels").mkdir(parents=True)
    corpus = [{"_id": name, "title": title, "text": text} for name, (title, text) in SCIENCE.items()]
    queries = [{"_id": name, "text": text} for name, (text, _) in CLAIMS.items()]
    for name, records in (("corpus", corpus), ("queries", queries)):
        (folder / "scifact" / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for split, names in (("test", "12"), ("train", "3")):
        lines = ["query-id\tcorpus-id\tscore", *(f"{name}\t{CLAIMS[name][1]}\t1" for name in names)]
        (folder / "scifact" / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    paragraphs = [
        {"context": SCIENCE[passage][1], "qas": [{"id": name, "question": text, "is_impossible": passage == "sleep"}]}
        for name, (text, passage) in CLAIMS.items()
    ]
    (folder / "squad2-half-dev").mkdir()
    squad = {"data": [{"title": "Daily_life", "paragraphs": paragraphs}]}
    (folder / "squad2-half-dev" / "squad2-half-dev.json").write_text(json.dumps(squad))
    return folder


def run(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.retrieval", "--json", str(tmp_path / "out.json"), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def count_threads() -> tuple[int, int]:
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    return len(os.sched_getaffinity(0)), max(pool["num_threads"] for pool in threadpool_info())


def test_cpu_seconds_count_children_that_ended() -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(time.process_time())"
    with timed() as timing:
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert timing.cpu_s >= float(child.stdout)


def test_cpu_seconds_leave_out_waiting() -> None:
    before = time.process_time(), cpu_seconds()
    with timed() as timing:
        time.sleep(0.2)
    assert timing.wall_s >= 0.2
    assert cpu_seconds() - before[1] == pytest.approx(time.process_time() - before[0], abs=0.05)


def test_the_peak_of_memory_remembers_what_is_gone_until_it_is_reset() -> None:
    reset_peak()
    before = resident_mb()
    numbers = np.ones(12_500_000)  # 100 MB
    del numbers
    assert 95 < peak_mb() - before < 130
    assert resident_mb() - before < 30
    reset_peak()
    assert peak_mb() - before < 30


def test_a_process_on_one_core_has_one_thread_and_the_caller_keeps_its_own() -> None:
    cores = os.sched_getaffinity(0)
    assert on_one_core(count_threads) == (1, 1)
    assert os.sched_getaffinity(0) == cores and "OMP_NUM_THREADS" not in os.environ


def test_a_missing_folder_or_file_is_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, told in (("nowhere", "does not exist"), ("empty", "scifact/corpus.jsonl is not in")):
        done = run(tmp_path, "--data", str(tmp_path / folder), "--only", "quality")
        assert done.returncode == 2 and done.stdout == "" and not (tmp_path / "out.json").exists()
        assert done.stderr.startswith("error: ") and told in done.stderr and done.stderr.count("\n") == 1


def test_pages_are_in_english_and_not_too_long(tmp_path: Path) -> None:
    texts = {"en": "The size of the cache is set.", "de": "Die Größe des Caches ist gesetzt.", "long": "the " * 6000}
    (tmp_path / "docs").mkdir()
    with gzip.open(tmp_path / "docs" / "corpus.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"_id": name, "title": name, "text": text}) + "\n" for name, text in texts.items())
    assert [page.page_id for page in read_pages(tmp_path)] == ["en"]


def test_questions_without_an_answer_have_no_passage_to_find(tmp_path: Path) -> None:
    squad = read_squad(write_data(tmp_path))
    assert len(squad.passages) == 3 and set(squad.queries) == set(squad.qrels) == {"1", "2"}


def test_one_page_in_a_hundred_is_revised_in_one_place() -> None:
    pages = [Page(str(number), "", f"Page {number}. It says little. Then it ends.") for number in range(1000)]
    changed = [(old, new) for old, new in zip(pages, revise(pages), strict=True) if old != new]
    assert len(changed) == 10
    assert all(new.text.replace(SENTENCE, "") == old.text for old, new in changed)


def test_the_table_shows_figures_by_size_and_against_their_targets() -> None:
    lines = report.table({"recall_at_10": {"10": 0.99, "20": 0.9}, "peak_memory_4x": 1.2, "details": {"a": 1}}).splitlines()
    assert [line.split() for line in lines] == [
        ["recall_at_10", "10", "0.99", "reaches", "at", "least", "0.95"],
        ["recall_at_10", "20", "0.9", "misses", "at", "least", "0.95"],
        ["peak_memory_4x", "1.2", "reaches", "at", "most", "1.3"],
    ]


def test_quality_and_search_are_measured_side_by_side(tmp_path: Path) -> None:
    flags = {"--only": "quality,search", "--backend": "torch-fp32", "--sizes": "300"}
    done = run(tmp_path, "--data", str(write_data(tmp_path)), *(part for flag in flags.items() for part in flag))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["scifact_ndcg_dense"] == found["scifact_ndcg_hybrid"] == found["squad2_ndcg_hybrid"] == 1.0
    assert found["quality_loss_fast_path"] == 0.0 and found["scifact_hybrid_over_dense_low"] == 0.0
    assert found["recall_at_10"] == {"300": 1.0} and found["kind"] == {"300": "flat"}
    assert found["machine"]["cores"] == len(os.sched_getaffinity(0)) and set(found["seconds"]) == {"quality", "search"}


def test_what_finished_before_an_error_is_kept(tmp_path: Path) -> None:
    data = write_data(tmp_path)
    (data / "scifact" / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\n")
    with pytest.raises(DataError, match=r"train\.tsv:2"):
        main(RetrievalBenchmark(str(data), str(tmp_path / "out.json"), only="search,quality", sizes="300"))
    assert json.loads((tmp_path / "out.json").read_text())["recall_at_10"] == {"300": 1.0}
