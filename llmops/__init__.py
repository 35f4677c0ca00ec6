"""Nouns of an LLMOps platform that lives inside MLflow. A folder is a room, a file is one noun."""
