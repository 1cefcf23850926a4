# Every target sets up all it needs.
PYTHON ?= python3
VENV ?= .venv
BUDGET ?= 0.1
CHECKOUTS ?= checkouts
# cpu or gpu, and where pip finds it if not on PyPI.
PADDLE ?= cpu
INDEX ?=
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: run test test-fast check bench models engines searches configs gpu-check setup clean

run: $(READY)
	$(BIN)/python -m search.run --budget $(BUDGET)

# Two files at a time on two cores: with three, nodes that Ray starts give up on their own agents. And
# in their order: by the number of their tests, the few that take minutes would come last and alone.
test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Hours, on a machine that does nothing else; what has been evaluated is kept in bench/work.
bench: $(READY)
	$(BIN)/python -m benchmarks.summary

# Hours: every model is trained from nothing first (UNet alone eight minutes), and kept in bench/work/models.
models: $(READY)
	$(BIN)/python -m benchmarks.models.table
	$(BIN)/python -m benchmarks.models.branches
	$(BIN)/python -m benchmarks.models.prediction

# An hour: every model on every engine. EXPORTED are folders of models that were exported elsewhere.
engines: $(READY)
	$(BIN)/python -m benchmarks.models.engines --exported $(EXPORTED)

# Two hours: a search for one model of each family.
searches: $(READY)
	$(BIN)/python -m benchmarks.models.searches

# Hours: every configuration file of the toolkits' checkouts in the folder CHECKOUTS. A sweep that
# was interrupted goes on.
configs: $(READY)
	$(BIN)/python -m benchmarks.sweep --checkouts $(CHECKOUTS)
	$(BIN)/python -m benchmarks.sweep.named --checkouts $(CHECKOUTS)

# Ten minutes, on a machine with a GPU: all that touches one, and a report in gpu-check.md. It has an
# environment of its own, with paddlepaddle-gpu from the package index whose address is in GPU_INDEX.
# Without an address, or a GPU, it says what it would do.
gpu-check:
	@$(MAKE) setup $(if $(GPU_INDEX),VENV=$(VENV)-gpu PADDLE=gpu INDEX="--extra-index-url $(GPU_INDEX)")
	$(VENV)$(if $(GPU_INDEX),-gpu)/bin/python -m benchmarks.gpu_check

setup: $(READY)

$(READY): pyproject.toml constraints.txt toolkits.txt
	@echo "installing into $(VENV): about 2 GB, a few minutes"
	@$(PYTHON) -m venv $(VENV)
	@# Python compiles what it imports; to compile all 23,000 files takes a minute.
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile $(INDEX) -c constraints.txt -e ".[$(PADDLE),dev,bench,onnx,openvino,mlflow,wandb,tensorboard]"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps -r toolkits.txt
	@touch $(READY)

clean:
	rm -rf $(VENV) $(VENV)-gpu .pytest_cache .mypy_cache .ruff_cache *.egg-info
