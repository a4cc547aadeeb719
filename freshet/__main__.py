"""The command `freshet`, also as `python -m freshet`; a Ctrl-C while it still imports is a Ctrl-C, not a stack trace."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run one command and end the process with its exit code."""
    try:
        from freshet.cli import run_command  # noqa: PLC0415 - a second of imports, which may be interrupted

        code = run_command(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
