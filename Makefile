# Two commands do everything: `make up` runs the farm, `make test` proves it. `make help` lists the others.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# LOCKED=1 installs what locks/ names, by its hashes; otherwise the newest that pyproject.toml admits.
LOCK_OF_FARM := $(if $(LOCKED),locks/farm.txt)
LOCK_OF_TEST := $(if $(LOCKED),locks/test.txt)
INSTALL_LOCK := $(PIP) install --require-hashes --no-deps -r
# One file for each set of packages that is installed; made anew when pyproject.toml or its lock changes.
SET_UP := .venv/.farm$(if $(LOCKED),-locked)
SET_UP_TEST := .venv/.test$(if $(LOCKED),-locked)

# CI holds the floor of coverage, of all tests together; measuring takes time, so a desk is spared. What
# follows `--cov` must be an option: a path would be taken for what to measure, and all tests would run.
MEASURED := --cov $(if $(ARGS),--cov-fail-under=0)
COVERAGE := $(if $(CI),$(MEASURED))
# A .venv whose Python is gone, as after an upgrade of the system's, is made anew.
ifneq ($(shell test ! -e $(SET_UP) || $(BIN)/python -c "" 2>/dev/null || echo broken),)
$(shell rm -f .venv/.farm* .venv/.test*)
endif

# Tests run in this many processes. More than processors pay, because tests of whole farms wait a lot.
PROCESSES ?= 3
NEEDS_MORE := browser or postgres or s3 or weights or processes or slow or faults

# Tests start the farm's processes many times; without bytecode that is kept each would compile all anew.
test test-fast: export PYTHONDONTWRITEBYTECODE :=

.PHONY: up help setup lock test test-fast coverage test-faults test-hosts lint format samples docs screenshots bench-engine bench-gradients bench-files bench-web bench-start bench-farm bench-overtaking bench-lists bench-presets bench-looks bench-film clean

up: setup ## set up and run the farm on http://127.0.0.1:8000; the default
	@exec $(BIN)/farm up

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SET_UP) ## make .venv and install the farm into it

$(SET_UP): pyproject.toml $(LOCK_OF_FARM)
	@echo "setting up: torch alone is several hundred MB or more, so the first time takes minutes"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: PYTHON=python3.x make $(MAKECMDGOALS)"; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv # none yet, or half made
ifdef LOCKED
	@$(INSTALL_LOCK) $(LOCK_OF_FARM)
	@$(PIP) install -q --no-deps --no-build-isolation -e .
else
	@$(PIP) install -q --upgrade pip || echo "pip stays as old as it is"
	@$(PIP) install -e '.[worker,embedded,film]'
endif
	@touch $@

$(SET_UP_TEST): $(SET_UP) pyproject.toml $(LOCK_OF_TEST)
ifdef LOCKED
	@$(INSTALL_LOCK) $(LOCK_OF_TEST) -q
else
	@$(PIP) install -q -e '.[worker,embedded,film,s3,test,lint]'
endif
	@touch $@

# All three from one choice of versions: the largest set first, the others within it.
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
  --no-annotate --custom-compile-command "make lock" pyproject.toml locks/installers.in
lock: $(SET_UP) ## write locks/ anew after a change of pyproject.toml; ARGS=--upgrade takes newer packages
	@$(PIP) install -q -e '.[lock]'
	@$(LOCK) --extra worker --extra embedded --extra film --extra s3 --extra test --extra lint $(ARGS) -o locks/test.txt
	@$(LOCK) --extra worker --extra embedded --extra film --extra s3 -c locks/test.txt -o locks/farm.txt
	@$(LOCK) --extra film --extra s3 -c locks/test.txt -o locks/web.txt

test: $(SET_UP_TEST) ## every test but the slow faults; ARGS="tests/recipe/test_recipe.py -k size" takes a part
	@sh tests/browser/install.sh
	@$(BIN)/pytest $(COVERAGE) -n $(PROCESSES) --dist loadgroup $(ARGS)

test-fast: $(SET_UP_TEST) ## in a minute: what needs no browser, PostgreSQL, S3, weights, processes of a farm, nor long
	@$(BIN)/pytest -n 2 --dist loadgroup -m 'not ($(NEEDS_MORE))' $(ARGS)

coverage: COVERAGE := $(MEASURED)
coverage: test ## every test, and which lines and branches none of them runs

test-hosts: $(SET_UP_TEST) ## a farm on several hosts whose links, clocks and hosts fail, 15 to 20 minutes; needs root
	@$(BIN)/pytest -m 'hosts or not hosts' --timeout 1200 --log-cli-level INFO tests/hosts $(ARGS)

test-faults: $(SET_UP_TEST) ## kill parts of a farm at work, 35 to 50 minutes
	@$(BIN)/pytest -m faults --timeout 1200 --log-cli-level INFO tests/faults $(ARGS)

lint: $(SET_UP_TEST) ## check format, rules, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(SET_UP_TEST) ## format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

samples: $(SET_UP) ## paint the sample pictures anew
	$(BIN)/python samples/make.py

docs: $(SET_UP) ## write the tables of settings in docs/ from the code
	$(BIN)/python docs/tables.py

screenshots: $(SET_UP_TEST) ## photograph the pages for README and docs
	$(BIN)/python -m docs.screenshots

bench-engine: $(SET_UP_TEST) ## time and memory of gradients, plain and tiled
	$(BIN)/python -m benchmarks.engine $(ARGS)

bench-gradients: $(SET_UP_TEST) ## what statistics and regions cost on a CPU, beside the default; ARGS="512"
	$(BIN)/python -m benchmarks.gradients $(ARGS)

bench-files: $(SET_UP_TEST) ## how long finished pictures take to write
	$(BIN)/python -m benchmarks.files $(ARGS)

bench-web: $(SET_UP_TEST) ## the web part while it is busy
	$(BIN)/python -m benchmarks.web $(ARGS)

bench-start: $(SET_UP_TEST) ## how soon a job begins
	$(BIN)/python -m benchmarks.start $(ARGS)

bench-farm: $(SET_UP_TEST) ## the queue of 64 workers and 20 people
	$(BIN)/python -m benchmarks.farm $(ARGS)

bench-overtaking: $(SET_UP_TEST) ## drafts while one worker is at a large picture
	$(BIN)/python -m benchmarks.overtaking $(ARGS)

bench-lists: $(SET_UP_TEST) ## lists of 100,000 jobs
	$(BIN)/python -m benchmarks.lists $(ARGS)

bench-presets: $(SET_UP_TEST) ## schedules of the presets
	$(BIN)/python -m benchmarks.presets

bench-looks: $(SET_UP_TEST) ## sheets and figures of how pictures look
	$(BIN)/python -m benchmarks.looks $(ARGS)

bench-film: $(SET_UP_TEST) ## how steady films are, and what they cost; ARGS="OUT.png draft"
	$(BIN)/python -m benchmarks.film $(ARGS)

clean: ## remove .venv and what was built
	rm -rf .venv build dist *.egg-info
