"""The sandbox's DynamoDB against what AWS documents of it, as far as exports use it.

Source: Amazon DynamoDB API Reference, "BatchWriteItem", "Scan", "DescribeTable"; Developer Guide, "DynamoDB Item sizes and
formats", "Supported data types and naming rules in Amazon DynamoDB", "Quotas in Amazon DynamoDB".
"""

import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from freshet.cli.context import Place
from tests.faults.control import inject


@pytest.fixture
def client(place: Place) -> Iterator[Any]:
    made = boto3.client("dynamodb", config=Config(retries={"total_max_attempts": 1}))
    yield made
    made.close()


@pytest.fixture
def table(client: Any) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield name
    client.delete_table(TableName=name)


def put(key: str, **values: Any) -> dict[str, Any]:
    return {"PutRequest": {"Item": {"k": {"S": key}, **values}}}


def refused(client: Any, table: str, *requests: dict[str, Any]) -> str:
    with pytest.raises(ClientError) as caught:
        client.batch_write_item(RequestItems={table: list(requests)})
    return str(caught.value.response["Error"]["Code"])


def count(client: Any, table: str) -> int:
    pages = client.get_paginator("scan").paginate(TableName=table, Select="COUNT", ConsistentRead=True)
    return sum(page["Count"] for page in pages)


def test_a_call_takes_25_requests(client: Any, table: str) -> None:
    """BatchWriteItem: "as many as 25 item put or delete operations"."""
    assert "ValidationException" == refused(client, table, *(put(str(n)) for n in range(26)))
    client.batch_write_item(RequestItems={table: [put(str(n)) for n in range(25)]})
    assert 25 == count(client, table)


def test_a_call_names_no_key_twice(client: Any, table: str) -> None:
    """BatchWriteItem: "Your request contains at least two items with identical hash and range keys"."""
    assert "ValidationException" == refused(client, table, put("a"), put("a"))


def test_a_call_takes_16_mb(client: Any, table: str) -> None:
    """BatchWriteItem: "The total request size exceeds 16 MB"; lists of small numbers are longer on the way than stored."""
    numbers = {"L": [{"N": "1"}] * 90_000}
    assert "ValidationException" == refused(client, table, *(put(str(n), v=numbers) for n in range(25)))


@pytest.mark.parametrize(
    "values",
    [{"v": {"S": "x" * 409_600}}, {"v": {"L": [{"N": "1"}] * 140_000}}, {"v": {"M": {"n": {"S": "é" * 204_800}}}}],
    ids=["text", "list", "map"],
)
def test_an_item_has_400_kb(client: Any, table: str, values: dict[str, Any]) -> None:
    """Quotas: "400 KB ... includes both attribute name binary length (UTF-8) and attribute value lengths"."""
    assert "ValidationException" == refused(client, table, put("a", **values))
    assert 0 == count(client, table)


def test_an_item_below_400_kb_is_taken(client: Any, table: str) -> None:
    """Item sizes: names and values count, nothing else (moto stops at 405000 bytes)."""
    client.batch_write_item(RequestItems={table: [put("a", v={"S": "x" * 404_900})]})
    assert "ValidationException" == refused(client, table, put("a", v={"S": "x" * 409_598}))


@pytest.mark.parametrize("number", ["1" * 39, "1e126", "1e-131", "NaN", "x"])
def test_a_number_has_38_digits_and_a_range(client: Any, table: str, number: str) -> None:
    """Data types, Number: "up to 38 digits of precision", 1E-130 to 9.99...E+125."""
    assert "ValidationException" == refused(client, table, put("a", v={"N": number}))


@pytest.mark.parametrize("key", [{"S": ""}, {"S": "x" * 2049}, {"N": "1"}], ids=["empty", "long", "number"])
def test_a_key_is_as_the_table_says(client: Any, table: str, key: dict[str, str]) -> None:
    """Quotas: a partition key has 1 to 2048 bytes; its type is the one of AttributeDefinitions."""
    assert "ValidationException" == refused(client, table, {"PutRequest": {"Item": {"k": key}}})


def test_a_put_replaces_the_whole_item(client: Any, table: str) -> None:
    """BatchWriteItem: a put of a key that is there "replaces" the item: attributes that it lacks are gone."""
    client.batch_write_item(RequestItems={table: [put("a", v={"S": "1"}, w={"S": "2"})]})
    client.batch_write_item(RequestItems={table: [put("a", v={"S": "3"})]})
    assert {"k": {"S": "a"}, "v": {"S": "3"}} == client.get_item(TableName=table, Key={"k": {"S": "a"}})["Item"]


def test_a_missing_table_is_named(client: Any) -> None:
    """BatchWriteItem and DescribeTable: ResourceNotFoundException."""
    assert "ResourceNotFoundException" == refused(client, "nothing-here", put("a"))
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_table(TableName="nothing-here")


def test_segments_of_a_scan_hold_each_item_once(client: Any, table: str) -> None:
    """Scan: TotalSegments divides the table; pages of 1 MB are continued by LastEvaluatedKey."""
    for start in range(0, 100, 25):
        client.batch_write_item(
            RequestItems={table: [put(str(n), v={"S": "x" * 40_000}) for n in range(start, start + 25)]}
        )
    pages = client.get_paginator("scan")
    asked = {"ProjectionExpression": "#k", "ExpressionAttributeNames": {"#k": "k"}}
    found = [
        item["k"]["S"]
        for segment in range(3)
        for page in pages.paginate(TableName=table, Segment=segment, TotalSegments=3, **asked)
        for item in page["Items"]
    ]
    assert sorted(map(str, range(100))) == sorted(found)


def test_requests_may_be_left_undone(place: Place, client: Any, table: str) -> None:
    """BatchWriteItem: UnprocessedItems has the form of RequestItems, so that it can be sent as it is; the rest is done."""
    inject(place.endpoints["aws"]["endpoint_url"], operation="BatchWriteItem", fault="fail_entries", value=2)
    left = client.batch_write_item(RequestItems={table: [put("a"), put("b"), put("c")]})["UnprocessedItems"]
    assert {table: [put("a"), put("b")]} == left
    assert 1 == count(client, table)
    assert {} == client.batch_write_item(RequestItems=left)["UnprocessedItems"]
    assert 3 == count(client, table)


def test_a_busy_table_refuses_all(place: Place, client: Any, table: str) -> None:
    """BatchWriteItem: "If none of the items can be processed due to insufficient provisioned throughput ..."."""
    inject(place.endpoints["aws"]["endpoint_url"], operation="BatchWriteItem", fault="throttle")
    assert "ProvisionedThroughputExceededException" == refused(client, table, put("a"))
    assert 0 == count(client, table)
