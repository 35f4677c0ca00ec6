"""Chunks -> vectors -> index -> hits."""
