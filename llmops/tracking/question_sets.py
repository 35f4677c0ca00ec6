"""Question sets in the store: an MLflow dataset for each content, which is never written to again."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.genai import datasets
from mlflow.genai.datasets import EvaluationDataset

from llmops import step
from llmops.addresses import without_password
from llmops.datasets.questions import SLICE, question_digest, read_questions, refuse_repeats
from llmops.errors import ArtifactError
from llmops.tracking.versions import DIGEST_TAG
from llmops.types import Question

SCHEME, SET_MARK = "questions:/", "-questions-"
_APP_TAG = "llmops.app"
_ID, _PLACE, _ORIGIN = "question_id", "place", "origin"  # tags of a record, and then of its trace
_SOURCES = {"human": "HUMAN", "synthetic": "CODE", "feedback": "HUMAN"}


@dataclass(frozen=True)
class QuestionSet:
    """A frozen set: its questions, their digest, and the MLflow dataset, which `mlflow.genai.evaluate` takes as data."""

    name: str
    digest: str
    questions: tuple[Question, ...]
    dataset: EvaluationDataset

    @property
    def uri(self) -> str:
        return SCHEME + self.name


def freeze_questions(app: str, questions: Sequence[Question]) -> QuestionSet:
    """Store a set as the dataset `<app>-questions-<digest>`; one that is stored already is reused, as it stands.

    Raises:
        DataError: two questions ask the same.
        ArtifactError: the set that is stored under this name was changed.
    """
    refuse_repeats(questions, f"the question set of {app}")
    digest = question_digest(questions)
    name = f"{app}{SET_MARK}{digest[:12]}"
    dataset = _find(name) or datasets.create_dataset(name, tags=_tags(app, digest, questions))
    if dataset.to_df().empty:  # else it is whole: records are merged all at once or not at all
        dataset.merge_records([_record(place, question) for place, question in enumerate(questions)])
    _show_here(dataset)
    return get_question_set(name)


def get_question_set(name: str) -> QuestionSet:
    """A frozen set by its name or URI, as it was when it was frozen.

    Raises:
        ArtifactError: there is none, it isn't one of ours, or it was changed since.
    """
    name = name.removeprefix(SCHEME)
    dataset = _find(name)
    if dataset is None:
        store = without_password(mlflow.get_tracking_uri())
        raise ArtifactError(f"no question set {name!r} in {store}. Run the step `questions` to make one.")
    expected = (dataset.tags or {}).get(DIGEST_TAG)
    if expected is None:
        raise ArtifactError(f"dataset {name!r} carries no {DIGEST_TAG} tag: it was not made by this platform.")
    try:
        records = sorted(dataset.to_df().to_dict("records"), key=lambda record: int(record["tags"][_PLACE]))
        questions = tuple(map(_question, records))
    except (KeyError, TypeError, ValueError) as error:
        raise _changed(dataset, f"a record is not a question's ({error!r})") from error
    if (found := question_digest(questions)) != expected:
        raise _changed(dataset, f"it has digest {found[:12]}, expected {expected[:12]}")
    return QuestionSet(name, expected, questions, dataset)


def load_questions(source: str) -> list[Question]:
    """The questions of a frozen set, by `questions:/<name>`, or of a file or folder.

    Raises:
        LLMOpsError: as `get_question_set` and `read_questions`, or there is no such file.
    """
    if source.startswith(SCHEME):
        return list(get_question_set(source).questions)
    return read_questions(step.existing(source, "questions file"))


def _changed(dataset: EvaluationDataset, how: str) -> ArtifactError:
    return ArtifactError(
        f"question set {dataset.name!r} was changed in the store since it was frozen: {how}. "
        f"Delete dataset {dataset.dataset_id} and freeze its questions anew."
    )


def _find(name: str) -> EvaluationDataset | None:
    """The dataset of this name; of two that were made at the same time, the older one."""
    filter_string = f"name = '{name}'"
    try:
        found = datasets.search_datasets(filter_string=filter_string, order_by=["created_time ASC"], max_results=1)
    except MlflowException as error:
        store = without_password(mlflow.get_tracking_uri())
        raise ArtifactError(f"{name!r} can't be looked up in {store} ({without_password(error.message)}).") from error
    return found[0] if found else None


def _show_here(dataset: EvaluationDataset) -> None:
    """Let the tracking UI list a dataset in the experiment that is active, too."""
    run = mlflow.active_run()
    if run is not None and run.info.experiment_id not in dataset.experiment_ids:
        datasets.add_dataset_to_experiments(dataset.dataset_id, [run.info.experiment_id])


def _tags(app: str, digest: str, questions: Sequence[Question]) -> dict[str, str]:
    origins = Counter(question.origin for question in questions)
    counts = {"total": len(questions), "answerable": sum(question.answerable for question in questions), **origins}
    return {DIGEST_TAG: digest, _APP_TAG: app} | {f"questions.{name}": str(count) for name, count in counts.items()}


def _record(place: int, question: Question) -> dict[str, Any]:
    """A question as MLflow's UI shows it and its scorers take it."""
    slices = {SLICE + name: value for name, value in question.slices.items()}
    return {
        "inputs": {"question": question.text},
        "expectations": {"answers": list(question.answers), "documents": list(question.documents)},
        "tags": {_ID: question.question_id, _PLACE: str(place), _ORIGIN: question.origin, **slices},
        "source": {"source_type": _SOURCES[question.origin], "source_data": {}},
    }


def _question(record: Mapping[Hashable, Any]) -> Question:
    tags, expected = record["tags"], record["expectations"]
    slices = {name.removeprefix(SLICE): value for name, value in tags.items() if name.startswith(SLICE)}
    answers, documents = tuple(expected["answers"]), tuple(expected["documents"])
    return Question(tags[_ID], record["inputs"]["question"], answers, documents, slices, tags[_ORIGIN])
