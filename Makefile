# Every target works in a fresh clone once the virtual environment of the README is active.
.DEFAULT_GOAL := help
.PHONY: help build test test-fast battery battery-short lint audit dist docs bench demo clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

STARTED := $(shell date +%s)
tell = @echo "make $@: $$(( $$(date +%s) - $(STARTED) )) s"

build:  ## build the extension and install the package with its test and lint tools
	python -m pip install '.[test,lint]'

# The tests start many processes: each would compile torch anew where its bytecode may not be kept.
test test-fast: export PYTHONDONTWRITEBYTECODE :=

# The Python tests test the installed package: after a change, `make build` first.
test:  ## run the Rust and the Python tests
	cargo test --locked --workspace --all-targets
	python -m pytest -n 2 --dist loadfile --durations=15
	$(tell)

# CPU seconds of its Python tests: two minutes on two cores less what imports and Rust take.
BUDGET := 170

test-fast:  ## those for the inner loop: the core's unit tests, Python tests without a marker
	cargo test --locked --package dllm2rec-core --lib
	python -m pytest -n 2 --dist loadfile -m 'not slow and not real and not gpu' --budget $(BUDGET)
	$(tell)

battery battery-short: export PYTHONDONTWRITEBYTECODE :=

SHARE ?= 1
PART ?= $(shell python -m tests.battery.promises)
battery:  ## docs/reliability.md by every trial; PART=tests/FILE or SHARE=0.2 for a part of them
	python -m pytest --battery $(SHARE) --battery-figures tests/battery/figures.json $(PART); \
	code=$$?; python -m tests.battery.page; exit $$code

battery-short:  ## a twentieth of the battery's own trials
	python -m pytest --battery 0.05 tests/battery
	$(tell)

lint:  ## formatting, lints, types and the stub
	ruff format --check .
	ruff check .
	mypy
	python -m mypy.stubtest dllm2rec._core
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

audit:  ## licences, sources and known holes of what comes from others; says what it could not check
	python .ci/audit.py

dist:  ## the source archive and a wheel, built twice without git: the same bytes; needs maturin
	python .ci/make_dist.py

docs:  ## build the documentation into site/, strictly; needs pip install '.[docs]'
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict

demo:  ## the main job on embedded data
	dllm2rec train

bench:  ## time every kernel against its peers
	python -m pip install '.[bench]'
	dllm2rec bench

clean:  ## remove what builds leave
	cargo clean
	rm -rf .venv dist site .pytest_cache .mypy_cache .ruff_cache python/dllm2rec/*.so
