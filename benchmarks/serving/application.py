"""A small application in the store: releases of one base with other prompts, adapters or an index, attested by a ledger.

Adapters are of random weights: what is measured is what it costs to serve them, not what they say.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow

from benchmarks.serving.load import Ask
from llmops import digests
from llmops.chains.parts import Generator, Retrieval
from llmops.chains.release import Release
from llmops.datasets.questions import read_questions
from llmops.models.adapter import write_identity
from llmops.models.engine import resolve_dtype
from llmops.models.tokenizer import base_identity, load_tokenizer
from llmops.models.weights import Weights, resolve_weights
from llmops.registry.identity import who
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit
from llmops.registry.parts import part_digests
from llmops.registry.promotion import now
from llmops.registry.seat import Seat
from llmops.retrieval.search import Search
from llmops.tracking.flavor import log_folder
from llmops.tracking.prompts import register_template
from llmops.tracking.releases import log_release, read_release
from llmops.tracking.versions import Registered, get_version
from pipelines import index
from pipelines.index import IndexConfig

APP = "benchmark"
SEAT = Seat(APP)
CHAMPION = f"models:/{APP}@champion"
HANDBOOK = Path(__file__).parents[2] / "examples" / "handbook"
RANK = 8
_PROMPTS = (
    "Answer the question in a few sentences.\n\n{context}\n\nQuestion: {question}",
    "Explain at length what is asked here.\n\n{context}\n\nQuestion: {question}",
)


def questions(count: int) -> list[str]:
    """So many questions about the handbook; beyond its own number they come again."""
    known = [one.text for one in read_questions(HANDBOOK / "questions-test.jsonl")]
    return [known[number % len(known)] for number in range(count)]


@dataclass(frozen=True)
class Application:
    """Makes releases on a base that answer with up to `tokens` tokens. `dtype` is what the machine computes best with."""

    weights: Weights
    dtype: str
    tokens: int

    @classmethod
    def on(cls, base: str, tokens: int) -> "Application":
        return cls(resolve_weights(base), resolve_dtype("auto"), tokens)

    def prompted(self, which: int = 0) -> Registered:
        """A release of the base alone, with the first prompt or the second."""
        return self._log("prompt", which, self._generator())

    def adapted(self, folder: Path) -> Registered:
        """One with the adapter in a folder."""
        with mlflow.start_run():
            made = log_folder(
                "adapter", folder, f"{APP}-adapter", digests.of_folder(folder), {"method": "lora", "rank": RANK}
            )
        return self._log("adapter", 0, replace(self._generator(), adapter=made.uri, adapter_digest=made.digest))

    def retrieving(self) -> Registered:
        """One that retrieves from the sample handbook, by the index that the step `index` makes."""
        uri = index.main(IndexConfig(app=APP, documents=str(HANDBOOK / "documents"), backend="torch-fp32"))
        return self._log("rag", 0, self._generator(), Retrieval(uri, get_version(uri).digest, Search()))

    def make_adapter(self, folder: Path, seed: int) -> Path:
        """A LoRA on all the base's attention, as the step `finetune` saves it, of random weights."""
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        method = LoraConfig(r=RANK, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
        get_peft_model(AutoModelForCausalLM.from_pretrained(self.weights.folder), method).save_pretrained(folder)
        write_identity(folder, base_identity(self.weights, load_tokenizer(self.weights)))
        return folder

    def _generator(self) -> Generator:
        return Generator(self.weights.source, self.weights.digest, self.dtype, self.tokens)

    def _log(self, kind: str, which: int, generator: Generator, retrieval: Retrieval | None = None) -> Registered:
        template = _PROMPTS[which]
        prompt = register_template(f"{APP}-prompt", template)
        with mlflow.start_run():
            return log_release(Release(APP, kind, prompt, template, generator, retrieval))


def promote(version: Registered) -> None:
    """Give the seat to a version, by an entry in the ledger as `promote` writes it; there was no evaluation to cite."""
    before = standing(SEAT)
    parts = part_digests(read_release(version.uri))
    draft = Entry(
        0, "", "", "promote", before.attested, version.version, version.uri, version.digest, parts, "0" * 64, "",
        f"benchmark {len(before.entries)}", who(), now(), "the benchmark moves it",
    )  # fmt: skip
    commit(SEAT, draft, len(before.entries))


def chat(url: str, question: str, **more: Any) -> Ask:
    """A chat request to a gateway."""
    return Ask(f"{url}/v1/chat/completions", {"model": APP, "messages": [_user(question)], **more})


def respond(url: str, question: str, **more: Any) -> Ask:
    """A request of the Responses API to a gateway."""
    return Ask(f"{url}/v1/responses", {"model": APP, "input": question, **more})


def _user(question: str) -> dict[str, str]:
    return {"role": "user", "content": question}
