# Two commands matter: `make chaos` shows what this is, `make test` passes the whole suite.
# Both create .venv from requirements.lock on first use. Needs Python >= 3.11 (with venv) and make.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help chaos test clients bench soak lint lock clean

help:
	@echo "make chaos   run the shipped scenario and the naive example under every fault"
	@echo "make test    run the whole suite            (ARGS='-k clock -x' is passed on)"
	@echo "make clients the matrix of real SDKs and frameworks, in an environment of its own"
	@echo "make bench   exploring against bare interception; the search against bare re-runs; one call against MockTransport; durable steps against a bare commit and other engines"
	@echo "make soak    minutes of load: workers killed at random, agents killed everywhere, memory over many tasks"
	@echo "make lint    ruff, mypy, import rules"
	@echo "make lock    compile the lock files anew"

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer with venv is needed; found $$($(PYTHON) --version). Say PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

chaos: $(VENV)/.ready
	@$(BIN)/python -m pytest scenarios tests/examples/test_naive_agent.py --chaos -p no:randomly -n auto $(ARGS)
	@echo "To replay: . $(VENV)/bin/activate, then paste a replay line."

test: $(VENV)/.ready
	@$(BIN)/python -m pytest -n auto $(ARGS)

# The peers have an environment of their own: their dependencies are nobody else's business.
$(VENV)-peers/.ready: benchmarks/peers.lock
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/peers.lock
	@touch $@

# llmock needs other versions of what the peers above need; aimock is a package for Node.
$(VENV)-llm-peers/.ready: benchmarks/llm_peers.lock benchmarks/node/package-lock.json
	$(PYTHON) -m venv $(VENV)-llm-peers
	$(VENV)-llm-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/llm_peers.lock
	cd benchmarks/node && npm ci --silent --no-fund --no-audit
	@touch $@

# So have the clients of the matrix. They leave sockets and loops open at the end: that is not ours to judge.
$(VENV)-clients/.ready: tests/clients/clients.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)-clients
	$(VENV)-clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/clients/clients.lock
	$(VENV)-clients/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

NODE := tests/clients/node

$(NODE)/node_modules/.package-lock.json: $(NODE)/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix $(NODE) --silent --no-audit --no-fund && touch $@; \
	else echo "npm is not installed: the clients of Node are left out"; fi

clients: $(VENV)-clients/.ready $(NODE)/node_modules/.package-lock.json
	@$(VENV)-clients/bin/python -m pytest tests/clients -p no:unraisableexception $(ARGS)

bench: $(VENV)/.ready $(VENV)-peers/.ready $(VENV)-llm-peers/.ready
	$(BIN)/python benchmarks/explore.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/in_process.py
	$(BIN)/python benchmarks/runtime.py --peers $(VENV)-peers/bin/python --postgres
	$(BIN)/python benchmarks/llm_server.py --llmock $(VENV)-llm-peers/bin/llmock

soak: $(VENV)/.ready
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/deaths_soak.py
	$(BIN)/python benchmarks/llm_server_soak.py

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate --group dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate benchmarks/peers.in -o benchmarks/peers.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate tests/clients/clients.in -o tests/clients/clients.lock
	@if command -v npm >/dev/null; then \
	    npm install --prefix $(NODE) --silent --package-lock-only --omit-lockfile-registry-resolved; fi
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate benchmarks/llm_peers.in -o benchmarks/llm_peers.lock

clean:
	rm -rf $(VENV) $(VENV)-peers $(VENV)-clients $(NODE)/node_modules $(VENV)-llm-peers benchmarks/node/node_modules .pytest_agent* .pytest_cache .mypy_cache .ruff_cache
