"""Training on a tiny real Llama: what is learned, what a checkpoint is worth, and what stops it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import ConfigError, DataError, LLMOpsError
from llmops.finetuning import checkpoints
from llmops.finetuning.callbacks import Report
from llmops.finetuning.collation import answer_loss, collate, fused_loss
from llmops.finetuning.method import Method
from llmops.finetuning.order import training_order
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.rehearsal import measure_speed
from llmops.finetuning.tokens import IGNORED, Pair, Row, conversation_row, preference_pair
from llmops.finetuning.trainable import load_trainable
from llmops.finetuning.training import Training, train, train_preferences
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import Weights, resolve_weights
from llmops.types import Conversation, Message, Preference

pytestmark = pytest.mark.usefixtures("one_thread")

METHOD = Method(rank=4, targets="attention", dropout=0.1)
RECIPE = Recipe(epochs=3, learning_rate=1e-2, batch_size=4, micro_batch=2, checkpoint_every=2, dtype="float32")


def chat(*turns: str) -> Conversation:
    roles = ("user", "assistant")
    return Conversation(tuple(Message(roles[i % 2], turn) for i, turn in enumerate(turns)))


@pytest.fixture(scope="module")
def weights(tiny_lm: Path) -> Weights:
    return resolve_weights(str(tiny_lm))


@pytest.fixture(scope="module")
def tokenizer(weights: Weights) -> Any:
    return load_tokenizer(weights)


@pytest.fixture(scope="module")
def rows(tokenizer: Any) -> list[Row]:
    chats = [chat(f"Which number is {'very ' * (n % 5)}{n}?", f"It is {n}.") for n in range(10)]
    return [conversation_row(each, tokenizer) for each in chats]


def tuned(
    weights: Weights, tokenizer: Any, rows: Sequence[Row], folder: Path, recipe: Recipe = RECIPE, report: Any = None,
    held_out: Sequence[Row] = (), method: Method = METHOD,
) -> tuple[Any, Training]:  # fmt: skip
    model = load_trainable(weights, method, recipe.dtype, recipe.seed)
    return model, train(model, tokenizer, rows, held_out, recipe, folder, report or (lambda *_: None))


def trainable(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}


def trainable_parameters(model: Any) -> list[Any]:
    return [value for value in model.parameters() if value.requires_grad]


class Stopped(Exception):
    """What stops a training here in place of a kill."""


def stop_at(step: int) -> Report:
    def report(reached: int, total: int, metrics: dict[str, float]) -> None:
        if reached == step:
            raise Stopped

    return report


def assert_same_weights(found: Any, wanted: Any) -> None:
    assert trainable(found).keys() == trainable(wanted).keys()
    for name, value in trainable(wanted).items():
        assert torch.equal(trainable(found)[name], value), name


# Tokens and labels


def test_only_the_assistants_turns_and_their_ends_are_learned(tokenizer: Any) -> None:
    row = conversation_row(chat("Leave?", "Thirty days.", "Cars?", "Electric."), tokenizer)
    learned = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED]
    assert tokenizer.decode(learned) == "Thirty days.<|end|>Electric.<|end|>"
    assert all(label in (token, IGNORED) for token, label in zip(row["input_ids"], row["labels"], strict=True))


def test_a_prompt_has_the_tokens_an_engine_asks_with(tokenizer: Any) -> None:
    row = conversation_row(chat("Leave?", "Thirty days."), tokenizer)
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "Leave?"}], add_generation_prompt=True)["input_ids"]
    assert row["input_ids"][: len(asked)] == list(asked) and set(row["labels"][: len(asked)]) == {IGNORED}


def test_a_text_that_spells_a_special_token_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"spells the special token <\|end\|>"):
        conversation_row(chat("Leave?<|end|>", "Thirty days."), tokenizer)


def test_a_preference_is_one_prompt_with_two_ends(tokenizer: Any) -> None:
    pair = preference_pair(Preference((Message("user", "Leave?"),), "Thirty days.", "No."), tokenizer)
    assert tokenizer.decode(pair["chosen_ids"]) == "Thirty days.<|end|>"
    assert tokenizer.decode(pair["rejected_ids"]) == "No.<|end|>"
    assert tokenizer.decode(pair["prompt_ids"]).endswith("<|assistant|>")


# Order and batches


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60), size=st.integers(1, 8), epochs=st.integers(1, 3),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_every_epoch_holds_every_example_once(lengths: list[int], size: int, epochs: int, seed: int) -> None:
    order = training_order(lengths, size, epochs, seed)
    assert sorted(order) == sorted(list(range(len(lengths))) * epochs)
    assert order == training_order(lengths, size, epochs, seed)


def test_half_an_epoch_is_half_of_the_examples_and_another_seed_another_order() -> None:
    half = training_order([5] * 20, 4, 0.5, 0)
    assert len(half) == len(set(half)) == 10
    assert training_order([5] * 20, 4, 1, 0) != training_order([5] * 20, 4, 1, 1)


def test_examples_of_like_length_are_in_a_batch() -> None:
    lengths = list(range(1, 101))
    order = training_order(lengths, 4, 1, 0)
    spread = [max(order[i : i + 4]) - min(order[i : i + 4]) for i in range(0, 100, 4)]
    assert max(spread) == 3


@pytest.mark.parametrize("packed", [False, True])
@settings(max_examples=20)
@given(picked=st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_the_loss_is_that_of_the_whole_logits_row_by_row(
    weights: Weights, tokenizer: Any, rows: list[Row], packed: bool, picked: list[int]
) -> None:
    model = load_trainable(weights, Method(name="full"), "float32", 0).eval()
    batch = [rows[i] for i in picked]
    total, count = 0.0, 0
    with torch.no_grad():
        for row in batch:
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
            labelled = int((labels[:, 1:] != IGNORED).sum())
            total += float(model(input_ids=ids, labels=labels).loss) * labelled
            count += labelled
        found = answer_loss(model, collate(batch, tokenizer.pad_token_id, packed))
    assert float(found) == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("packed", [False, True])
def test_the_head_for_gpus_gives_the_same_loss_and_gradients(
    weights: Weights, tokenizer: Any, rows: list[Row], packed: bool
) -> None:
    from trl.trainer.utils import add_fused_lm_head

    model = load_trainable(weights, Method(rank=4, targets="attention"), "float32", 0).eval()
    add_fused_lm_head(model.get_base_model())
    batch = collate(rows[:4], tokenizer.pad_token_id, packed)
    found: list[list[torch.Tensor]] = []
    for loss in (answer_loss, fused_loss):
        value = loss(model, batch, torch.tensor(17))
        found.append([value.detach(), *torch.autograd.grad(value, trainable_parameters(model))])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


# Training


def test_training_learns_and_reports_each_step(weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path) -> None:
    told: list[tuple[int, int, dict[str, float]]] = []
    recipe = Recipe(epochs=20, learning_rate=2e-2, batch_size=4, micro_batch=2, dtype="float32")
    _, training = tuned(weights, tokenizer, rows, tmp_path, recipe, lambda *step: told.append(step))
    assert [step for step, _, _ in told] == list(range(1, training.steps + 1)) and training.steps == 50
    assert told[-1][2]["train/loss"] < told[0][2]["train/loss"] / 2
    assert {"train/learning_rate", "train/gradient_norm", "train/tokens_per_s", "train/memory_mb"} <= told[-1][2].keys()
    assert training.tokens == 20 * sum(len(row["input_ids"]) for row in rows)


@pytest.mark.parametrize("stopped_at", [1, 3, 4, 7, 8])
def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one_bit_for_bit(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path, stopped_at: int
) -> None:
    wanted, undisturbed = tuned(weights, tokenizer, rows, tmp_path / "whole", held_out=rows[:3])
    with pytest.raises(Stopped):
        tuned(weights, tokenizer, rows, tmp_path / "stopped", report=stop_at(stopped_at), held_out=rows[:3])
    torch.manual_seed(99)  # another process has another state
    found, resumed = tuned(weights, tokenizer, rows, tmp_path / "stopped", held_out=rows[:3])
    assert resumed.resumed_from == (stopped_at - 1) // 2 * 2 and resumed.steps == undisturbed.steps == 8
    assert_same_weights(found, wanted)


def test_running_layers_again_trains_the_same_adapter(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path
) -> None:
    method = Method(rank=4, targets="attention")
    wanted, _ = tuned(weights, tokenizer, rows, tmp_path / "kept", method=method)
    again = replace(RECIPE, recompute=True)
    model = load_trainable(weights, method, "float32", 0)
    assert measure_speed(model, tokenizer, rows, again) > 0
    train(model, tokenizer, rows, [], again, tmp_path / "again", lambda *_: None)
    for name, value in trainable(wanted).items():
        torch.testing.assert_close(trainable(model)[name], value, rtol=1e-4, atol=1e-6)


def test_a_half_written_checkpoint_is_not_gone_on_from(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path
) -> None:
    tuned(weights, tokenizer, rows, tmp_path)
    last = checkpoints.newest(tmp_path)
    assert last is not None and last.name == "checkpoint-8"
    (last / "optimizer.pt").write_bytes(b"half")
    before = checkpoints.newest(tmp_path)
    assert before is not None and before.name == "checkpoint-6" and not last.exists()
    (before / checkpoints.SEAL).unlink()
    assert checkpoints.newest(tmp_path) is None


def test_a_finished_training_that_was_not_registered_is_taken_up_as_it_is(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path
) -> None:
    first, _ = tuned(weights, tokenizer, rows, tmp_path)
    second, training = tuned(weights, tokenizer, rows, tmp_path)
    assert training.resumed_from == training.steps == 8
    assert_same_weights(second, first)


def test_training_stops_when_the_held_out_loss_no_longer_falls(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path
) -> None:
    losses: dict[int, float] = {}

    def report(step: int, total: int, metrics: dict[str, float]) -> None:
        losses.update({step: metrics["held_out/loss"]} if "held_out/loss" in metrics else {})

    recipe = Recipe(
        epochs=40, learning_rate=5e-2, batch_size=4, micro_batch=4, checkpoint_every=5, patience=2, dtype="float32"
    )
    nonsense = [conversation_row(chat("Parrots?", "Zebra xylophone quartz."), tokenizer)]
    model, training = tuned(weights, tokenizer, rows, tmp_path, recipe, report, nonsense)
    best = min(losses, key=lambda step: losses[step])
    assert training.steps < 100 and training.steps == best + 10
    with torch.no_grad():
        kept = float(answer_loss(model, collate(nonsense, tokenizer.pad_token_id)))
    assert kept == pytest.approx(losses[best], rel=1e-3)


@pytest.mark.parametrize(("epochs", "every", "patience"), [(40, 5, 2), (1, 1, 1)])
def test_a_training_that_had_run_out_of_patience_when_killed_is_not_trained_further(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path, epochs: int, every: int, patience: int
) -> None:
    recipe = Recipe(
        epochs=epochs, learning_rate=5e-2, batch_size=4, micro_batch=4, checkpoint_every=every, patience=patience,
        dtype="float32",
    )  # fmt: skip
    nonsense = [conversation_row(chat("Parrots?", "Zebra xylophone quartz."), tokenizer)]
    wanted, done = tuned(weights, tokenizer, rows, tmp_path, recipe, held_out=nonsense)
    found, again = tuned(weights, tokenizer, rows, tmp_path, recipe, held_out=nonsense)
    assert again.resumed_from == again.steps == done.steps < 100
    assert_same_weights(found, wanted)


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_checkpoint(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path
) -> None:
    model = load_trainable(weights, METHOD, "float32", 0)

    def spoil(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 3:
            next(iter(trainable(model).values())).fill_(math.nan)

    with pytest.raises(
        LLMOpsError, match=r"no number \(gradient norm nan\) at step 4; training stopped, the last checkpoint is kept"
    ):
        train(model, tokenizer, rows, [], RECIPE, tmp_path, spoil)
    last = checkpoints.newest(tmp_path)
    assert last is not None and last.name == "checkpoint-2"


def test_a_gradient_that_is_no_number_stops_training_before_it_spoils_a_weight(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path
) -> None:
    model = load_trainable(weights, METHOD, "float32", 0)

    def spoil(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 3:
            next(iter(trainable_parameters(model))).register_hook(lambda gradient: gradient * math.inf)

    with pytest.raises(LLMOpsError, match=r"gradient norm (inf|nan)\) at step 4"):
        train(model, tokenizer, rows, [], RECIPE, tmp_path, spoil)
    assert all(bool(value.isfinite().all()) for value in trainable(model).values())


@pytest.mark.parametrize("name", ["lora", "qlora", "full"])
@pytest.mark.parametrize("variant", ["plain", "dora+rslora"])
def test_each_method_trains_what_it_says(
    weights: Weights, tokenizer: Any, rows: list[Row], tmp_path: Path, name: str, variant: str
) -> None:
    if name == "full" and variant != "plain":
        variant = "rslora"  # an adapter's matter: without an effect here
    method = Method(name=name, rank=4, targets="all-linear", variant=variant)
    before = {key: value.clone() for key, value in trainable(load_trainable(weights, method, "float32", 0)).items()}
    model, _ = tuned(weights, tokenizer, rows, tmp_path, Recipe(epochs=1, micro_batch=4, dtype="float32"), method=method)
    assert any("lora_" in key for key in before) == (name != "full")
    assert any("magnitude" in key for key in before) == ("dora" in variant)
    changed = [key for key, value in trainable(model).items() if not torch.equal(before[key], value)]
    assert len(changed) > len(before) / 3
    assert {value.dtype for value in trainable(model).values()} == {torch.float32}


def test_preferences_are_learned(weights: Weights, tokenizer: Any, tmp_path: Path) -> None:
    preferences = [Preference((Message("user", f"Number {n}?"),), f"It is {n}.", "No.") for n in range(8)]
    pairs: list[Pair] = [preference_pair(preference, tokenizer) for preference in preferences]
    told: list[dict[str, float]] = []
    recipe = Recipe(epochs=10, learning_rate=1e-2, batch_size=4, micro_batch=4, checkpoint_every=20, dtype="float32")
    model = load_trainable(weights, METHOD, "float32", 0)
    train_preferences(model, tokenizer, pairs, pairs[:4], recipe, 0.1, tmp_path, lambda step, total, m: told.append(m))
    assert told[-1].get("held_out/preference_accuracy", told[-2].get("held_out/preference_accuracy")) == 1.0


@pytest.mark.parametrize("name", ["lora", "qlora", "full"])
def test_preferences_are_learned_in_bfloat16_too(weights: Weights, tokenizer: Any, tmp_path: Path, name: str) -> None:
    pairs = [preference_pair(Preference((Message("user", f"{n}?"),), f"It is {n}.", "No."), tokenizer) for n in range(8)]
    told: list[float] = []
    model = load_trainable(weights, Method(name, 4), "bfloat16", 0)
    recipe = Recipe(epochs=4, learning_rate=1e-3, batch_size=4, micro_batch=4, dtype="bfloat16")
    train_preferences(model, tokenizer, pairs, [], recipe, 0.1, tmp_path, lambda *step: told.append(step[2]["train/loss"]))
    assert told[0] == pytest.approx(math.log(2), rel=1e-2) and told[-1] < told[0]


def test_preferences_go_on_where_they_were_bit_for_bit(weights: Weights, tokenizer: Any, tmp_path: Path) -> None:
    preferences = [Preference((Message("user", f"Number {n}?"),), f"It is {n}.", "No.") for n in range(8)]
    pairs = [preference_pair(preference, tokenizer) for preference in preferences]

    def prefer(folder: str, report: Report = lambda *_: None) -> Any:
        model = load_trainable(weights, METHOD, "float32", 0)
        train_preferences(model, tokenizer, pairs, [], RECIPE, 0.1, tmp_path / folder, report)
        return model

    wanted = prefer("whole")
    with pytest.raises(Stopped):
        prefer("stopped", stop_at(4))
    torch.manual_seed(99)
    assert_same_weights(prefer("stopped"), wanted)


@pytest.mark.parametrize(
    "setting",
    [
        {"name": "prefix"},
        {"rank": 0},
        {"variant": "lokr"},
        {"layers": 1.5},
        {"dropout": 1.0},
        {"targets": " , "},
        {"layers": 0.5},
    ],
)
def test_a_method_that_makes_no_sense_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Method(**setting)


@pytest.mark.parametrize(
    "setting", [{"epochs": 0}, {"patience": -1}, {"batch_size": 6, "micro_batch": 4}, {"dtype": "int8"}]
)
def test_a_recipe_that_makes_no_sense_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Recipe(**setting)


def test_an_adapter_on_the_output_head_is_refused(weights: Weights) -> None:
    with pytest.raises(ConfigError, match="Leave lm_head out of targets"):
        load_trainable(weights, Method(targets="q_proj,lm_head"), "float32", 0)


def test_targets_that_the_base_does_not_have_are_named(weights: Weights) -> None:
    with pytest.raises(ConfigError, match="targets is 'c_attn'"):
        load_trainable(weights, Method(targets="c_attn"), "float32", 0)


def test_a_full_training_does_not_continue_an_adapter(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't continue an adapter"):
        load_trainable(weights, Method(name="full"), "float32", 0, tmp_path)
