# The commands of a developer. `make` alone lists them.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: FORCE help build demo test lint core-test pytest pytest-both pytest-lowest bench docs soak peers try-peers wheel clean

# One place for everything cargo makes, whatever the caller's environment says.
export CARGO_TARGET_DIR := $(CURDIR)/core-bin/target
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTHON  := .venv/bin/python
CORE    := core-bin/target/release/elastik-core
CARGO   := cd core-bin && cargo
# What the core is built with besides: FEATURES='--features dtls' needs the system's OpenSSL.
FEATURES ?=
SOURCES := core-bin/Cargo.toml core-bin/Cargo.lock $(shell find core-bin/src -name '*.rs')
INSTALL := -m pip install -q -c constraints.txt

help: ## List these commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

build: .venv/.ready $(CORE) ## Make .venv (command, SDK, developer tools) and the core.

# The newest interpreter carries the tools; the lowest one proves that we still run there.
.venv/.ready: pyproject.toml constraints.txt hatch_build.py
	test -x $(PYTHON) || "$$(sh dev/pythons newest)" -m venv .venv
	$(PYTHON) $(INSTALL) 'pip>=25.1'
	$(PYTHON) $(INSTALL) --group dev -e .
	touch $@

.venv-lowest/.ready: pyproject.toml constraints.txt hatch_build.py
	test -x .venv-lowest/bin/python || "$$(sh dev/pythons lowest)" -m venv .venv-lowest
	.venv-lowest/bin/python $(INSTALL) 'pip>=25.1'
	.venv-lowest/bin/python $(INSTALL) pytest pytest-xdist hypothesis -e '.[aio]'
	touch $@

# What the core was built with last: another choice builds it again.
FEATURED := core-bin/target/.features
$(FEATURED): FORCE
	@mkdir -p $(@D)
	@echo '$(FEATURES)' | cmp -s - $@ || echo '$(FEATURES)' >$@
FORCE:

# cargo leaves an unchanged binary alone; touching it tells make that it was asked.
$(CORE): $(SOURCES) $(FEATURED)
	$(CARGO) build --release --locked $(FEATURES)
	touch $@

demo: build ## Show what Elastik does, on real input, in under a minute.
	$(PYTHON) dev/demo.py

test: build lint core-test pytest-both ## Run every check: style, types, core, Python.

lint: build ## Check format, style and types of Python and Rust.
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(CARGO) fmt --check
	$(CARGO) clippy --release --all-targets --locked $(FEATURES) -- -D warnings

# The release profile shares its dependencies with `make build`: SQLite is compiled once.
core-test: build
	$(CARGO) test --release --locked -q $(FEATURES)

# Most tests wait for something rather than compute: more of them at once than there are cores.
WORKERS ?= 4
PYTEST  := -m pytest -n $(WORKERS) --dist loadfile

pytest: build try-peers
	$(PYTHON) $(PYTEST)

# One interpreter after the other: each keeps both processors busy, and a test that waits for a
# program has to get its turn. The second runs even when the first failed.
pytest-both: build try-peers .venv-lowest/.ready
	@$(PYTHON) $(PYTEST); newest=$$?; \
	echo "on the lowest interpreter:"; \
	$(MAKE) --no-print-directory pytest-lowest; lowest=$$?; \
	exit $$((newest || lowest))

pytest-lowest: build try-peers .venv-lowest/.ready
	if [ "$$(sh dev/pythons lowest)" != "$$(sh dev/pythons newest)" ]; then \
	    .venv-lowest/bin/python $(PYTEST) -q tests/sdk tests/cli; fi

bench: build peers ## Measure the core beside the published one.
	@missed=; for run in durable_put.py storage.py contention.py 'wire.py --seconds 1' command.py \
	    'coap.py --seconds 1' serial_line.py; do \
	    echo "== bench/$$run"; $(PYTHON) bench/$$run || missed="$$missed $${run%% *}"; done; \
	test -z "$$missed" || { echo "a goal is missed:$$missed" >&2; exit 1; }

docs: build ## Write again what is generated: reference pages, man pages, completions.
	.venv/bin/typer dev/tasks.py run man
	.venv/bin/typer dev/tasks.py run docs
	.venv/bin/typer dev/tasks.py run completions

soak: build ## Run the long proofs: make soak SECONDS=600 SEED=1
	ELASTIK_SOAK_SECONDS=$${SECONDS:-600} ELASTIK_SOAK_SEED=$${SEED:-1} \
	    $(PYTHON) -m pytest -m soak

peers: .venv-peer/.ready ## Install the published 8.3.0 beside ours, for comparison.

# The published package may not exist for this platform: then its tests are skipped by name,
# and in CI they fail.
try-peers:
	-@$(MAKE) --no-print-directory peers

.venv-peer/.ready:
	test -x .venv-peer/bin/python || "$$(sh dev/pythons newest)" -m venv .venv-peer
	.venv-peer/bin/python -m pip install -q 'elastik==8.3.0'
	touch $@

wheel: build ## Build the sdist and the wheel into dist/.
	$(PYTHON) -m hatchling build

clean: ## Remove everything that was built.
	rm -rf .venv .venv-lowest .venv-peer core-bin/target dist build .pytest_cache \
	    .mypy_cache .ruff_cache .hypothesis bench/out
