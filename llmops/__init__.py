"""Nouns of an LLMOps platform that lives inside MLflow. A folder is a room, a file is one noun."""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # else TRL tells the hub of every training
