"""What botocore refuses before anything is sent: a parameter that it does not know, or takes for wrong.

Its class is one of botocore's faults of the network, but trying again is in vain and the outcome is known: nothing happened. It
runs on Python 3.9 too, as AWS Glue's Python shell has it.
"""

from __future__ import annotations

import re

import botocore
from botocore.exceptions import ParamValidationError

from freshet.errors import TerminalError


def unsent(error: ParamValidationError, operation: str) -> TerminalError:
    """Make the error that ends a run of our own mistake: of the code, or of a boto3 that is too old for it."""
    return TerminalError(
        f"botocore {botocore.__version__} refused the parameters of {operation} ({refused(error)}), and nothing was sent. Either "
        "it is older than the one that Freshet was tested with, or the code is wrong: deploy again with the pinned packages"
    )


def refused(error: ParamValidationError) -> str:
    """Name the parameters that botocore refused; its own message may quote their values."""
    found = re.findall(
        r'Unknown parameter in [\w.\[\]]+: "\w+"|Missing required parameter in [\w.\[\]]+: "\w+"|'
        r"Invalid \w+ for parameter [\w.\[\]]+|Invalid bucket name",
        str(error),
    )
    return "; ".join(found) or "it does not say which"
