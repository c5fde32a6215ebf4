# setup · demo · test · check · fmt · bench · soak: on a fresh machine each installs what it needs.
SHELL := /bin/bash
BIN := .venv/bin
PYTHON_SOURCES := src tests scripts

.PHONY: setup demo test check fmt bench soak lock migration messages docs screenshots pages pytest

setup:
	@scripts/setup.sh

demo: setup
	@$(BIN)/sakk demo

test: setup
	@WORKERS=$(WORKERS) scripts/test.sh $(ARGS)

pytest: setup
	@$(BIN)/python -m pytest -q -n $(or $(WORKERS),2) $(ARGS)

check: setup
	@scripts/lint.sh
	@$(BIN)/python -m pytest -q tests/tidy

fmt: setup
	@$(BIN)/ruff check --fix --quiet $(PYTHON_SOURCES); $(BIN)/ruff format $(PYTHON_SOURCES)

# The long runs of tests that are short elsewhere: they look for SAKK_SOAK.
soak: setup
	@SAKK_SOAK=1 $(BIN)/python -m pytest -q -n $(or $(WORKERS),2) --timeout=7200 $(or $(TESTS),tests/ledger/test_machine_model.py tests/sim tests/ledger/test_kill.py tests/crash/test_failpoints.py tests/crash/test_random_kills.py tests/bench/test_bench.py tests/flow/test_payout_model.py tests/core tests/api/test_openapi.py) $(ARGS)

# make bench NAME=ledger
bench: setup
	@$(BIN)/sakk bench $(or $(NAME),ledger) --json

# Hash-pinned and without addresses; needs uv.
lock:
	@env -u PIP_EXTRA_INDEX_URL uv pip compile pyproject.toml --all-extras --universal \
	  --generate-hashes --no-header --python-version 3.11 --quiet -o requirements.lock

# make migration MESSAGE="payouts know their batch"
migration: setup
	@$(BIN)/python scripts/migration.py "$(or $(MESSAGE),initial schema)"
	@$(BIN)/ruff check --fix --quiet src/sakk/store/migrations; $(BIN)/ruff format --quiet src/sakk/store/migrations

# Every screen of the console in a real browser, with pictures in build/pages; ONLY="bills shops"
# opens those whose path has one of the words, WAYS="zh-Hans/desk ar/phone" says how.
pages: setup
	@WAYS="$(WAYS)" PYTHONPATH=. $(BIN)/python scripts/pages.py $(ONLY)

# The pictures of pages in the documents; needs Chromium.
screenshots: setup
	@PYTHONPATH=. $(BIN)/python scripts/screenshots.py

# What pages say, into the catalogues of each language; tells what is not translated.
messages: setup
	@$(BIN)/python -m sakk.pages.messages

docs: setup
	@$(BIN)/sakk docs
