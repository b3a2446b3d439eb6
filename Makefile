# make run: a broker on 127.0.0.1:6379, its log under ./data.   make test: the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find broker consumers -name '*.py') setup.py pyproject.toml mypyc.ini
NODE := tests/clients/node
PYTEST := $(CURDIR)/$(BIN)/pytest -q -n 2

.PHONY: run test test-pure test-compiled node lint bench bench-persistence bench-scale bench-workers docs clean

run: $(VENV)/.installed
	mkdir -p data
	$(BIN)/millstream serve --port 6379 --bind 127.0.0.1 --dir ./data

# The plain build is tested on the source tree, the compiled one as it is installed in the venv. CI runs both.
test: test-pure

test-pure: $(VENV)/.dev
	MILLSTREAM_BUILD=pure PYTHONPATH=$(CURDIR) $(PYTEST)

test-compiled: $(VENV)/.dev $(VENV)/.installed
	MILLSTREAM_BUILD=compiled PYTHONPATH= PYTHONSAFEPATH=1 $(PYTEST)

# The packages of Node.js whose tests are skipped without them.
node: $(NODE)/node_modules/.package-lock.json

$(NODE)/node_modules/.package-lock.json: $(NODE)/package-lock.json
	cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=$(CURDIR) $(BIN)/mypy
	PYTHONPATH=$(CURDIR) $(BIN)/python -m broker.cli.docs | diff docs/commands.md - || (echo 'docs/commands.md is out of date: make docs'; exit 1)

docs: $(VENV)/.dev
	PYTHONPATH=$(CURDIR) $(BIN)/python -m broker.cli.docs > docs/commands.md

bench: $(VENV)/.installed
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/throughput.py
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/streams.py
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/messaging.py
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/scripts.py
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/persistence.py

bench-persistence: $(VENV)/.installed
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/persistence.py
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/loading.py

# What takes minutes and gigabytes: the longest turn on data of the sizes that are promised, and how late things come.
bench-scale: $(VENV)/.installed
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/stalls.py
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/lateness.py

# Beside dramatiq, arq and taskiq, each in a venv of its own: they don't agree about the version of their client.
PEERS := .venv-peers

bench-workers: $(VENV)/.installed $(foreach peer,arq dramatiq taskiq,$(PEERS)/$(peer)/.installed)
	PYTHONSAFEPATH=1 $(BIN)/python tests/bench/workers.py

$(PEERS)/%/.installed: tests/bench/peers/%.txt
	$(PYTHON) -m venv $(PEERS)/$*
	$(PEERS)/$*/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# The plain venv has what runs the broker; the pinned development set comes on top of it for tests and lint.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python $(SOURCES)
	rm -rf build
	$(BIN)/pip install --quiet --disable-pip-version-check .
	rm -rf build
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) build *.egg-info
