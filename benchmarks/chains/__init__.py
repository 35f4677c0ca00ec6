"""Measurements of what turns a question into an answer."""
