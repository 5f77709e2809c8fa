# Everything runs in .venv; `make research` and `make test` set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
QUANTLAB_HOME ?= $(CURDIR)/data
export QUANTLAB_HOME
TEST_HOME := $(CURDIR)/.test-home
# A token is asked for, from here only, and kernels are reached by files of this user instead of ports.
LOCKED := --ServerApp.ip=127.0.0.1 --ServerApp.allow_remote_access=False --ServerApp.allow_unauthenticated_access=False \
	--ServerApp.disable_check_xsrf=False --KernelManager.transport=ipc
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: research test lab benchmark lint notebooks clean

$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

research: $(VENV)/.installed  ## the main job: sample candles to verdicts, report and configuration
	$(BIN)/quantlab research

test: $(VENV)/.dev  ## all tests, then each notebook, in a ledger of its own, against its outputs
	$(BIN)/python -m pytest
	@for notebook in notebooks/*.ipynb; do \
		rm -rf "$(TEST_HOME)"; \
		QUANTLAB_HOME="$(TEST_HOME)" $(BIN)/python -m pytest --nbval --nbval-current-env \
			--nbval-sanitize-with tests/nbval.cfg --nbval-cell-timeout 900 "$$notebook" || exit 1; \
	done
	@rm -rf "$(TEST_HOME)"

lab: $(VENV)/.installed  ## JupyterLab on notebooks/, for this user of this machine alone
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_tour.ipynb $(LOCKED) $(AS_ROOT)

benchmark: $(VENV)/.dev  ## every benchmark, one after the other
	$(BIN)/python benchmarks/reference_grid.py --bars 5000
	$(BIN)/python benchmarks/reference_grid.py --bars 20000
	$(BIN)/python benchmarks/reference_grid.py --bars 120000 --timeframe 5m
	$(BIN)/python benchmarks/reference_grid.py --strategy sma_cross
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/chart.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/against_vectorbt.py --bars 20000 --cells 400
	$(BIN)/python benchmarks/against_backtesting.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/explorer.py
	$(BIN)/python benchmarks/samplers.py
	$(BIN)/python benchmarks/gate_calibration.py --markets 20
	$(BIN)/python benchmarks/gate_cost.py
	$(BIN)/python benchmarks/lookahead.py --markets 1

lint: $(VENV)/.dev  ## format, lint, types, floors, file lengths
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/file_lengths.py

notebooks: $(VENV)/.dev  ## run the notebooks and keep their new outputs
	$(BIN)/python tests/refresh_notebooks.py

clean:  ## remove caches and the environment; data/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis $(TEST_HOME) build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
