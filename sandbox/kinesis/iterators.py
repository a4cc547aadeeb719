"""Shard iterators and paging tokens: a place and a time, as opaque text.

Source: Kinesis API reference, GetShardIterator (valid for 5 minutes, at most 512 characters), ListShards (NextToken).
"""

import base64
import binascii
import json

from sandbox.kinesis.errors import ExpiredIterator, ExpiredNextToken, InvalidArgument
from sandbox.kinesis.shards import NS

VALID_NS = 300 * NS


def seal(content: list[object], now_ns: int) -> str:
    """Write a place and the time of its making as opaque text."""
    return base64.b64encode(json.dumps([now_ns, *content], separators=(",", ":")).encode()).decode()


def _unseal(text: str, what: str, fields: int) -> tuple[int, list[object]]:
    try:
        issued_ns, *content = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise InvalidArgument(f"Invalid {what}.") from None
    if len(content) != fields or not isinstance(issued_ns, int):
        raise InvalidArgument(f"Invalid {what}.")
    return issued_ns, content


def open_iterator(text: str, now_ns: int) -> tuple[str, int, int, int]:
    """Read an iterator: stream name, its creation time, shard number, counter after which to read.

    Raises:
        ExpiredIterator: It is older than five minutes.
        InvalidArgument: It is no iterator of this Kinesis.
    """
    issued_ns, (name, created_ns, number, after) = _unseal(text, "ShardIterator", 4)
    if now_ns - issued_ns > VALID_NS:
        raise ExpiredIterator("Iterator expired. The iterator was created more than 5 minutes ago.")
    if not isinstance(name, str) or not isinstance(created_ns, int):
        raise InvalidArgument("Invalid ShardIterator.")
    if not isinstance(number, int) or not isinstance(after, int):
        raise InvalidArgument("Invalid ShardIterator.")
    return name, created_ns, number, after


def open_token(text: str, now_ns: int) -> tuple[str, object, str]:
    """Read a paging token of ListShards: stream name, filter, id of the last shard that was listed."""
    issued_ns, (name, wanted, after) = _unseal(text, "NextToken", 3)
    if now_ns - issued_ns > VALID_NS:
        raise ExpiredNextToken("The NextToken has expired.")
    return str(name), wanted, str(after)
