"""Our nouns as MLflow runs, models and traces."""
