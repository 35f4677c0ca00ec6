"""Answering in bulk, metrics, statistics, scorecard."""
