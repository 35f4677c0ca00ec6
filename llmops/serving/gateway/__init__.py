"""The HTTP server in front of releases: OpenAI's and MLflow's requests in, answers with their sources out.

`app` puts the parts together. Nothing is imported here: a supervisor reads `metrics` without the rest.
"""
