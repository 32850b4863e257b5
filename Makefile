# SPDX-License-Identifier: CC0-1.0

BIN := .venv/bin
# Most tests wait, for a server or a program: so more run at once than two cores would.
WORKERS := 6
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup lint test coverage test-newer test-apacheds async test-pythons dist demo workload faults \
	faults-sinks faults-postgresql fuzz soak bench bench-large bench-stores bench-instructions bench-check docs \
	clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## Install what is missing: servers, headers, .venv
	@bash .ci/setup

lint: setup ## Style, types, and what is known to be unsafe
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive syncrepl_client
	.ci/audit

test: lint ## All checks and tests
	$(PYTEST)
	SYNCREPL_CLIENT=async $(PYTEST) tests/live/test_client_basics.py \
		tests/faults/test_callback_errors.py tests/faults/test_changenumbers.py

coverage: setup ## The tests, and what of the library they don't reach (20 minutes)
	$(PYTEST) --cov --cov-report=term-missing:skip-covered

test-newer: setup ## The same servers, newer: Debian 13's, in .build/trixie (root; 30 minutes)
	.ci/newer $(BIN)/pytest tests/live tests/faults tests/cli
	.ci/newer $(BIN)/python -m tests.workload --slapd 40 --ds389 40

test-apacheds: setup ## ApacheDS is refused, and why (Debian's package)
	@bash .ci/apacheds
	$(BIN)/pytest tests/live/apacheds.py

async: setup ## All tests of clients again, on AsyncSyncrepl (7 minutes)
	SYNCREPL_CLIENT=async $(PYTEST) tests/live tests/faults \
		--ignore tests/live/test_asynchronous.py --ignore tests/live/test_together.py \
		--ignore tests/faults/test_forks.py \
		--deselect tests/live/test_iteration.py::test_unbind_in_the_loop

test-pythons: setup ## The tests that depend on Python's version, on each that is found (15 minutes)
	$(BIN)/pip install -q --group pythons
	$(BIN)/nox

dist: setup ## What is published: a wheel and a source distribution, checked
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

demo: ## Watch a directory change, on a throw-away server
	@bash .ci/setup demo
	$(BIN)/python -m tests.demo

workload: setup ## Random changes, restarts and kills against real servers
	$(BIN)/python -m tests.workload --slapd 200 --ds389 40

faults: setup ## Kill clients and servers, cut connections at every message (30 minutes)
	$(BIN)/python -m tests.faults.kills --clients 300 --servers 60
	$(BIN)/python -m tests.faults.wire
	$(BIN)/python -m tests.transitions --starts 300

faults-sinks: setup ## Kill relays, followers and brokers, for each kind of sink (60 minutes)
	$(BIN)/python -m tests.faults.sinks --away 100000

faults-postgresql: setup ## Kill followers that share a store, their connections and databases (20 minutes)
	$(BIN)/python -m tests.faults.takeovers
	$(BIN)/python -m tests.faults.takeovers --server slapd --pooler

fuzz: setup ## Fuzz every decoder, and the protocol, 10 minutes each
	$(BIN)/python -m tests.fuzz --seconds 600

soak: setup ## A million changes through one client: memory, descriptors, threads
	$(BIN)/python -m tests.soak --changes 1000000

bench: setup ## Measure, beside others, at 1,000 to 100,000 entries (10 minutes)
	$(BIN)/pip install -q --group bench
	$(BIN)/python -m bench --entries 1000 10000 100000

bench-large: setup ## The same at 1,000,000 entries, beside ldapsearch alone (15 minutes)
	$(BIN)/pip install -q --group bench
	$(BIN)/python -m bench --entries 1000000

bench-stores: setup ## PostgreSQL beside SQLite, in turn, at 100,000 entries (10 minutes)
	$(BIN)/python -m bench.stores --entries 100000

bench-instructions: setup ## Count instructions an entry, by valgrind (6 minutes)
	$(BIN)/python -m bench.instructions

bench-check: setup ## See whether anything is slower than the committed figures (8 minutes)
	$(BIN)/python -m bench.regression

docs: setup ## The documentation, in .build/docs
	$(BIN)/sphinx-build -W -b html docs .build/docs

clean: ## Remove what was built (.venv stays)
	rm -rf .build build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
