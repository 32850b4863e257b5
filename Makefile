# SPDX-License-Identifier: CC0-1.0

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup lint test async demo workload faults fuzz soak bench bench-large docs clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## Install what is missing: servers, headers, .venv
	@bash .ci/setup

lint: setup ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## All checks and tests, with coverage
	$(BIN)/pytest --cov --cov-report=term-missing:skip-covered
	SYNCREPL_CLIENT=async $(BIN)/pytest tests/live/test_client_basics.py \
		tests/faults/test_callback_errors.py tests/faults/test_numbering.py

async: setup ## All tests of clients again, on AsyncSyncrepl (7 minutes)
	SYNCREPL_CLIENT=async $(BIN)/pytest tests/live tests/faults \
		--ignore tests/live/test_asynchronous.py --ignore tests/live/test_together.py \
		--deselect tests/live/test_iteration.py::test_unbind_in_the_loop

demo: setup ## Watch a directory change, on a throw-away server
	$(BIN)/python -m tests.demo

workload: setup ## Random changes, restarts and kills against real servers
	$(BIN)/python -m tests.workload --slapd 200 --ds389 40

faults: setup ## Kill clients and servers, cut connections at every message (30 minutes)
	$(BIN)/python -m tests.faults.kills --clients 300 --servers 60
	$(BIN)/python -m tests.faults.wire
	$(BIN)/python -m tests.transitions --starts 300

fuzz: setup ## Fuzz every decoder, and the protocol, 10 minutes each
	$(BIN)/python -m tests.fuzz --seconds 600

soak: setup ## A million changes through one client: memory, descriptors, threads
	$(BIN)/python -m tests.soak --changes 1000000

bench: setup ## Measure, beside others, at 1,000 to 100,000 entries (10 minutes)
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python -m bench --entries 1000 10000 100000

bench-large: setup ## The same at 1,000,000 entries, beside ldapsearch alone (15 minutes)
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python -m bench --entries 1000000

docs: setup ## The documentation, in .build/docs
	$(BIN)/sphinx-build -W -b html docs .build/docs

clean: ## Remove what was built (.venv stays)
	rm -rf .build build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
