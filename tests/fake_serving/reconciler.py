"""Writes a plan, and looks after its supervisor as the real one does."""

import argparse
import os
import time

import fake_serving.supervisor  # noqa: F401  # so that it starts the fake one
from llmops.serving import state
from llmops.serving.supervisor.starting import revive

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--name")
    name, parent = parser.parse_args().name, os.getppid()
    plan = state.deployment_folder(name) / state.PLAN
    if not plan.exists():
        state.write_json(plan, {"generation": 1, "current": "models:/handbook/1", "loaded": {"models:/handbook/1": {}}})
    while (plan.parent / state.DEPLOYMENT).exists():
        if os.getppid() != parent and revive(name):
            time.sleep(2)
        time.sleep(0.1)
