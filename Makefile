# Every target makes what it needs: the virtual environment is built with python3 and pip alone, and again when the
# pinned requirements change. Another interpreter: make test PYTHON=python3.13 VENV=.venv-3.13
.POSIX:

PYTHON = python3
VENV = .venv
ARGS =

PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check --quiet
COMPILE = $(PY) -m uv --quiet --no-config pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header
RUNNING = $(VENV)/.running
DEVELOPING = $(VENV)/.developing

.PHONY: help demo install dev test lint fmt fuzz week schemathesis bench pictures screenshots wheel requirements clean

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1	/p' Makefile | while IFS='	' read -r name text; do \
		printf '  make %-14s%s\n' "$$name" "$$text"; done

demo: $(RUNNING) ## gather, judge and pack a dataset from a small web on this machine
	@$(VENV)/bin/gleanset demo $(ARGS)

install: $(RUNNING) ## install what running needs, and the command gleanset, into .venv

dev: $(DEVELOPING) ## install what developing needs into .venv

test: $(DEVELOPING) ## all tests; ARGS="tests/engine -x" narrows them
	@$(PY) -m pytest --numprocesses auto --dist loadfile $(ARGS)

lint: $(DEVELOPING) ## ruff, format check, import-linter, strict types
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check .
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) -m basedpyright --warnings gleanset backend

fmt: $(DEVELOPING) ## format, and mend what ruff can mend
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

fuzz: $(DEVELOPING) ## 100,000 damaged pictures; ARGS="--first 5000 --count 1000" chooses others
	@$(PY) -m tests.fuzz $(ARGS)

week: $(DEVELOPING) ## 200,000 URLs with workers killed; ARGS="--urls 50000 --hosts 1000 --seconds 5"
	@$(PY) -m tests.week $(ARGS)

schemathesis: $(DEVELOPING) ## requests made up from the OpenAPI document, others than make test has
	@SCHEMATHESIS_EXAMPLES=$${SCHEMATHESIS_EXAMPLES:-50} $(PY) -m pytest tests/schemathesis $(ARGS)

bench: $(DEVELOPING) ## the benchmarks: python -m benchmarks
	@$(PY) -m benchmarks $(ARGS)

pictures: $(RUNNING) ## the README's picture, from a real run of the demo
	@$(PY) docs/images/make_run.py

screenshots: $(DEVELOPING) ## every page in both themes, from a real run of the demo, into docs/images
	@$(PY) docs/images/make_screenshots.py

wheel: $(DEVELOPING) ## build the wheel into dist/
	@$(PY) -m build --wheel --no-isolation

requirements: $(DEVELOPING) ## pin anew; ARGS=--upgrade also takes newer versions
	@$(COMPILE) --group dev --output-file requirements-dev.txt $(ARGS)
	@$(COMPILE) --group build --constraint requirements-dev.txt --output-file requirements.txt $(ARGS)

clean: ## remove .venv, builds and caches
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip comes last into a new environment, so one that was interrupted is made again.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
		"Gleanset needs Python 3.11 or newer; this is %d.%d. Name another: make PYTHON=python3.13" % v[:2])'
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# Compiled while installing: where Python may not write bytecode, every start would compile anew, for seconds.
$(RUNNING): $(VENV)/bin/pip requirements.txt pyproject.toml
	@echo "Installing what running needs ..."
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Compiled while installing: under pytest a warning from somebody's source at its first import would be an error.
$(DEVELOPING): $(VENV)/bin/pip requirements-dev.txt pyproject.toml
	@echo "Installing what developing needs ..."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
