"""What is there already; it runs on Python 3.9 too, as AWS Glue's Python shell has it.

Asked before anything is made: CREATE SCHEMA IF NOT EXISTS asks for a right on the database even when the schema is there.

Source: Redshift database developer guide, "SVV_TABLES", "SVV_REDSHIFT_SCHEMAS", "CREATE SCHEMA".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from freshet.redshift.data_api import Warehouse
from freshet.redshift.literals import quote

SCHEMA: Final = "freshet"  # where Freshet's own tables are


def tables_of(warehouse: Warehouse, schema: str) -> set[str]:
    """Name the tables and views of a schema."""
    rows = warehouse.query(f"select table_name from svv_tables where table_schema = {quote(schema)}")
    return {str(row["table_name"]) for row in rows}


def missing_schemas(warehouse: Warehouse, wanted: Iterable[str]) -> list[str]:
    """Give those of the schemas that are not there, each once, in their order."""
    # The view lists the schemas of other databases too.
    sql = "select schema_name from svv_redshift_schemas where database_name = current_database()"
    known = {row["schema_name"] for row in warehouse.query(sql)}
    return [name for name in dict.fromkeys(wanted) if name not in known]
