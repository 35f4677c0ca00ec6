"""The fine-tuning benchmark measures what it says: splits, abstention, intervals, and FLOPs."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.finetuning import answering, gpu
from benchmarks.finetuning.answering import Answered, Asking, abstention, some, summarise
from benchmarks.finetuning.squad import PASSES, UNANSWERABLE, choose_shots, read_split, to_rows
from llmops.chains.prompt import is_abstention
from llmops.finetuning.tokens import IGNORED
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import resolve_weights


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """SQuAD of eight articles, two paragraphs each, four questions on each paragraph, every other without an answer."""
    articles = [
        {
            "title": f"Article {article}",
            "paragraphs": [
                {
                    "context": f"Place {article}.{paragraph} has {article} gates.",
                    "qas": [
                        {
                            "id": f"{article}-{paragraph}-{number}", "question": f"Question {number}?",
                            "is_impossible": bool(number % 2), "answers": [{"text": f"{article} gates"}],
                        }
                        for number in range(4)
                    ],
                }
                for paragraph in range(2)
            ],
        }
        for article in range(8)
    ]  # fmt: skip
    (tmp_path / "squad2-half-dev").mkdir()
    (tmp_path / "squad2-half-dev" / "squad2-half-dev.json").write_text(json.dumps({"data": articles}))
    return tmp_path


def test_no_article_is_trained_on_and_measured(data: Path) -> None:
    split = read_split(data)
    parts = [{each.article for each in part} for part in (split.train, split.choosing, split.held_out)]
    assert [len(part) for part in parts] == [2, 2, 4] and not set.union(*map(set.intersection, parts, parts[1:] + parts[:1]))
    assert split == read_split(data)


def test_what_can_be_answered_is_learned_in_each_pass_and_half_of_the_rest(data: Path, tiny_lm: Path) -> None:
    asked = read_split(data).train
    tokenizer = load_tokenizer(resolve_weights(str(tiny_lm)))
    found = []
    for seed in range(20):
        rows = to_rows(asked, tokenizer, 500, seed)
        learned = [[t for t, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED] for row in rows]
        answers = [text for ids in learned for text in tokenizer.decode(ids).split("<|end|>") if text]
        found.append(sum(map(is_abstention, answers)))
        assert len(answers) - found[-1] == PASSES * 8  # of 16 questions half can be answered
    assert np.mean(found) == pytest.approx(PASSES * 8 * UNANSWERABLE, abs=1.5) and len(set(found)) > 1
    assert to_rows(asked, tokenizer, 5, seed=1) == []


def test_shots_show_both_kinds_and_end_with_an_answer(data: Path) -> None:
    shots = choose_shots(read_split(data).train, 4, seed=0)
    assert [is_abstention(turn.content) for turn in shots if turn.role == "assistant"] == [True, False, True, False]
    assert choose_shots(read_split(data).train, 0, seed=0) == ()


def test_abstention_is_what_is_refused_when_a_quarter_of_the_answerable_is() -> None:
    has = np.array([True] * 4 + [False] * 4)
    certainty = np.array([[0.1, 0.2, 0.3, 0.9, 0.95, 0.5, 0.35, 0.0]])
    assert abstention(certainty, has) == 0.75  # one of four answerable ones is above the next, 0.3
    assert abstention(-certainty, has) == 0.25
    assert abstention(np.zeros((1, 8)), has) == 0.0  # what can't be told apart can't be refused apart
    counts = np.array([1.0, 1.0, 0.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    assert abstention(certainty, has, counts) == 0.25  # 0.9 is half of them now, too many


def answered(f1: list[float], certainty: list[float]) -> Answered:
    scores = np.array(f1)
    return Answered(scores, scores, np.zeros(len(f1)), np.array(certainty))


def test_gains_are_paired_and_averaged_over_seeds(data: Path) -> None:
    questions = some(read_split(data).held_out, 8)
    assert [bool(each.answers) for each in questions] == [True] * 8 + [False] * 8
    asked = Asking(questions[:12], questions)  # some are only scored
    base = {0: answered([0.1] * 12, [0.0] * 16), 2: answered([0.0] * 12, [0.0] * 16)}
    tuned = [answered([0.4] * 12, [0.0] * 8 + [1.0] * 8), answered([0.6] * 12, [0.0] * 8 + [1.0] * 4 + [-1.0] * 4)]
    found = summarise(asked, base, {"f1": 0, "abstention": 2}, tuned)
    assert found["f1_answerable_gain"] == pytest.approx(0.4) and found["f1_answerable_gain_low"] == pytest.approx(0.4)
    assert found["abstention_gain"] == 0.75 and 0.5 <= found["abstention_gain_low"] <= found["abstention_gain_high"] <= 1
    assert found["answering_rows"]["always I don't know"]["f1"] == 0.0 and found["answering_paragraphs"] == 8
    assert found["answering_questions"] == {"answerable": 8, "unanswerable": 4}


SHAPE = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 512, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.mark.usefixtures("one_thread")
def test_a_random_llama_is_trained_and_its_flops_counted() -> None:
    found = gpu.train_random(SHAPE, steps=2, packing=True, batch=8)
    frozen = 2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 64 + 2 * 32) + 32  # layers, and the last norm
    trained = 16 * 2 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64))
    seen = (found["flops_per_token"] - 2 * (2 * (frozen + trained)) - 2 * trained) / (2 * 4 * 2 * 32 / 2)
    assert 150 < seen < 500 and found["tokens_per_s"] > 0


def test_without_a_gpu_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.measure(steps=2) == {} and "no GPU" in capsys.readouterr().out


def test_a_quarter_is_what_refusing_by_chance_comes_to() -> None:
    chance = np.random.default_rng(0)
    has = np.arange(4000) % 2 == 0
    assert abstention(chance.random((5, 4000)), has) == pytest.approx(answering.REFUSED, abs=0.02)
