"""A job's own arguments among those that AWS Glue adds, of which no list is complete.

What a program does not know is passed over; what looks like one of its own and is spelled otherwise is refused, since it would be
ignored else. It runs on Python 3.9 too, as AWS Glue's Python shell has it.

Source: AWS Glue developer guide, "Using job parameters in AWS Glue jobs".
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence

ALIKE = 0.8  # sorce_secret and source_secret are, JOB_NAME and name are not


def read(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments; argparse ends the process with 2 when one of the program's own is wrong or misspelled."""
    given, passed_over = parser.parse_known_args(argv)
    ours = [word[2:] for action in parser._actions for word in action.option_strings if word.startswith("--")]
    for word in passed_over:
        name = word.removeprefix("--").partition("=")[0]
        if word.startswith("--") and " " not in word:
            for meant in difflib.get_close_matches(name.replace("-", "_").lower(), ours, 1, ALIKE):
                parser.error(f"--{name} is no argument: is --{meant} meant?")
    return given
