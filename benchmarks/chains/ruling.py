"""Whether a model keeps the four rules of the sample prompt, each on cases made from the sample handbook's examples.

Answer from the context; say "I don't know" where the context lacks the answer, is irrelevant, or the question is no complete
question; be brief; cite. Beside the prompt stands one that only asks, and how often an answer that is there is refused.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.chains.batching import BASE, HANDBOOK
from benchmarks.measure import on_one_core
from llmops.chains import citations
from llmops.chains.prompt import Prompt, is_abstention, parse_prompt, read_prompt
from llmops.datasets.examples import read_examples
from llmops.evaluation.metrics import token_f1
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.types import Example, GenerationRequest

PLAIN = parse_prompt("Answer the question.\n\nContext:\n{context}\n\nQuestion: {question}")
MAX_NEW_TOKENS, BRIEF = 32, 12  # words


def measure(cases: int, adapter: str = "") -> dict[str, Any]:
    """Shares of `cases` examples, for the base, and for an adapter on it if a folder of one is given."""
    return on_one_core(_measure, cases, adapter)


def _measure(count: int, adapter: str) -> dict[str, Any]:
    engine = TransformersEngine(resolve_weights(BASE))
    examples = [e for e in read_examples(HANDBOOK / "examples.jsonl") if len(e.context) > 1 and _holding(e) is not None][
        :count
    ]
    ruled = read_prompt(HANDBOOK / "prompt.txt")
    contenders: dict[str, tuple[Prompt, str | None]] = {"prompt": (ruled, None), "only asked": (PLAIN, None)}
    if adapter:
        contenders["adapter"] = (ruled, engine.load_adapter(Path(adapter)))
    return {
        "rules": {name: _keeps(engine, examples, prompt, loaded) for name, (prompt, loaded) in contenders.items()},
        "rules_cases": len(examples),
    }


def _keeps(engine: TransformersEngine, examples: Sequence[Example], prompt: Prompt, adapter: str | None) -> dict[str, float]:
    def ask(cases: Sequence[Example]) -> list[str]:
        requests = [GenerationRequest((prompt.message(e.question, e.context),), MAX_NEW_TOKENS, adapter) for e in cases]
        return [completion.text for completion in engine.generate(requests)]

    said = ask(examples)
    plain = [citations.without_marks(text) for text in said]
    pairs = list(zip(said, examples, strict=True))
    return {
        "answers from the context": fmean(
            token_f1(text, [e.answer]) >= 0.5 for text, e in zip(plain, examples, strict=True)
        ),
        "abstains, answer lacking": _abstains(ask([_lacking(example) for example in examples])),
        "abstains, irrelevant": _abstains(ask(_irrelevant(examples))),
        "abstains, no complete question": _abstains(ask([_incomplete(example) for example in examples])),
        "is brief": fmean(len(text.split()) <= BRIEF for text in plain),
        "cites the passage": fmean(_holding(example) in citations.cited(text) for text, example in pairs),
        "refuses what is there": _abstains(said),
    }


def _abstains(texts: Sequence[str]) -> float:
    return fmean(map(is_abstention, texts))


def _holding(example: Example) -> int | None:
    """The place of the passage that holds the answer; None where none does, or the example abstains."""
    places = citations.cited(citations.mark(example.answer, example.context))
    return None if is_abstention(example.answer) or not places else places[-1]


def _lacking(example: Example) -> Example:
    """The example without the passages that hold its answer."""
    lacking = (text for text in example.context if citations.mark(example.answer, [text]) == example.answer)
    return replace(example, context=tuple(lacking))


def _irrelevant(examples: Sequence[Example]) -> list[Example]:
    """Each question with the passages of an example far from it in the file."""
    half = len(examples) // 2
    return [replace(e, context=examples[(i + half) % len(examples)].context) for i, e in enumerate(examples)]


def _incomplete(example: Example) -> Example:
    words = example.question.split()
    return replace(example, question=" ".join(words[: max(2, len(words) // 3)]))
