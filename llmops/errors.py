"""Errors a user can act on. Anything else is a bug and keeps its traceback."""


class LLMOpsError(Exception):
    """A user's mistake, said in one line: what was found, what was expected, what to do."""


class ConfigError(LLMOpsError):
    """A parameter has a value that makes no sense."""


class DataError(LLMOpsError):
    """A document, question or example file can't be used as it is."""


class WeightsError(LLMOpsError):
    """Model weights are missing, unknown, or not the ones that were asked for."""


class ArtifactError(LLMOpsError):
    """An index, adapter or release is missing, damaged, or doesn't fit the others."""


class DeploymentError(LLMOpsError):
    """A deployment can't be made, found or reached."""


class EngineError(LLMOpsError):
    """What generates answers can't be reached, refuses, or broke off."""


class WindowError(EngineError):
    """A prompt and its answer don't fit the model's window."""


class LedgerError(LLMOpsError):
    """The ledger of a seat is broken, refuses an entry, or can't be read or written."""


class Conflict(LedgerError):
    """Another process decided about the same seat meanwhile."""
