# Two commands matter: `make run` and `make test`. Everything else is part of them.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check suite format lock clean host

run: $(VENV)/run.stamp
	@$(BIN)/orchestrator run examples/model-definitions --state-dir .run

test: $(VENV)/dev.stamp host
	@$(MAKE) --no-print-directory check suite

check: $(VENV)/dev.stamp ## lint, types, layer contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@found=$$($(BIN)/lint-imports --no-cache) || { echo "$$found"; exit 1; }

suite: $(VENV)/dev.stamp
	@$(BIN)/python scripts/suite.py

host: ## Docker Engine, images, wrk: what the tests need and this machine lacks
	@scripts/test-host.sh

$(VENV)/run.stamp: requirements/run.lock pyproject.toml
	@scripts/venv.sh $(PY) requirements/run.lock
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml
	@scripts/venv.sh $(PY) requirements/dev.lock
	@touch $@ $(VENV)/run.stamp

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: ## needs uv on PATH
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/run.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements/run.lock --extra otel pyproject.toml requirements/dev.in -o requirements/dev.lock

clean:
	rm -rf $(VENV) .run .mypy_cache .ruff_cache .pytest_cache
