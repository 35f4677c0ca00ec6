"""Personal data found by Microsoft Presidio instead of our patterns: an extra, and nothing is fetched for it.

Without a spaCy model it knows what has a pattern. With one that is installed it also knows names of people and places, in
English; a model's answer depends on its version, so pin it.
"""

import logging
from typing import Any

from llmops.errors import ConfigError
from llmops.guards.check import Find
from llmops.guards.finding import Finding

_MIN_SCORE = 0.4  # of Presidio's confidence; a phone number without a word like "phone" before it has just that
_KINDS = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IBAN_CODE": "iban", "CREDIT_CARD": "card", "US_SSN": "national id",
    "US_ITIN": "national id", "UK_NHS": "national id", "IP_ADDRESS": "ip address", "CRYPTO": "wallet", "PERSON": "name",
    "LOCATION": "place",
}  # fmt: skip


def presidio_finder(model: str = "") -> Find:
    """A finder of personal data in English texts; `model` is an installed spaCy model, such as en_core_web_sm, or "".

    Raises:
        ConfigError: Presidio or the model is not installed.
    """
    analyzer = _analyzer(model)
    entities = [entity for entity in _KINDS if entity in analyzer.get_supported_entities("en")]

    def find(text: str) -> list[Finding]:
        results = analyzer.analyze(text, language="en", entities=entities, score_threshold=_MIN_SCORE)
        kinds = {(result.start, result.end): _KINDS[result.entity_type] for result in results}
        return [Finding(kind, kind, *span, f"[{kind}]") for span, kind in sorted(kinds.items())]

    return find


def _analyzer(model: str) -> Any:
    try:  # 1.5 s to import; 6 s where torch and transformers are installed, which it then imports too
        import tldextract
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine.no_op_nlp_engine import NoOpNlpEngine
    except ImportError as error:
        raise ConfigError(f"Presidio is not installed ({error}). Run pip install 'mlflow-llmops[presidio]'.") from error
    # It checks the domains of addresses against a list, which it would download; the one in the package will do.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it warns of each recognizer of another language
    engine = _spacy_engine(model) if model else NoOpNlpEngine([{"lang_code": "en", "model_name": ""}])
    if not model:
        engine.load()
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


def _spacy_engine(model: str) -> Any:
    import spacy
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": model}])
    try:
        engine.nlp = {"en": spacy.load(model)}  # its own load() would download what it doesn't find
    except OSError as error:
        raise ConfigError(f"spaCy model {model!r} is not installed. Install it with pip, or name none.") from error
    return engine
