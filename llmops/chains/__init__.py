"""Prompt, few-shot examples, answering, and the release that pins them."""
