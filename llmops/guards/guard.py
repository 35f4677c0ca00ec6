"""The guards of a release: the same on every question, passage and answer, in evaluation and in production."""

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cache

from llmops.errors import ConfigError
from llmops.guards import personal, secrets
from llmops.guards.check import Find, Guard, blocks, moved, record
from llmops.guards.finding import Finding, Verdict, verdict_on
from llmops.guards.injection import Classifier, classified, find_injection, find_passage_injection
from llmops.guards.leak import Leak
from llmops.guards.personal import find_personal_data, is_known
from llmops.guards.secrets import find_secrets
from llmops.guards.sentences import arriving
from llmops.guards.settings import GuardSettings
from llmops.guards.support import evidence_in, find_unsupported
from llmops.types import Spans, no_spans


class Guards:
    """Runs a release's guards. `system_prompt` is what no answer may give away: the prompt's template will do.

    `classifier` is given exactly when the settings name one.

    Raises:
        ConfigError: the classifier is missing, or one too many.
    """

    def __init__(self, settings: GuardSettings, system_prompt: str, classifier: Classifier | None = None) -> None:
        if bool(settings.injection_classifier) != (classifier is not None):
            found = f"injection_classifier is {settings.injection_classifier!r}, and a classifier is"
            raise ConfigError(f"{found} {'given' if classifier else 'missing'}. Name and give one, or neither.")
        self.settings = settings
        self._classifier = classifier
        self._leak = Leak(system_prompt, settings.leaked_words, settings.canary)
        self._personal = _personal_finder(settings.personal_data_finder)
        under_way = {
            "leaked_prompt": self._leak.is_open,
            "answer_secrets": secrets.ends_in_name,
            "answer_personal_data": personal.ends_in_name,
        }
        self._under_way = [is_open for name, is_open in under_way.items() if getattr(settings, name) != "off"]

    def check_input(self, question: str, spans: Spans = no_spans) -> Verdict:
        """Check a question before anything is retrieved for it. The first guard that blocks is the last that runs."""
        finders = {"too_long": self._too_long, "injection": self._orders, "question_personal_data": self._personal}
        found: list[Finding] = []
        for guard in self._on(finders):
            found += guard.run([question], spans)[0]
            if blocks(found):
                break
        return verdict_on(question, found)

    def check_passages(self, texts: Sequence[str], spans: Spans = no_spans) -> list[Verdict]:
        """Check retrieved passages, each as a text of its own; of one that is blocked nothing is left."""
        found: list[list[Finding]] = [[] for _ in texts]
        for guard in self._on({"passage_injection": find_passage_injection}):
            found = guard.run(texts, spans)
        return [verdict_on(text, findings, blocked="") for text, findings in zip(texts, found, strict=True)]

    def check_output(self, answer: str, passages: Sequence[str], spans: Spans = no_spans, own: str = "") -> Verdict:
        """Check an answer against the passages that were shown and the question, `own`, it answers.

        Personal data stays that the user gave or a shown passage holds: an office's address in a handbook is what the
        handbook says. A secret goes wherever it comes from.
        """
        parts = list(self._parts([answer]))
        found: list[Finding] = []
        for guard in self._output_guards(passages, own):
            start = 0
            for part, findings in zip(parts, guard.run(parts, spans), strict=True):
                found += moved(findings, start)
                start += len(part)
            if blocks(found):
                break
        return verdict_on(answer, found)

    def stream_output(
        self, pieces: Iterator[str], passages: Sequence[str], spans: Spans = no_spans, own: str = ""
    ) -> Generator[str, None, Verdict]:
        """Yield a checked answer while it arrives, and return the verdict on it: a sentence goes out when all guards saw it.

        What is yielded makes up `check_output`'s text, but for an answer that is blocked: of that the sentences before are
        out, then comes the refusal, and the rest is not read. Each guard has one span, at the end.
        """
        costs_ms: dict[str, float] = defaultdict(float)
        found: list[Finding] = []
        said = ""
        guards = self._output_guards(passages, own)
        try:
            for part in self._parts(pieces):
                here: list[Finding] = []
                for guard in guards:
                    findings, cost_ms = guard.check(part)
                    here += findings
                    costs_ms[guard.name] += cost_ms
                found += moved(here, len(said))
                said += part
                yield verdict_on(part, here).text
                if blocks(here):
                    break
        finally:  # whoever reads may stop early
            for name, cost_ms in costs_ms.items():
                with spans(f"guard {name}", "GUARDRAIL") as span:
                    record(span, [finding for finding in found if finding.guard == name], cost_ms)
        return verdict_on(said, found)

    def _on(self, finders: dict[str, Find]) -> list[Guard]:
        guards = [Guard(name, getattr(self.settings, name), find) for name, find in finders.items()]
        return [guard for guard in guards if guard.action != "off"]

    def _output_guards(self, passages: Sequence[str], own: str) -> list[Guard]:
        known = [own, *passages]
        evidence = cache(lambda: evidence_in(passages))
        finders: dict[str, Find] = {
            "leaked_prompt": lambda part: self._leak.find(part, known),
            "answer_secrets": find_secrets,
            "answer_personal_data": lambda part: [f for f in self._personal(part) if not is_known(f, part, known)],
        }
        if passages:  # without them there is nothing to compare with
            finders["unsupported"] = lambda part: find_unsupported(part, evidence(), self.settings.min_support)
        return self._on(finders)

    def _parts(self, pieces: Iterable[str]) -> Iterator[str]:
        """Sentences, those put together of which one alone may not show what is under way: a leak, a name and its secret."""
        held = ""
        for sentence in arriving(pieces):
            held += sentence
            if not any(is_open(held) for is_open in self._under_way):
                yield held
                held = ""
        if held:
            yield held

    def _too_long(self, question: str) -> list[Finding]:
        most = self.settings.max_question_chars
        if len(question) <= most:
            return []
        return [Finding("too long", f"{len(question)} characters, at most {most} are read", most, len(question), "")]

    def _orders(self, question: str) -> list[Finding]:
        found = find_injection(question)
        if self._classifier is not None and not any(finding.kind == "instruction" for finding in found):
            found += classified(question, self._classifier, self.settings.injection_threshold)
        return found


def _personal_finder(name: str) -> Find:
    if name == "patterns":
        return find_personal_data
    from llmops.guards.presidio import presidio_finder

    return presidio_finder(name.partition(":")[2])
