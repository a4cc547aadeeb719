"""Write the documents of MySQL's JSON columns, which its binlog holds in binary, as MySQL itself shows them.

MariaDB's JSON is text, and never comes here.

Source: MySQL reference manual, "The JSON data type" (normalization, spacing of what is shown).
"""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

from pymysqlreplication.json_binary import parse_json

NULL = "null"


def text(content: bytes) -> str:
    """Give a document's text; an empty one is what an update without a default left, and shows as null."""
    return _text(parse_json(content[0], content[1:])) if content else NULL


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(name)}: {_text(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, bytes):
        return json.dumps(value.decode(), ensure_ascii=False)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        return f'"{value:%Y-%m-%d %H:%M:%S.%f}"'
    if isinstance(value, float):
        return repr(value).replace("e+", "e")
    return json.dumps(value, ensure_ascii=False, default=str)
