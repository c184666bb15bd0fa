# Everything a developer runs, by name. Needs make and Python 3.11 or newer; what else is needed is said where it is.

# The first of these that is new enough; `make PYTHON=…` names another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$name && break; done)
STORE ?= seaweedfs
# Many tests wait for processes to start or leases to end, so three keep two cores busy.
PROCESSES ?= 3
TESTS ?= tests
QUICK_TESTS := $(addprefix tests/unit/,events storage streaming uploads) $(filter-out %_house_rules.py %_regexes.py %_infra.py %_docs.py,$(wildcard tests/unit/test_*.py))
FILES ?= 200000
GO ?= go
ACTIONLINT_MODULE := github.com/rhysd/actionlint/cmd/actionlint@v1.7.7
VERSITYGW_MODULE := github.com/versity/versitygw/cmd/versitygw@v1.8.0
MINIO_MODULE := github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

# A checkout that cannot be written to keeps its environment and data in the user's cache.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/upload-gateway/$(shell pwd | cksum | cut -d ' ' -f 1)
VENV := $(shell test -w . && echo .venv || echo "$(CACHE)/venv")
DATA_DIR := $(shell test -w . || echo "$(CACHE)/data")
BIN := "$(VENV)"/bin
READY := install
PYTEST := $(BIN)/python -m pytest
# Tests whose result no store can change: identities, limits, watchers, settings, processes, documents.
ANY_STORE := $(patsubst %,tests/api/test_%.py,access addresses bodies cors costs embedding fair_slots forgetting \
	generated_requests inspect live* openapi own_address plain_clients rates stream_hostile type_hints upgrading \
	upload_repository upload_tokens web_page webhooks worker_*) \
	$(patsubst %,tests/e2e/test_%.py,client_* connections database_restart docs_pages pgbouncer readme start topology \
	two_replicas webhook* worker_health)
BROWSER_PACKAGES := $(patsubst %,tests/e2e/%/node_modules/.package-lock.json,browser browser/uppy5 browser/uppy6 browser/react)
# In the order of the files: by default the longest ones, which have few tests, would come last.
QUICK := -n $(PROCESSES) --dist loadfile --no-loadscope-reorder -m "not big and not browser and not slow"

.DEFAULT_GOAL := help
.PHONY: help install install-dev dev quick test test-slow coverage test-store clients test-big test-browser types bench mutants fuzz check workflows shape format openapi sync-client settings docs lock minio versitygw wheel clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# make_venv LOCK: say the true cause where Python cannot be used, else make the environment with that lock's packages.
define make_venv
@test -n "$(PYTHON)" || { echo "No Python from 3.11 to 3.14 is on PATH: make PYTHON=/path/to/python …" >&2; exit 1; }
@$(PYTHON) -c pass 2>/dev/null || { echo "PYTHON=$(PYTHON) cannot be run." >&2; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
	|| { echo "Python 3.11 to 3.14 is needed, and $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; exit 1; }
@$(PYTHON) infra/make_venv.py "$(VENV)" $(1)
endef

install: ## Make .venv with all locked packages (every target below does it when needed)
	$(call make_venv,requirements.lock)

install-dev: ## Make .venv with only what `make dev` runs
	$(call make_venv,infra/requirements-dev.lock)

dev: install-dev ## Run the whole gateway on an embedded PostgreSQL and store
	@$(if $(DATA_DIR),GATEWAY_DATA_DIR="$${GATEWAY_DATA_DIR:-$(DATA_DIR)}") exec $(BIN)/gateway dev

quick: $(READY) ## Run the fast half of the unit tests, in seconds
	$(PYTEST) -q -n $(PROCESSES) --dist loadfile -m "not big and not browser and not slow" $(QUICK_TESTS)

test: $(READY) ## Run the tests on embedded parts; TESTS=path narrows them
	@test "$(TESTS)" != tests || echo "All tests take about 9 minutes on two cores; make quick is shorter, and TESTS=path narrows them."
	$(PYTEST) $(QUICK) $(TESTS)

test-slow: $(READY) ## Run the exhaustive tests that `make test` leaves out
	$(PYTEST) -q -n $(PROCESSES) --dist loadgroup -m slow tests/unit tests/dev

coverage: $(READY) ## Run `make test` and hold the line coverage of gateway/
	$(BIN)/coverage erase
	$(MAKE) test PYTEST='$(BIN)/coverage run -m pytest'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-store: $(READY) ## Run the tests that a store can change against STORE=seaweedfs or STORE=minio (ALL=1: all that need one)
	TEST_STORE=$(STORE) $(PYTEST) -n $(PROCESSES) --dist loadfile --no-loadscope-reorder -m "not big and not browser and not slow" \
		tests/store tests/api tests/e2e $(if $(ALL),tests/dev,$(addprefix --ignore-glob=,$(ANY_STORE)))

clients: $(READY) ## Fetch axios and OkHttp, run every client that is here, write the table of docs/streaming.md
	cd tests/clients/programs/axios && npm ci --no-audit --no-fund
	mvn -q -B -f tests/clients/programs/okhttp/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/build/clients/okhttp
	RECORD_CLIENTS=1 $(PYTEST) tests/clients/test_real_clients.py

test-big: $(READY) ## Send 5 GiB through the gateway (BIG_SIZE in bytes makes it smaller)
	TEST_STORE=$(STORE) $(PYTEST) -m big -s --timeout=3600 tests

test-browser: $(READY) $(BROWSER_PACKAGES) ## Run the tests in a real Chromium, with Uppy from npm (needs Node 20 or newer)
	TEST_STORE=$(STORE) $(PYTEST) -m "browser and not big" --timeout=300 tests/e2e/browser

%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	@touch $@

types: $(READY) tests/typing_tests/node_modules/.package-lock.json ## Read the client's public types with mypy and pyright, from the built wheel
	$(PYTEST) tests/typing_tests

bench: $(READY) ## Print the benchmarks
	@for file in tests/bench/[a-z]*.py; do echo "== $$file"; $(BIN)/python -m tests.bench.$$(basename $$file .py) || exit 1; done

mutants: $(READY) ## Change the code on purpose and list the changes no fast test sees; MODULES=path narrows them
	nice -n 19 $(BIN)/python -m tests.mutants $(MODULES)

fuzz: $(READY) ## Mutate 200,000 media files against detection (FILES=n; DETECTION_CORPUS=folder adds to them)
	$(BIN)/python -m tests.fuzz.detection --files $(FILES)

check: $(READY) ## Lint, types, import rules, house rules, settings and API documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict gateway
	$(BIN)/lint-imports
	$(PYTEST) -q tests/unit/test_house_rules.py tests/unit/test_settings_docs.py $(wildcard tests/api/test_openapi*.py tests/unit/test_infra.py)

workflows: ## Check .github/workflows with actionlint; without it, build it with Go
	@PATH="$$PATH:$${GOBIN:-$$HOME/go/bin}"; command -v actionlint >/dev/null || $(GO) install $(ACTIONLINT_MODULE); actionlint

shape: $(READY) ## Print lengths of functions and modules, packages, and imports between them
	$(BIN)/python -m tests.shape

format: $(READY) ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

openapi: $(READY) ## Write docs/openapi.json from the code
	$(BIN)/python -m tests.openapi_document

sync-client: $(READY) ## Write the synchronous Python client from the asynchronous one
	$(BIN)/python -m tests.sync_client

settings: $(READY) ## Write .env.example and docs/settings.md from the settings class
	$(BIN)/python -m tests.settings_docs

docs: $(READY) ## Build the documentation site into build/site, and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file infra/mkdocs.yml
	$(BIN)/python -m tests.docs_site build/site

lock: $(READY) ## Lock the dependencies again (needs uv)
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --all-extras --python-version 3.11 \
		pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --extra server --python-version 3.11 \
		pyproject.toml -c requirements.lock -o infra/requirements.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --extra dev --python-version 3.11 \
		pyproject.toml -c requirements.lock -o infra/requirements-dev.lock
	echo 'uv>=0.8,<1' | uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		- -o infra/requirements-uv.lock

minio: ## Build MinIO from source into Go's bin folder (needs Go; about 8 minutes the first time)
	@command -v $(GO) >/dev/null || { echo "Go is needed to build MinIO: https://go.dev/dl/" >&2; exit 1; }
	$(GO) install $(MINIO_MODULE)

versitygw: ## Build versitygw from source into Go's bin folder (needs Go)
	@command -v $(GO) >/dev/null || { echo "Go is needed to build versitygw: https://go.dev/dl/" >&2; exit 1; }
	$(GO) install $(VERSITYGW_MODULE)

wheel: $(READY) ## Build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

clean: ## Remove what make made, but not the data of `make dev`
	rm -rf $(VENV) dist build htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache mutants
