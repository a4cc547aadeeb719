# `make demo` and `make test` are all a newcomer needs: each prepares what is missing first.
# Temporary files lie in the clone too: the system's own folder for them may be small, or forbid programs.
IN_CLONE = JAVA_HOME="$$(cat .venv/java_home)" TMPDIR="$$(pwd -P)/.freshet/tmp"
.PHONY: help setup mysql demo test check soak model fresh bench clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo              the whole pipeline, live, on this machine; ARGS="--for 60s --rate 20 --json"'
	@echo 'make test              set up, check, and run every test; ARGS="-k name" for some'
	@echo 'make setup             .venv, Java 17 or 21 and MariaDB, whichever is missing'
	@echo 'make mysql             a real MySQL for the sandbox, beside MariaDB; 60 MB, nothing is installed'
	@echo 'make check             ruff and mypy'
	@echo 'make soak              the long, randomized tests'
	@echo 'make model             the decisions under seeded faults; SEEDS=20000 for more than the 1,000 of the tests'
	@echo 'make bench             the benchmarks'
	@echo 'make fresh             demo and tests on bare Debian 12 and 13, as root, some hours'
	@echo 'make clean             remove .venv, the state of the sandbox and the caches'

setup:
	@./setup.sh
	@mkdir -p .freshet/tmp

mysql:
	@mkdir -p .freshet
	@./sandbox/fetch_mysql.sh

# Nothing but the demo writes to stdout: its last line may be JSON.
demo: setup
	@$(IN_CLONE) .venv/bin/python -m freshet demo $(ARGS)

# What depends on the source's server is tested on MySQL too, where one can be had.
test: check
	@$(MAKE) --no-print-directory -s mysql || true
	@$(IN_CLONE) .venv/bin/python -m pytest -n 2 --dist loadfile -m 'not slow' $(ARGS)

check: setup
	@.venv/bin/ruff check --quiet --output-format concise .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/python -m mypy
	@.venv/bin/python -m mypy simulators

soak: setup
	@$(IN_CLONE) .venv/bin/python -m pytest -m slow $(ARGS)

model: setup
	@.venv/bin/python -m tests.model $(SEEDS)

fresh:
	@python3 -m tests.fresh $(ARGS)

bench: setup
	@$(IN_CLONE) .venv/bin/python -m benchmarks $(ARGS)

clean:
	@if [ -d .freshet/sandbox ] && [ -x .venv/bin/python ]; then .venv/bin/python -m sandbox down --state .freshet/sandbox; fi
	@rm -rf .venv .freshet .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
