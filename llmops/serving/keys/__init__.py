"""API keys of a deployment: who may ask, and what."""
