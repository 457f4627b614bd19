# What a developer runs. `./hublab` is the one command line; four of its words are here as well, and `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
UV := $(BIN)/uv
export UV_NO_PROGRESS := 1
# Byte code is what makes a second start fast.
unexport PYTHONDONTWRITEBYTECODE
include tests/tests.mk

# Looked at before anything is done: make comes to a word that is no target when the targets before it are done, and
# takes any variable without a word. What stands here goes to the tools themselves, for any target.
EVERYWHERE := HUBLAB_ENV_FILE HUBLAB_KEEP_SANDBOX HUBLAB_SANDBOX_SUBNET HUBLAB_SANDBOX_SUITE HUBLAB_SANDBOX_TREES UV_NO_PROGRESS
GOALS := $(or $(MAKECMDGOALS),help)
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
TARGETS := .venv/ready $(shell sed -n 's/^\.PHONY://p' $(MAKEFILE_LIST))
ifneq ($(filter-out $(TARGETS),$(GOALS)),)
$(error $(filter-out $(TARGETS),$(GOALS)): no target of make. `make help` lists them, `./hublab --help` what else there is)
endif
LEFT := $(foreach goal,$(GOALS),$(foreach name,$(filter-out $(takes.$(goal)) $(EVERYWHERE),$(GIVEN)),$(name) of `make $(goal)`))
ifneq ($(strip $(LEFT)),)
$(error $(strip $(LEFT)): make cannot pass it on, and nothing was done. `./hublab --help` shows how it is written)
endif

.venv/ready: requirements-dev.lock deploy/bootstrap.sh
	@deploy/bootstrap.sh

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deploy verify
deploy: ## ./hublab deploy
verify: ## ./hublab verify
deploy verify:
	@./hublab $@

.PHONY: lint
lint: .venv/ready ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: lock
lock: .venv/ready ## regenerate both locks from pyproject.toml, and the list of what a release is made of (CycloneDX)
	$(UV) pip compile -q pyproject.toml --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url -o requirements.lock
	$(UV) pip compile -q pyproject.toml --group dev --constraint requirements.lock --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url -o requirements-dev.lock
	PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible -o worker/requirements.cdx.json requirements.lock

.PHONY: clean
clean: ## the sandbox, and what only saves time: downloaded wheels, file trees of the tests
	@./hublab sandbox down
	rm -rf .hublab
