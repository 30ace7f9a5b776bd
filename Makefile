# Two commands do everything: `make demo` and `make test`. Both build .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help base env demo test lint docs dist unit integration vm fuzz compiled pure clean
help:
	@echo "make demo         run scenarios/quickstart.yaml (root; asks sudo) and write its report"
	@echo "make test         lint, types, the documentation's links and every test tier that this host can run"
	@echo "make base         build .venv without torch, for all but real training"
	@echo "make docs         build the documentation into site/; a link that leads nowhere is an error"
	@echo "make dist         build the wheel and the source distribution into dist/, and check them"
	@echo "make unit         the tests that need neither root nor namespaces"
	@echo "make integration  the tests with real namespaces, packets and training (root)"
	@echo "make vm           the kernel engine's tests on a kernel with netem, in a virtual machine"
	@echo "make fuzz         coverage-guided fuzzing of the transport for SECONDS (60)"
	@echo "make compiled     compile the transport with mypyc (needs a C compiler): three times as fast in simulation"
	@echo "make pure         back to the transport's sources, before changing them"
	@echo "make clean        remove .venv and caches (runs/ stays)"

base: $(VENV)/.base
env: $(VENV)/.installed

$(VENV)/.base: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ecco-emu needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: env
	$(SUDO) $(BIN)/ecco-emu run scenarios/quickstart.yaml

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Without --quiet, which would silence the warnings that --strict counts: dead links would pass. The variable turns
# off the theme's own notice about its successor.
docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# From clean folders: setuptools takes what an earlier build has left.
dist: env pure
	rm -rf dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dist]'
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

# These tests use no clock and no network, so they run side by side. A tensor library in each would otherwise take
# all processors. The longest come first, so that none is left over at the end.
SIDE_BY_SIDE := OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 8 --dist worksteal
CLOCKLESS := tests/sim tests/unit tests/property

unit: env
	$(SIDE_BY_SIDE) $(CLOCKLESS)

integration: env
	$(SUDO) $(BIN)/pytest tests/integration --ecco-require netns

vm: env
	$(SUDO) $(BIN)/pytest tests/vm --ecco-require vm

SECONDS_OF_FUZZING := $(or $(SECONDS),60)
fuzz: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	mkdir -p .fuzz
	$(BIN)/python -m tests.fuzz.fuzz_transport -max_total_time=$(SECONDS_OF_FUZZING) -max_len=4096 \
		-artifact_prefix=.fuzz/ .fuzz

compiled: env pure
	ECCO_EMU_COMPILE=1 $(BIN)/python setup.py --quiet build_ext --inplace

pure:
	rm -rf build
	find ecco_emu/transport -name '*.so' -delete

test: lint docs
	failed=0; \
	$(SUDO) env $(SIDE_BY_SIDE) $(CLOCKLESS) || failed=1; \
	$(SUDO) $(BIN)/pytest $(addprefix --ignore=,$(CLOCKLESS)) --ecco-require netns $(REQUIRE) || failed=1; \
	exit $$failed  # both parts run, whatever fails in the first

clean: pure
	rm -rf $(VENV) dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz *.egg-info
