# Needs only Python 3.11 or newer, make and git; everything else goes into $(VENV).
PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
OUT ?= demo-output
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test test-clusters test-fast test-lowest lint fuzz faults soak docs bench bench-page bench-size bench-graph bench-large bench-scaling bench-components clean

help:
	@echo "make demo                  simulate a study, scan it, show peaks and pictures ($(OUT)/)"
	@echo "make demo STUDY=bxd.zip    the same with a real study (R/qtl2 files or a Zarr study)"
	@echo "make test                  lint, type checks, all tests, the examples and the notebooks"
	@echo "make test-clusters         real SLURM and sshd, the Dask operator, a container; skipped where not installed"
	@echo "make test-fast             the tests without slow ones and examples: two minutes on two cores"
	@echo "make test-lowest           the same with the lowest versions of all dependencies, in $(LOWEST)/"
	@echo "make lint                  lint and type checks only"
	@echo "make fuzz                  mutated inputs; FUZZ=\"--minutes 60 --seed 1 --only plink\""
	@echo "make faults                killed and frozen processes, cut networks, full disks, at full length"
	@echo "make soak                  the same at random; SOAK=\"--minutes 120 --seed 1\""
	@echo "make docs                  documentation as a website (docs/_build/html/)"
	@echo "make bench                 speed beside a matrix product of the same size, and beside GEMMA"
	@echo "make bench-size            time of a test against samples, markers, traits, patterns and threads"
	@echo "make bench-page            tables and picture of the page on speed, from benchmarks/results.json"
	@echo "make bench-graph           what a block costs besides its arithmetic"
	@echo "make bench-large           time and memory of a study of 4e9 tests, from simulation to hits"
	@echo "make bench-components      cost of several random effects, in bulk and one by one; of gemma beside it"
	@echo "make bench-scaling         one worker and two; how many workers a scheduler carries"

demo: $(VENV)/.demo
	$(BIN)/bulklmm demo --out "$(OUT)" $(if $(STUDY),--study "$(STUDY)") $(if $(TRAITS),--traits $(TRAITS))

# Three processes keep two cores busy, for tests of faults wait most of their time. Tests multiply small
# matrices: threads of BLAS would only wait for each other. Each process, and each that a test starts, would
# compile all modules if none were kept.
PROCESSES ?= 3
ALONE = OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
PYTEST = $(ALONE) -n $(PROCESSES) --dist worksteal

# What starts the daemons of a cluster is a suite of its own, in one process: tests share the daemons.
CLUSTERS = kubernetes or slurm or ssh

test: lint
	$(PYTEST) --durations 20 -m "not ($(CLUSTERS))" --nbmake notebooks bulklmm_dask tests

test-clusters: $(VENV)/.test
	$(ALONE) --durations 20 -m "$(CLUSTERS)" tests/clusters

test-fast: $(VENV)/.test
	$(PYTEST) --durations 20 -m "not slow" tests

# Slow tests of clusters too, for dask and distributed change most.
test-lowest: $(LOWEST)/constraints.txt
	PIP_CONSTRAINT=$(abspath $<) $(MAKE) VENV=$(LOWEST) test-fast
	OPENBLAS_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest --durations 20 -m slow tests/engine

$(LOWEST)/constraints.txt: pyproject.toml tests/packaging/lowest.py
	mkdir -p $(LOWEST)
	$(PYTHON) tests/packaging/lowest.py > $@

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Ends with 1 after an exception that is none of ours; the inputs that led there are in fuzz-output/.
fuzz: $(VENV)/.test
	PYTHONPATH=tests MPLBACKEND=Agg OPENBLAS_NUM_THREADS=1 $(BIN)/python -m fuzzing $(FUZZ)

# Freezes and cuts are shorter in the suite. Networks and disks need root.
faults: $(VENV)/.test
	BULKLMM_FAULTS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --durations 0 tests/faults tests/objects/test_faults.py

# Ends with 1 after an answer that is another one, or an end without a sentence.
soak: $(VENV)/.test
	PYTHONPATH=tests OPENBLAS_NUM_THREADS=1 $(BIN)/python -m faults.soak $(SOAK)

# Warnings are errors. What is made from docstrings and commands is made anew each time.
docs: $(VENV)/.docs
	rm -rf docs/reference/api
	$(BIN)/sphinx-build -W --keep-going -E -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.demo
	$(BIN)/python benchmarks/bench.py $(BENCH)

bench-size: $(VENV)/.demo
	$(BIN)/python benchmarks/bench_size.py $(BENCH)

bench-page: $(VENV)/.demo
	$(BIN)/python benchmarks/bench.py --page $(BENCH)

bench-graph: $(VENV)/.demo
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/bench_graph.py $(BENCH)

bench-large: $(VENV)/.test
	$(BIN)/python benchmarks/bench_large.py $(BENCH)

bench-scaling: $(VENV)/.demo
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/bench_scaling.py $(BENCH)

bench-components: $(VENV)/.demo
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/bench_components.py $(BENCH)

# One stamp file per set of extras: pip runs again only when what it builds from has changed. Without a C
# compiler it leaves out the compiled loops, and NumPy does what they do.
SOURCES = pyproject.toml setup.py $(wildcard bulklmm_dask/_compiled/*.h bulklmm_dask/*/compiled/*.[ch])

$(VENV)/.demo: $(SOURCES) | $(BIN)/python
	$(INSTALL) --editable '.[plot]'
	@touch $@

$(VENV)/.test: $(SOURCES) | $(BIN)/python
	$(INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.docs: $(SOURCES) | $(BIN)/python
	$(INSTALL) --editable '.[docs,plot]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

clean:
	rm -rf $(VENV) $(LOWEST) $(OUT) fuzz-output docs/_build docs/reference/api .mypy_cache .ruff_cache .pytest_cache .hypothesis
