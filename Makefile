# gspnp: `make run` starts everything, `make test` tests everything, from a bare machine with Python 3.11 or newer.
# What each target needs it installs first; a second run installs nothing and needs no network.

SHELL := /bin/sh
PYTHON := .venv/bin/python
# More for pytest: make test ARGS="tests/sipmcast -k storm"; or for the benchmark: make bench ARGS="answers --repeats 5"
ARGS ?=
# Two more than there are cores: what runs in network namespaces, or waits for a browser, waits most of the time.
WORKERS := $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 2 )))
# Where this is set, each of the many processes that are started compiles all our modules anew.
unexport PYTHONDONTWRITEBYTECODE
# A language to begin: make messages LOCALE=de
LOCALE ?=

.DEFAULT_GOAL := help
.PHONY: help run demo test test-long bench lint lock sbom messages clean venv venv-dev
.NOTPARALLEL:

help:
	@echo "make run        start gspnp: console, phones' door, listener, worker (Ctrl-C stops all)"
	@echo "make demo       the same with six simulated phones"
	@echo "make test       the test suite          make test-long  the tests that take minutes"
	@echo "make bench      how fast, beside a bare C responder and Kamailio; writes docs/benchmarks.md (as root)"
	@echo "make lint       style, types, Django's own checks, known vulnerabilities of the packages"
	@echo "make lock       requirements*.txt with hashes, from requirements*.in (ARGS=--upgrade: newer versions)"
	@echo "make sbom       what is installed, as CycloneDX: sbom.cdx.json"
	@echo "make messages   bring the catalogues of translations after the sources (docs/translating.md)"
	@echo "make clean      remove what was built; data in ./var stays"

venv:
	@.ci/venv requirements.txt

venv-dev:
	@.ci/venv requirements-dev.txt

run: venv
	@$(PYTHON) -m gspnp.prepare
	@exec $(PYTHON) -m gspnp.run

demo: venv
	@$(PYTHON) -m gspnp.prepare
	@exec $(PYTHON) -m gspnp.run --demo

test: venv-dev
	@.ci/packages
	@$(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -m "not long" $(ARGS)

test-long: venv-dev
	@.ci/packages
	@$(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -m long $(ARGS)

bench: venv-dev
	@.ci/packages
	@$(PYTHON) -m tests.bench $(ARGS)

lint: venv-dev
	@.ci/lint

lock: venv-dev
	@.ci/lock $(ARGS)

sbom: venv
	@$(PYTHON) .ci/sbom.py

messages: venv-dev
	@.ci/messages $(LOCALE)

clean:
	rm -rf .venv sbom.cdx.json .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
