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
# Days, or a time in UTC, for the clock of every Python process: make test CLOCK=+400d, make demo CLOCK=2028-02-29T12:00
CLOCK ?=
ifneq ($(CLOCK),)
export CLOCK_OFFSET := $(shell "$(SYSTEM_PYTHON)" -I scripts/moved_clock/sitecustomize.py "$(CLOCK)")
$(if $(CLOCK_OFFSET),,$(error CLOCK=$(CLOCK) is no clock))
export PYTHONPATH := $(CURDIR)/scripts/moved_clock$(if $(PYTHONPATH),:$(PYTHONPATH))
endif

.PHONY: help
help: ## list the targets
	@echo "Targets:"
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)$$/\1|\2/p' Makefile \
		| while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done
	@echo "Settings: PYTHON=python3.12 (which Python to use), ARGS=... (handed on), CLOCK=+400d or 2028-02-29T12:00 (the time that it is), FORCE=1, SANDBOX=1 and LOCAL=1 (env), UPGRADE=1 (lock)"

.PHONY: venv
venv: $(READY) ## create or refresh .venv from requirements.lock

$(READY): requirements.lock pyproject.toml scripts/bootstrap.sh $(if $(PYTHON),force)
	@sh scripts/bootstrap.sh "$(VENV)"

.PHONY: force
force:

.PHONY: demo
demo: $(READY) ## the main job end to end on this machine; writes build/demo.json
	@$(PY) scripts/demo.py $(ARGS)

PYTEST := $(PY) -m pytest
# With -n, one file goes to one process.
IN_PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
# Flows in Airflow wait more than they compute.
IN_AIRFLOW := -n 10 --dist loadfile
# THOROUGH=1: many generated examples and the whole corpora instead of a sample.
export TEST_PROFILE := $(if $(THOROUGH),thorough,$(TEST_PROFILE))

# Two processes side by side, because starting Airflow leaves a core idle. The output of the second one comes in one piece.
.PHONY: test
test: $(READY) ## the tests that each change needs: test-unit and test-loads, side by side
	@$(MAKE) -j 2 test-unit test-loads

UNIT := tests/chaos tests/integration tests/unit
REPORT := test-report.xml
.PHONY: test-unit
test-unit: $(READY) ## unit and integration tests, a slice of the chaos suite; THOROUGH=1: .ci/run's number of examples
	@$(PYTEST) $(UNIT) $(IN_PARALLEL) --junitxml=build/$(REPORT) $(ARGS)

.PHONY: test-loads
test-loads: $(READY) ## the main end-to-end tests: loads in a real Airflow; writes build/test-loads.log
	@mkdir -p build
	@status=0; $(PYTEST) tests/e2e -m "not long and not more" $(IN_AIRFLOW) -n 6 --junitxml=build/e2e-report.xml $(ARGS) \
		>build/test-loads.log 2>&1 || status=$$?; cat build/test-loads.log; exit $$status

.PHONY: test-more
test-more: $(READY) ## the other end-to-end tests: activation, failures, alerts, erasure, resolution, history
	@$(PYTEST) tests/e2e -m "more or last" $(IN_AIRFLOW) --junitxml=build/more-report.xml $(ARGS)

.PHONY: test-sandbox
test-sandbox: $(READY) ## the simulated vendors against their pages; after a change of include/sandbox
	@$(PYTEST) tests/sandbox $(IN_PARALLEL) --junitxml=build/sandbox-report.xml $(ARGS)

# New Year's Eve, 29 February, and the hours in which European summer time begins and ends.
DATES := 2026-12-31T23:59 2028-02-29T12:00 2027-03-28T00:59 2027-10-31T00:30 2027-10-31T01:30
# The tests whose subject is a date: one list, because collecting all tests five times takes minutes.
DATED := tests/unit/cli/test_commands.py tests/unit/definitions/test_schedule.py tests/unit/platforms/digital_audience/test_segment_names.py \
	tests/unit/http/test_error_mapping.py tests/unit/state/test_load_date.py tests/unit/pipelines/test_extension.py \
	tests/integration/test_a_month.py

.PHONY: test-dates
test-dates: $(READY) ## the tests about dates, at five times that are hard for calendars
	@set -e; for date in $(DATES); do echo "Clock: $$date"; \
		$(MAKE) test-unit CLOCK="$$date" UNIT="$(DATED)" REPORT="dates-$$(echo "$$date" | tr -d :)-report.xml"; done

.PHONY: check-repo
check-repo: $(READY) ## the repository itself: architecture, docs, examples, lock, Compose file, workflows
	@$(PYTEST) tests/repo $(IN_PARALLEL) --junitxml=build/repo-report.xml $(ARGS)

.PHONY: test-browser
test-browser: $(READY) ## Airflow's pages and forms in a real Chromium; writes build/browser-report.xml and build/screenshots
	@$(PYTEST) tests/browser -n 4 --dist loadfile --junitxml=build/browser-report.xml $(ARGS)

.PHONY: screenshots
screenshots: $(READY) ## the same, and update the pictures in docs/images
	@SCREENSHOTS=1 $(PYTEST) tests/browser -n 4 --dist loadfile --junitxml=build/browser-report.xml $(ARGS)

.PHONY: test-long
test-long: $(READY) ## the end-to-end tests that take minutes each: kills, a month of history; writes build/long-report.xml
	@$(PYTEST) tests/e2e -m long --junitxml=build/long-report.xml $(ARGS)

.PHONY: test-distributed
test-distributed: $(READY) ## the topology of docker-compose.yaml without Docker, and faults in it; as root; writes build/distributed-report.xml
	@$(PYTEST) tests/distributed --junitxml=build/distributed-report.xml $(ARGS)

.PHONY: chaos
chaos: $(READY) ## every exchange x every fault, kills, random schedules; writes build/chaos.json
	@$(PY) -m tests.chaos.sweep $(ARGS)

.PHONY: compat
compat: $(READY) ## every supported Python x oldest and newest dependencies (STRICT=1: all must be there); writes build/compat.json
	@$(PY) scripts/compat.py $(if $(STRICT),--strict) $(ARGS)

.PHONY: lint
lint: $(READY) ## ruff (rules and format), mypy, and the words that have a standard term
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) scripts/reject_words.py

.PHONY: format
format: $(READY) ## fix and format with ruff
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

.PHONY: schema
schema: $(READY) ## write the JSON schemas of the definitions again, after a change of their models
	@$(PY) -m audience_onboarding schema $(ARGS)

.PHONY: bench
bench: $(READY) ## the benchmarks
	@$(PY) -m benchmarks $(ARGS)

.PHONY: docs
docs: $(READY) ## the pages as a site in build/site; a broken link or anchor is an error
	@$(MKDOCS) build --strict $(ARGS)

.PHONY: docs-serve
docs-serve: $(READY) ## the same on http://127.0.0.1:8000, rebuilt after each change
	@$(MKDOCS) serve $(ARGS)

.PHONY: lock
lock: ## resolve requirements.lock again, keeping pins that still fit (UPGRADE=1: take the newest)
	@sh scripts/lock.sh $(if $(UPGRADE),--upgrade)

.PHONY: env
env: ## write .env with fresh secrets for docker compose (FORCE=1 overwrites, SANDBOX=1 adds the sandbox, LOCAL=1 does without Celery)
	@"$(SYSTEM_PYTHON)" scripts/make_env.py $(if $(FORCE),--force) $(if $(SANDBOX),--sandbox) $(if $(LOCAL),--local)

.PHONY: clean
clean: ## remove .venv, build/ and caches; keeps .env
	@rm -rf "$(VENV)" build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
