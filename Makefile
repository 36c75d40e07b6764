# Two commands do everything: `make demo` runs the main job on embedded data, `make test` passes the tests.
# Both first set up the environment in .venv from requirements.lock (hashes are checked).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: demo test test-slow test-long test-slurm guard faults gpu bench coverage check format lock wheel clean

demo: $(READY)  ## the main job on embedded data: pretrain, sweep, adapt, compare (minutes, no network)
	$(BIN)/python scripts/demo.py

test: $(READY)  ## the fast tests
	$(PYTEST) -n 2 -m "not slow and not long and not gpu and not slurm and not browser and not data and not guard"

test-slow: $(READY)  ## everything else that this machine can run; data needs ../shared/data
	$(PYTEST) -n 2 -m "(slow or data) and not long and not gpu and not slurm and not browser and not guard"

test-long: $(READY)  ## minutes each: a sweep of 24 jobs, killed three times
	$(PYTEST) -m long

test-slurm: $(READY)  ## sweeps on a Slurm of one node, which is installed (Debian), started and ended here; needs root
	bash scripts/slurm_up.sh
	$(PYTEST) -m slurm; code=$$?; bash scripts/slurm_up.sh down; exit $$code

guard: $(READY)  ## the numbers of this checkout against another one's on this machine: make guard REFERENCE=../other-checkout
	REFERENCE=$(REFERENCE) $(PYTEST) -m guard

faults: $(READY)  ## kills, races and a full disk, each many times: fault | tried | survived | lost (25 minutes)
	$(BIN)/python scripts/faults.py

gpu:  ## on a machine with a CUDA torch, which is taken as it is: tests marked gpu and the bench gpu (8 minutes)
	OMP_NUM_THREADS=4 $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) scripts/gpu.py

bench: $(READY)  ## speed as ratios of interleaved runs, into benchmarks/results/
	for bench in data_loading features heads training_step adaptation_step start_up_data scale; do OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$bench.py || exit 1; done

coverage: $(READY)  ## how often the intervals of a comparison hold, simulated, into benchmarks/results/coverage.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py

check: $(READY)  ## lint, format, types, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(READY)  ## build the wheel and try it in a clean environment and an empty folder
	bash scripts/try_wheel.sh

lock:  ## choose versions anew and write requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --extra tensorboard --extra huggingface --extra slurm --extra optuna --universal --python-version 3.10 --generate-hashes \
		--no-emit-index-url --no-annotate --quiet --upgrade --custom-compile-command "make lock" -o requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --require-hashes -r requirements.lock \
		|| $(BIN)/python -m pip install --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --no-deps --no-build-isolation --editable . \
		|| $(BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	touch $(READY)

clean:
	rm -rf $(VENV) dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
