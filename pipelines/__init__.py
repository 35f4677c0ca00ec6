"""Verbs: a file is an MLproject entry point, run as `python -m pipelines.<name>`."""
