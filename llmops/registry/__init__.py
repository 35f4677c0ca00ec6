"""Policy, decision, and the alias it moves. Uses MLflow."""
