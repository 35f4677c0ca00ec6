"""The gateway in front of a release, and the deployments that run it. Uses MLflow."""
