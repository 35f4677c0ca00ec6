"""The supervisor of a deployment. Nothing is imported here: who asks what runs reads `record` without the rest."""
