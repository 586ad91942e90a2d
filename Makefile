# Two commands do everything: `make up` runs the farm, `make test` proves it.

PYTHON ?= python3
BIN := .venv/bin
# One file for each set of packages that is installed; made anew when pyproject.toml changes.
SET_UP := .venv/.farm
SET_UP_TEST := .venv/.test

.PHONY: up setup test test-faults lint format samples screenshots bench-engine bench-web bench-start bench-lists bench-presets bench-looks clean

up: setup
	@exec $(BIN)/farm up

setup: $(SET_UP)

$(SET_UP): pyproject.toml
	@echo "setting up: torch alone is several hundred MB or more, so the first time takes minutes"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: PYTHON=python3.x make $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[worker,embedded]'
	@touch $@

$(SET_UP_TEST): $(SET_UP) pyproject.toml
	@$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[worker,embedded,s3,test,lint]'
	@touch $@

test: $(SET_UP_TEST)
	@sh tests/browser/install.sh
	@$(BIN)/pytest $(ARGS)

test-faults: $(SET_UP_TEST)
	@$(BIN)/pytest -m faults --timeout 1200 --log-cli-level INFO tests/faults $(ARGS)

lint: $(SET_UP_TEST)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(SET_UP_TEST)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

samples: $(SET_UP)
	$(BIN)/python samples/make.py

screenshots: $(SET_UP_TEST)
	$(BIN)/python docs/screenshots.py

bench-engine: $(SET_UP_TEST)
	$(BIN)/python benchmarks/engine.py $(ARGS)

bench-web: $(SET_UP_TEST)
	$(BIN)/python benchmarks/web.py $(ARGS)

bench-start: $(SET_UP_TEST)
	$(BIN)/python benchmarks/start.py $(ARGS)

bench-lists: $(SET_UP_TEST)
	$(BIN)/python benchmarks/lists.py $(ARGS)

bench-presets: $(SET_UP_TEST)
	$(BIN)/python benchmarks/presets.py

bench-looks: $(SET_UP_TEST)
	$(BIN)/python benchmarks/looks.py $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info
