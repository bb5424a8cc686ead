# The two commands of the README. Both make their own environment first; both can be repeated.
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN = .venv/Scripts
else
BIN = .venv/bin
endif

.PHONY: demo test bench clean environment

demo: environment
	@$(BIN)/octavo demo

test: environment
	@$(BIN)/python -m pytest -q -n auto

bench: environment
	@$(BIN)/python bench/sandbox.py
	@$(BIN)/python bench/agent.py

environment:
	@$(PYTHON) tools/bootstrap.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
