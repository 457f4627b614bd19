# The suites. Included by the Makefile.
takes.test := TESTS
PYTEST = $(BIN)/pytest -q --durations=10
# Tests that share nothing wait a part of their time: four at once. Those with hosts share the hosts, so one at a time.
APART = tests/cli tests/deploy tests/worker tests/flows tests/standins
SPREAD = --numprocesses=4 --dist=worksteal
LANES = $(MAKE) --no-print-directory --keep-going --output-sync=target
# The sandboxes of one test run share their file trees.
test test-all test-rest test-chaos faults servers: export HUBLAB_SANDBOX_TREES ?= $(CURDIR)/.hublab/trees

.PHONY: test
test: .venv/ready $(if $(TESTS),lint) ## what to run before a commit: lint, types, all that needs no host, and the essentials on a real one (root) [TESTS=folder]
	@$(if $(TESTS),$(PYTEST) $(if $(filter-out $(APART:=%),$(TESTS)),,$(SPREAD)) $(TESTS),$(LANES) --jobs=3 lint test-here test-host)

.PHONY: test-all
test-all: test ## `make test`, and then the rest: every test on hosts, the sandbox, the whole way in a browser, a small chaos
	@$(LANES) test-rest

# Lanes side by side: what needs no host computes, the other waits for its host most of the time.
.PHONY: test-here test-host
HERE = $(PYTEST) $(SPREAD) $(APART) tests/e2e --ignore=tests/e2e/test_in_sandbox.py
test-here: .venv/ready
	@$(HERE) -m "not long and not faults"
test-host: export HUBLAB_TEST_HOSTS := essential
test-host: .venv/ready
	@$(PYTEST) -m essential tests/hosts

# What `make test` leaves out. Hosts wait more than they compute, so four lanes at a time, and the longest first.
.PHONY: test-rest test-rest-here test-rest-sandbox test-rest-upgrade test-rest-cure test-rest-rollout test-rest-operator
.PHONY: test-rest-stock test-rest-containers
REST = $(PYTEST) -m "not essential and not faults"
ON_HOSTS = tests/hosts/test_
test-rest: .venv/ready
	@$(LANES) --jobs=4 $(addprefix test-rest-,upgrade rollout cure operator stock here containers sandbox)
test-rest-here: .venv/ready
	@$(HERE) -m "long and not faults"
test-rest-containers: .venv/ready
	@$(REST) tests/containers
test-rest-sandbox: .venv/ready
	@$(REST) tests/sandbox
# Each of these has hosts of its own, by its name.
test-rest-%: export HUBLAB_TEST_HOSTS = $(@:test-rest-%=%)
# The release that they deploy is the one that a host of `make test` has built; that lane, and each second host, builds.
test-rest-%: export HUBLAB_TEST_RELEASED := 1
# Two workers on each: the third, which a rollout has not come to, is seen by `make test` and by `make faults`.
test-rest-%: export HUBLAB_TEST_WORKERS := 2
test-rest-upgrade: .venv/ready
	@$(REST) $(ON_HOSTS)9_upgrade.py $(ON_HOSTS)6_chaos.py
test-rest-stock: .venv/ready
	@$(REST) $(ON_HOSTS)9_stock.py; failed=$$?; $(REST) tests/e2e/test_in_sandbox.py && exit $$failed
test-rest-cure: .venv/ready
	@$(REST) $(ON_HOSTS)[1-3]_*.py
test-rest-rollout: .venv/ready
	@$(REST) $(ON_HOSTS)[45]_*.py
test-rest-operator: .venv/ready
	@$(REST) $(filter-out $(addprefix $(ON_HOSTS),6_chaos.py 9_stock.py 9_upgrade.py),$(wildcard $(ON_HOSTS)[6-9]_*.py))

# What the budget leaves is gone on with by the next call. One at a time where the machine has other work: CHILDREN=1.
takes.mutants := ROOM BUDGET CHILDREN
.PHONY: mutants
mutants: .venv/ready ## does a test fail when the pure rooms of deploy, worker and flows say something else? [ROOM="flows.webhooks.signatures*"] [BUDGET=seconds: 3600] [CHILDREN=at a time: one for each core]
	@timeout $(or $(BUDGET),3600) nice $(BIN)/mutmut run$(if $(CHILDREN), --max-children $(CHILDREN))$(if $(ROOM), "$(ROOM)"); $(BIN)/python -m tests.mutants

.PHONY: coverage
coverage: .venv/ready ## branch coverage of flows/ by its tests; 95 % at least
	@$(BIN)/pytest -q $(SPREAD) --cov=flows --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=95 tests/flows

.PHONY: test-chaos
test-chaos: .venv/ready ## a twentieth of `./hublab chaos`, with its verdict as a test (ten minutes, root)
	@$(PYTEST) tests/hosts/test_6_chaos.py

.PHONY: test-other-servers
test-other-servers: .venv/ready ## what finds lost runs, against servers of Prefect 3.4.1 and 3.8.8 (also in `make test-all`)
	@$(PYTEST) $(SPREAD) tests/worker/test_recovery_on_other_servers.py

# Two lanes side by side, each with hosts of its own. HUBLAB_FAULTS names the run; by its name one is gone on with.
.PHONY: faults faults-one-host faults-many-hosts
faults: export HUBLAB_FAULTS ?= $(shell date -u +%Y-%m-%dT%H:%M:%SZ)
faults: .venv/ready ## break deploys on real hosts in every way there is, and write docs/faults.md (root, over an hour)
	@$(LANES) --jobs=2 faults-one-host faults-many-hosts
FAULT = $(BIN)/pytest -v -m "faults or not faults"
faults-one-host: export HUBLAB_TEST_HOSTS := faults
faults-one-host: .venv/ready
	@$(FAULT) $(addprefix tests/hosts/test_,6_*faults.py 6_gates.py 6_going_back.py 6_suspended.py 8_lost_runs.py)
faults-many-hosts: export HUBLAB_TEST_HOSTS := faults-many
faults-many-hosts: .venv/ready
	@$(FAULT) $(addprefix tests/hosts/test_,9_with_three_hosts.py 9_waves.py)

.PHONY: servers
servers: export HUBLAB_SERVERS ?= $(shell date -u +%Y-%m-%dT%H:%M:%SZ)
servers: export HUBLAB_TEST_HOSTS := servers
servers: .venv/ready ## deploy, drain, crash and campaign at Prefect servers of 3.4.1, 3.6.6, 3.8.8 and the workers' own version, and write docs/servers.md (root, forty minutes)
	@$(FAULT) tests/hosts/test_9_servers.py
