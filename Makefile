# The one door to everything in this repository. `make` lists what there is.
# Paths are relative throughout, so that the checkout may lie in a folder with spaces in its name.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# The variable quiets a notice of mkdocs-material about another version of mkdocs than the one that is locked.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs
# Further arguments for the program behind a target: make test ARGS="-k upload -x"
ARGS ?=
SYSTEM_PYTHON := $(if $(PYTHON),$(PYTHON),python3)
export PYTHON

.PHONY: help
help: ## list the targets
	@echo "Targets:"
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)$$/\1|\2/p' Makefile \
		| while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done
	@echo "Settings: PYTHON=python3.12 (which Python to use), ARGS=... (handed on), FORCE=1, SANDBOX=1 and LOCAL=1 (env), UPGRADE=1 (lock)"

.PHONY: venv
venv: $(READY) ## create or refresh .venv from requirements.lock

$(READY): requirements.lock pyproject.toml scripts/bootstrap.sh $(if $(PYTHON),force)
	@sh scripts/bootstrap.sh "$(VENV)"

.PHONY: force
force:

.PHONY: demo
demo: $(READY) ## the main job end to end on this machine; writes build/demo.json
	@$(PY) scripts/demo.py $(ARGS)

.PHONY: test
test: $(READY) ## unit and integration tests, and the end-to-end ones of loads; writes build/test-report.xml and build/e2e-report.xml
	@$(PY) -m pytest tests/integration tests/chaos tests/unit -n auto --dist loadfile --no-loadscope-reorder --junitxml=build/test-report.xml $(ARGS)
	@$(PY) -m pytest tests/e2e -m "not long and not more" -n 10 --dist loadfile --junitxml=build/e2e-report.xml $(ARGS)

.PHONY: test-more
test-more: $(READY) ## the end-to-end tests of activation, alerts, erasure, settling, history; writes build/more-report.xml
	@$(PY) -m pytest tests/e2e -m "more or last" -n 10 --dist loadfile --junitxml=build/more-report.xml $(ARGS)

.PHONY: test-browser
test-browser: $(READY) ## Airflow's pages and forms in a real Chromium; writes build/browser-report.xml and build/screenshots
	@$(PY) -m pytest tests/browser -n 4 --dist loadfile --junitxml=build/browser-report.xml $(ARGS)

.PHONY: screenshots
screenshots: $(READY) ## the same, and renew the pictures in docs/images
	@SCREENSHOTS=1 $(PY) -m pytest tests/browser -n 4 --dist loadfile --junitxml=build/browser-report.xml $(ARGS)

.PHONY: test-long
test-long: $(READY) ## the end-to-end tests that take minutes each: kills, a month of history; writes build/long-report.xml
	@$(PY) -m pytest tests/e2e -m long --junitxml=build/long-report.xml $(ARGS)

.PHONY: test-distributed
test-distributed: $(READY) ## the topology of docker-compose.yaml without Docker, and faults in it; as root; writes build/distributed-report.xml
	@$(PY) -m pytest tests/distributed --junitxml=build/distributed-report.xml $(ARGS)

.PHONY: chaos
chaos: $(READY) ## every exchange x every fault, kills, random schedules; writes build/chaos.json
	@$(PY) -m tests.chaos.sweep $(ARGS)

.PHONY: compat
compat: $(READY) ## every supported Python x oldest and newest dependencies (STRICT=1: all must be there); writes build/compat.json
	@$(PY) scripts/compat.py $(if $(STRICT),--strict) $(ARGS)

.PHONY: lint
lint: $(READY) ## ruff (rules and format) and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

.PHONY: format
format: $(READY) ## let ruff repair and format what it can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

.PHONY: schema
schema: $(READY) ## write the JSON schemas of the definitions anew, after a change of their models
	@$(PY) -m audience_onboarding schema $(ARGS)

.PHONY: bench
bench: $(READY) ## the benchmarks
	@$(PY) -m benchmarks $(ARGS)

.PHONY: docs
docs: $(READY) ## the pages as a site in build/site; a broken link or anchor is an error
	@$(MKDOCS) build --strict $(ARGS)

.PHONY: docs-serve
docs-serve: $(READY) ## the same on http://127.0.0.1:8000, built anew with each change
	@$(MKDOCS) serve $(ARGS)

.PHONY: lock
lock: ## resolve requirements.lock anew, keeping pins that still fit (UPGRADE=1: take the newest)
	@sh scripts/lock.sh $(if $(UPGRADE),--upgrade)

.PHONY: env
env: ## write .env with fresh secrets for docker compose (FORCE=1 overwrites, SANDBOX=1 adds the sandbox, LOCAL=1 does without Celery)
	@"$(SYSTEM_PYTHON)" scripts/make_env.py $(if $(FORCE),--force) $(if $(SANDBOX),--sandbox) $(if $(LOCAL),--local)

.PHONY: clean
clean: ## remove .venv, build/ and caches; keeps .env
	@rm -rf "$(VENV)" build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
