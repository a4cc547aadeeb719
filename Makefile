# `make demo` and `make test` are all a newcomer needs: each prepares what is missing first.
WITH_JAVA = JAVA_HOME="$$(cat .venv/java_home)"
.PHONY: help setup demo test check soak bench clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo              the whole pipeline, live, on this machine; ARGS="--for 60s --rate 20 --json"'
	@echo 'make test              set up, check, and run every test; ARGS="-k name" for some'
	@echo 'make setup             .venv, OpenJDK 17 and MariaDB, whichever is missing'
	@echo 'make check             ruff and mypy'
	@echo 'make soak              the long, randomized tests'
	@echo 'make bench             the benchmarks'
	@echo 'make clean             remove .venv, the state of the sandbox and the caches'

setup:
	@./setup.sh

# Nothing but the demo writes to stdout: its last line may be JSON.
demo: setup
	@$(WITH_JAVA) .venv/bin/freshet demo $(ARGS)

test: check
	@$(WITH_JAVA) .venv/bin/python -m pytest -n 2 --dist loadfile -m 'not slow' $(ARGS)

check: setup
	@.venv/bin/ruff check --quiet --output-format concise .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy
	@.venv/bin/mypy simulators

soak: setup
	@$(WITH_JAVA) .venv/bin/python -m pytest -m slow $(ARGS)

bench: setup
	@$(WITH_JAVA) .venv/bin/python -m benchmarks $(ARGS)

clean:
	@if [ -d .freshet ] && [ -x .venv/bin/freshet ]; then .venv/bin/freshet sandbox down; fi
	@rm -rf .venv .freshet .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
