"""The DynamoDB table as it is: does it fit the export?

Source: Amazon DynamoDB API Reference, "DescribeTable", "TableDescription" (KeySchema, AttributeDefinitions, TableStatus).
"""

from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from batch_jobs.export_dynamodb.definition import Definition
from batch_jobs.export_dynamodb.values import KEY_KINDS, Column
from freshet.errors import EnvironmentFault, InputError
from freshet.unsent import unsent

WRITABLE: Final = frozenset({"ACTIVE", "UPDATING"})
NAMES: Final = {"S": "text", "N": "a number", "B": "binary"}


@dataclass(frozen=True)
class ItemTable:
    """Its identity, which another table of the same name has not, and the type of its partition key: S, N or B."""

    id: str
    key_type: str


def describe(client: Any, definition: Definition) -> ItemTable:
    """Read the table's description.

    Raises:
        InputError: There is no such table, or its key is not the export's.
        EnvironmentFault: It may not be read, or cannot be written now.
    """
    name = definition.table
    try:
        table = client.describe_table(TableName=name)["Table"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            raise InputError(
                f"there is no DynamoDB table {name} here: make it with the partition key {definition.key}, and no sort key. "
                "Nothing was done"
            ) from None
        raise EnvironmentFault(f"DynamoDB refused to describe table {name} ({code}): check the role's rights") from None
    except ParamValidationError as error:
        raise unsent(error, "describe_table") from None
    except BotoCoreError as error:
        raise EnvironmentFault(f"DynamoDB did not answer ({type(error).__name__}): check region and network") from None
    keys = {key["KeyType"]: key["AttributeName"] for key in table["KeySchema"]}
    if "RANGE" in keys:
        raise InputError(
            f"DynamoDB table {name} has a sort key, {keys['RANGE']}: an export writes one item a key, into a table without one"
        )
    if keys["HASH"] != definition.key:
        raise InputError(
            f"the partition key of DynamoDB table {name} is {keys['HASH']}, but export {definition.name} says key: "
            f"{definition.key}. Nothing was done"
        )
    if table["TableStatus"] not in WRITABLE:
        raise EnvironmentFault(f"DynamoDB table {name} is {table['TableStatus']}: wait until it is ACTIVE")
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    made = table.get("CreationDateTime")
    return ItemTable(
        f"{table['TableArn']} {made.timestamp():.3f}" if made else str(table["TableArn"]), types[keys["HASH"]]
    )


def check_key(table: ItemTable, key: Column, definition: Definition) -> None:
    """Refuse a key column of another type than the table's key.

    Raises:
        InputError: They differ.
    """
    have = KEY_KINDS[key.kind]
    if have != table.key_type:
        raise InputError(
            f"the key {key.name} of DynamoDB table {definition.table} is {NAMES[table.key_type]}, but column {key.name} of "
            f"{definition.source_name} is {NAMES[have]}: cast it in select.sql, or make the table anew. Nothing was written"
        )
