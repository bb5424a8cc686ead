# The two commands of the README. Both make their own environment first; both can be repeated.
PYTHON ?= python3
OCTAVO = .venv/bin/octavo

.PHONY: demo test bench clean environment

demo: environment
	@.venv/bin/python tools/demo.py

test: environment
	@.venv/bin/python -m pytest -q -n auto

bench: environment
	@.venv/bin/python bench/sandbox.py

environment:
	@$(PYTHON) tools/bootstrap.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
