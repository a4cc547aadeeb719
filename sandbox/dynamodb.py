"""What stands in front of moto's DynamoDB: limits of BatchWriteItem that moto does not know, and faults.

Reads:  a call of the protocol.
Gives:  an answer; None when moto shall answer.

Source: Amazon DynamoDB API Reference, "BatchWriteItem" (25 requests, 16 MB, items of 400 KB, UnprocessedItems); Developer Guide,
"DynamoDB Item sizes and formats", "Supported data types and naming rules" (Number).
"""

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from werkzeug.test import Client

from sandbox.faults import Fault
from sandbox.names import ACCESS_KEY, REGION
from sandbox.server import Answer

TARGET: Final = "DynamoDB_20120810."
REQUESTS_MAX: Final = 25
REQUEST_BYTES_MAX: Final = 16 * 1024 * 1024
ITEM_BYTES_MAX: Final = 400 * 1024
DIGITS_MAX: Final = 38
Moto = Callable[..., Any]


class DynamoDBError(Exception):
    """An error of the service; its class's name is the error's."""


class ValidationException(DynamoDBError):
    """The request breaks a rule."""


class ProvisionedThroughputExceededException(DynamoDBError):
    """The table is busy."""


def answer(moto: Moto, operation: str, body: bytes, fault: Fault | None) -> Answer | None:
    """Answer what moto would answer otherwise than DynamoDB."""
    try:
        if fault and fault.fault == "throttle":
            raise ProvisionedThroughputExceededException("Rate exceeded (by the sandbox's fault control)")
        if operation != "BatchWriteItem":
            return None
        request = json.loads(body)
        check(request, len(body))
        if fault and fault.fault == "fail_entries":
            return _partly(moto, request, int(fault.value))
        return None
    except DynamoDBError as error:
        kind = f"com.amazonaws.dynamodb.v20120810#{type(error).__name__}"
        return _json(400, {"__type": kind, "message": str(error)})


def check(request: dict[str, Any], size: int) -> None:
    """Refuse a BatchWriteItem that is too large.

    Raises:
        ValidationException: It is.
    """
    writes = [write for writes in request.get("RequestItems", {}).values() for write in writes]
    if not 1 <= len(writes) <= REQUESTS_MAX:
        raise ValidationException("Too many items requested for the BatchWriteItem call")
    if size > REQUEST_BYTES_MAX:
        raise ValidationException("Request size exceeded: 16 MB")
    for write in writes:
        item = write.get("PutRequest", {}).get("Item", {})
        if sum(len(name.encode()) + value_size(value) for name, value in item.items()) > ITEM_BYTES_MAX:
            raise ValidationException("Item size has exceeded the maximum allowed size")


def value_size(value: dict[str, Any]) -> int:
    """Give the bytes of an attribute value, and check its numbers.

    Raises:
        ValidationException: A number has more than 38 digits, or is out of range.
    """
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_size(content)
        case "L":
            return 3 + sum(1 + value_size(part) for part in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(part) for name, part in content.items())
        case "BOOL" | "NULL":
            return 1
        case _:
            return len(json.dumps(content).encode())


def _number_size(text: str) -> int:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise ValidationException("The parameter cannot be converted to a numeric value")
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if len(digits) > DIGITS_MAX:
        raise ValidationException("Attempting to store more than 38 significant digits in a Number")
    if digits and not -130 <= number.adjusted() <= 125:
        raise ValidationException("Number overflow. Attempting to store a number with magnitude out of supported range")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")


def _partly(moto: Moto, request: dict[str, Any], count: int) -> Answer:
    """Leave the first `count` requests undone, carry out the rest."""
    ((table, writes),) = request["RequestItems"].items()
    told: dict[str, Any] = {"UnprocessedItems": {}}
    if writes[count:]:
        asked = {**request, "RequestItems": {table: writes[count:]}}
        scope = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20200101/{REGION}/dynamodb/aws4_request"
        with Client(moto).post(
            "/",
            data=json.dumps(asked),
            headers={"X-Amz-Target": f"{TARGET}BatchWriteItem", "Authorization": scope, "Host": "dynamodb"},
        ) as done:
            if done.status_code != 200:
                return Answer(done.status_code, done.get_data(), "application/x-amz-json-1.0")
            told = json.loads(done.get_data())
    told["UnprocessedItems"] = {table: writes[:count]} if writes[:count] else {}
    return _json(200, told)


def _json(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(content).encode(), "application/x-amz-json-1.0")
