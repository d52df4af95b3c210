# Everything a person does here, each by one word. Needs only Python >= 3.11 and make; the rest comes by itself.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run test bench planted-bugs docs check check-style check-types check-contracts check-queries check-locks lock openapi openapi-release clean

VENV := .venv
BIN := $(VENV)/bin

# The newest Python for which every locked package has a wheel. Another one: make PYTHON=/path/to/python ...
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$python; exit; fi; done; echo python3)

# A virtual environment names its folder in its scripts: one that was moved, or lost its Python, is made anew.
ifneq ($(shell $(BIN)/python -c 'print("works")' 2>/dev/null) $(shell cat $(VENV)/made-in 2>/dev/null),works $(CURDIR))
.PHONY: $(VENV)/made-in
endif

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'More words for pytest and uv go into ARGS: make test ARGS="tests/core -x"'

# Recipes that start servers are one command, or `exec` it, so that a signal for make reaches it.
run: $(VENV)/ready-to-run ## Set up and run the whole system until Ctrl-C (PORT=8000 DATA_DIR=.data)
	@exec env $(if $(PORT),ORDER_SERVICE_PORT='$(PORT)') $(if $(DATA_DIR),ORDER_SERVICE_DATA_DIR='$(DATA_DIR)') $(BIN)/order-service dev

# Tests wait for servers much of their time, so two at once take little more than half as long.
JOBS ?= 2

test: $(VENV)/ready-to-develop ## Set up and run the tests, on a real PostgreSQL and a real Kafka
	@exec $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/ready-to-run ## Measure what an order costs here, beside what PostgreSQL alone takes (ARGS=--quick: within a minute)
	@exec $(BIN)/order-service bench $(ARGS)

planted-bugs: $(VENV)/ready-to-develop ## Plant deliberate faults one by one: does a test catch each of them?
	@exec nice -n 5 $(BIN)/python -m tools.planted_bugs --jobs $(JOBS) $(ARGS)

docs: $(VENV)/ready-to-develop ## Write the pages of docs/ that are made from the code's tables
	$(BIN)/python -m tools.write_docs

check: check-style check-types check-contracts check-queries check-locks ## Look for every fault that can be found without running the service

check-style: $(VENV)/ready-to-develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: $(VENV)/ready-to-develop
	$(BIN)/mypy

check-contracts: $(VENV)/ready-to-develop
	$(BIN)/lint-imports --no-logo

# Every named query, prepared on the real schema.
check-queries: $(VENV)/ready-to-develop
	@if [ -e tests/prepare_queries.py ]; then exec $(BIN)/python -m tests.prepare_queries; fi

# The locks are made once more from themselves: a newer version somewhere is no fault, a forgotten `make lock` is.
# Without a network, what uv remembers of the packages' metadata is enough.
check-locks: $(VENV)/ready-to-develop
	@rm -rf $(VENV)/locks && mkdir $(VENV)/locks && cp requirements/run.txt requirements/dev.txt $(VENV)/locks
	@echo Looking whether the locks fit pyproject.toml
	@{ $(call compile,$(VENV)/locks,); } 2>$(VENV)/locks/errors \
		|| { $(call compile,$(VENV)/locks,--offline); } 2>>$(VENV)/locks/errors \
		|| { cat $(VENV)/locks/errors >&2; echo 'The locks could not be checked.' >&2; exit 1; }
	@for lock in run.txt dev.txt; do diff -q requirements/$$lock $(VENV)/locks/$$lock >/dev/null \
		|| { echo "requirements/$$lock does not fit pyproject.toml: run 'make lock'." >&2; exit 1; }; done

lock: $(VENV)/ready-to-develop ## Write the locks anew after a change of pyproject.toml (ARGS=--upgrade: to newest versions)
	$(call compile,requirements,$(ARGS))

openapi: $(VENV)/ready-to-develop ## Write docs/openapi.json, the published API description, anew
	$(BIN)/python -m tools.openapi

# What clients were given last; from then on a change that would break them fails the tests.
openapi-release: $(VENV)/ready-to-develop ## Write docs/openapi.json and promise it: docs/openapi.released.json
	$(BIN)/python -m tools.openapi release

clean: ## Remove what was installed and what tools left behind; the data in .data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call compile,FOLDER OF THE LOCKS,MORE OPTIONS): what is locked there already stays as it is where it still fits.
UV := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
compile = $(UV) $(2) --extra embedded -o $(1)/run.txt pyproject.toml requirements/build.in && \
	$(UV) $(2) --extra dev -c $(1)/run.txt -o $(1)/dev.txt pyproject.toml requirements/build.in

# Each stamp says what was installed last, so that a second `make run` installs nothing.
$(VENV)/ready-to-run: requirements/run.txt pyproject.toml $(VENV)/made-in
	$(call install,run)

$(VENV)/ready-to-develop: requirements/dev.txt pyproject.toml $(VENV)/made-in
	$(call install,dev)

# Hash by hash; then this project itself, with the build tool that is in the lock too.
define install
	@echo 'Installing what requirements/$(1).txt lists into $(VENV) (once, about 1 minute).'
	@$(BIN)/python -m pip install $(PIP) --require-hashes -r requirements/$(1).txt \
		|| { echo 'The packages could not be installed: see the last lines above.' >&2; exit 1; }
	@$(BIN)/python -m pip install $(PIP) --no-build-isolation --no-deps -e .
	@touch $@
endef
PIP := --quiet --disable-pip-version-check --no-input

$(VENV)/made-in:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'Python 3.11 or newer is needed and was not found; name one with make PYTHON=/path/to/python3.' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo 'This Python cannot make virtual environments; install its venv package (Debian: apt install python3-venv).' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@echo '$(CURDIR)' >$@
