# Two commands matter: `make deploy` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
UV := $(BIN)/uv
export UV_NO_PROGRESS := 1

.venv/ready: requirements-dev.lock deploy/bootstrap.sh
	@deploy/bootstrap.sh

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: lock
lock: .venv/ready ## regenerate both locks from pyproject.toml
	$(UV) pip compile -q pyproject.toml --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url -o requirements.lock
	$(UV) pip compile -q pyproject.toml --group dev --constraint requirements.lock --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url -o requirements-dev.lock

.PHONY: lint
lint: .venv/ready ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
