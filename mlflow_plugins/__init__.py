"""Thin adapters for MLflow's entry-point groups: a file is a group."""
