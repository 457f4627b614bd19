# Two commands matter: `make deploy` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
UV := $(BIN)/uv
comma := ,
export UV_NO_PROGRESS := 1
# Byte code is what makes a second start fast.
unexport PYTHONDONTWRITEBYTECODE
-include flows/flows.mk tests/tests.mk

# What may stand beside a target on the command line; a variable that its target does not take is an error.
takes.deploy := LIMIT WAVE PAST HOSTS
takes.plan := LIMIT WAVE
takes.rollback := LIMIT WAVE RELEASE
takes.decommission := LIMIT
takes.status := LIMIT JSON
takes.history := LIMIT JSON
takes.unlock := LIMIT
takes.run-again := RUNS
takes.verify := LIMIT
takes.coolify-adopt := APP BY LIST
takes.e2e := SPEED YES
takes.image := BASE TARGET

.venv/ready: requirements-dev.lock deploy/bootstrap.sh
	@deploy/bootstrap.sh

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: lock
lock: .venv/ready ## regenerate both locks from pyproject.toml, and the list of what a release is made of (CycloneDX)
	$(UV) pip compile -q pyproject.toml --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url -o requirements.lock
	$(UV) pip compile -q pyproject.toml --group dev --constraint requirements.lock --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url -o requirements-dev.lock
	PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible -o worker/requirements.cdx.json requirements.lock

.PHONY: audit
audit: .venv/ready ## is a vulnerability known in what the lock names? Says so when its service cannot be asked
	@./hublab audit

# What is typed here goes on to ./hublab, which has more to offer. Without a terminal nobody is there to be asked.
UNASKED = $$(test -t 0 || echo --yes) $(if $(WAVE),--wave $(WAVE))

.PHONY: deploy
deploy: .venv/ready ## turn the hosts of .env (or a sandbox) into worker hosts [LIMIT=host] [WAVE=n: hosts side by side at the most] [PAST=1 HOSTS=n for the sandbox]
	@./hublab deploy $(UNASKED) $(if $(HOSTS),--hosts $(HOSTS)) $(if $(PAST),--past)

.PHONY: plan
plan: .venv/ready ## what a deploy would do; changes nothing [LIMIT=host]
	@./hublab plan $(if $(WAVE),--wave $(WAVE)) || test $$? = 2

.PHONY: rollback
rollback: .venv/ready ## back to the release before, or to RELEASE=id; builds nothing [LIMIT=host]
	@./hublab rollback $(UNASKED) $(if $(RELEASE),--to $(RELEASE))

.PHONY: decommission
decommission: .venv/ready ## drain hosts that leave, remove all that deploys put there, and say what is left LIMIT=host
	@./hublab decommission $(UNASKED) $(or $(LIMIT),$(error LIMIT: missing. Name the hosts that leave, as in HUBLAB_HOSTS: make decommission LIMIT=host))

.PHONY: status
status: .venv/ready ## what each host and worker does, and how it differs from the plan; exit 0 only if it does not [LIMIT=host] [JSON=1]
	@./hublab status $(if $(JSON),--json)

.PHONY: history
history: .venv/ready ## who deployed what, when, and how it ended [LIMIT=host] [JSON=1]
	@./hublab history $(if $(JSON),--json)

.PHONY: run-again
run-again: .venv/ready ## have flow runs run again that are lost or were given up; `make status` names them [RUNS="id id"]
	@./hublab run-again $(subst $(comma), ,$(RUNS))

.PHONY: unlock
unlock: .venv/ready ## remove the locks of deploys that are known to be dead [LIMIT=host]
	@./hublab unlock

.PHONY: coolify-list coolify-adopt
coolify-list: .venv/ready ## the servers that Coolify manages, and what runs on each
	@./hublab coolify list
coolify-adopt: .venv/ready ## replace a stock worker in a container of Coolify's by one of ours; nothing is deleted [APP=uuid] [LIST=1: only look] [BY=uuid: of an application made by hand]
	@./hublab coolify adopt $(APP) $(if $(BY),--by $(BY)) $(if $(LIST),--list)

.PHONY: verify
verify: .venv/ready ## prove that the hosts are as they must be (testinfra) [LIMIT=host]
	@./hublab verify

.PHONY: image
image: .venv/ready ## the worker's image of this checkout, as Coolify builds it (Docker) [BASE=image@digest TARGET=webhooks]
	@./hublab image $(if $(BASE),--base "$(BASE)") $(if $(TARGET),--target "$(TARGET)")

.PHONY: e2e e2e-nightly
e2e: .venv/ready ## from the form to sixteen delivered mails, in a browser, with a report: in a sandbox, or what .env names [SPEED=4 YES=1]
	@./hublab e2e $(if $(SPEED),--speed $(SPEED)) $(if $(YES),--yes)
e2e-nightly: .venv/ready ## the same in a sandbox, with minutes of sixty seconds (seven minutes)
	@$(BIN)/python -m e2e --sandbox --speed 1

.PHONY: sandbox-down
sandbox-down: .venv/ready ## remove the sandbox, with everything it made
	@./hublab sandbox down

.PHONY: clean
clean: sandbox-down ## remove also what only saves time: downloaded wheels, file trees of the tests
	rm -rf .hublab

# Looked at before anything else is done, whatever the target. `origin` is what make itself knows of a variable.
GOALS := $(or $(MAKECMDGOALS),help)
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
quoted = '$(subst ','\'',$(1))'
define newline


endef
FAULTS := $(shell $(or $(wildcard $(BIN)/python),python3) deploy/options.py $(call quoted,$(MAKEFILE_LIST)) \
	$(foreach goal,$(GOALS),$(call quoted,$(goal):$(strip $(takes.$(goal))))) -- \
	$(foreach name,$(GIVEN),$(call quoted,$(name)=$(value $(name)))))
ifneq ($(.SHELLSTATUS),0)
$(error $(or $(subst |,$(newline),$(FAULTS)),Python 3 is needed to look at what stands on the command line))
endif

.PHONY: lint
lint: .venv/ready ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
