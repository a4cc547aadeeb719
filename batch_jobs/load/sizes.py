"""How much goes into one transaction, as somebody writes it: a number of files, or of bytes with their unit."""

from __future__ import annotations

import re
from typing import Final

from freshet.errors import InputError

UNITS: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def batch_size(text: str) -> tuple[int | None, int | None]:
    """Read `500` as files, `1GB` or `200 MiB` as bytes.

    Returns:
        Files and bytes; one of them is None.

    Raises:
        InputError: It is neither.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)", text.strip())
    unit = found[2].upper() if found else ""
    if not found or (unit and unit not in UNITS) or (not unit and "." in found[1]) or not float(found[1]):
        raise InputError(f"{text!r} is no batch size: write files, such as 500, or bytes, such as 200MB or 1GB")
    return (int(found[1]), None) if not unit else (None, max(1, int(float(found[1]) * UNITS[unit])))
