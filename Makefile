# `make run` and `make test` are all a fresh machine needs (Debian 12 or 13, root, python3).
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test bench lint types unit integration conformance vm setup setup-test clean

run: setup          ## set up, then run a real image in a real container and show what it got
	@sh scripts/tour

test: setup-test lint types  ## set up, then pass every test
	$(BIN)/python -m pytest

setup:              ## the virtual environment and what `make run` needs
	@sh scripts/setup run

setup-test:         ## also the peers and tools that the tests run beside us
	@sh scripts/setup test

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-test
	$(BIN)/mypy

unit: setup-test
	$(BIN)/python -m pytest tests/unit tests/architecture

integration: setup-test
	$(BIN)/python -m pytest tests/integration

conformance: setup-test  ## other people's clients and peers; TARGET=reference runs them on the originals
	TARGET=$(TARGET) $(BIN)/python -m pytest tests/conformance

vm: setup-test      ## the tests that need cgroup v2 and systemd, in a virtual machine
	$(BIN)/python -m pytest tests/vm

bench: setup-test   ## side by side with runc, crun, podman and docker.io; writes docs/benchmarks.md
	$(BIN)/python -m bench --write docs/benchmarks.md

clean:
	rm -rf .venv .cache
