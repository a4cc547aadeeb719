"""Source tables written by hand, for tests that need no MySQL, and a pipeline's folder over them."""

from pathlib import Path

from freshet.pipeline.source import ForeignKey, Index, SourceColumn, SourceSchema, SourceTable


def table(name: str, key: str, columns: dict[str, str], *, foreign_keys: tuple[ForeignKey, ...] = ()) -> SourceTable:
    """A table; a column's type may be followed by its collation: "varchar(9) utf8mb4_bin"; `?` makes it nullable."""
    made = {}
    for column, written in columns.items():
        kind, _, collation = written.rstrip("?").partition(" collate ")
        text = kind.startswith(("varchar", "char", "text", "tinytext"))
        found = collation or ("utf8mb4_general_ci" if text else None)
        made[column] = SourceColumn(column, kind, written.endswith("?"), found)
    keys = tuple(part for part in key.split(",") if part)
    indexes = (Index("PRIMARY", keys),) if keys else ()
    return SourceTable(name, made, keys, indexes, foreign_keys)


def schema(*tables: SourceTable) -> SourceSchema:
    """A database `shop` of these tables."""
    return SourceSchema("shop", {each.name: each for each in tables}, tuple(sorted(each.name for each in tables)))


ORDERS = table(
    "orders",
    "id",
    {
        "id": "bigint(20) unsigned",
        "customer_id": "int(10) unsigned",
        "code": "varchar(10) collate utf8mb4_bin",
        "ref": "varchar(10)",
        "note": "text?",
        "price": "decimal(8,2)",
        "wide": "decimal(19,2)?",
        "huge": "decimal(38,0)",
        "fine": "decimal(38,30)",
        "weight": "double",
        "quantity": "smallint(6)",
        "total": "bigint(20)",
        "paid": "tinyint(1)",
        "day": "date",
        "at": "datetime(6)",
        "seen": "timestamp",
        "kind": "enum('a','b')",
        "blob_": "blob",
    },
)
CUSTOMER = table(
    "customer",
    "id",
    {
        "id": "int(10) unsigned",
        "big": "bigint(20)",
        "email": "varchar(254)",
        "phone": "varchar(40)?",
        "code": "varchar(10) collate utf8mb4_bin",
        "parent": "int(10) unsigned?",
    },
)
SHOP = schema(ORDERS, CUSTOMER)

YAML = """\
target: public.orders
keys: [id]
pii:
  customer.email: tokenize
  customer.phone: mask_digits
"""
FROM = "\nfrom orders as o\nleft join customer as c on c.id = o.customer_id"


def write(folder: Path, select: str, yaml: str = YAML) -> Path:
    made = folder / "orders"
    made.mkdir(exist_ok=True)
    (made / "select.sql").write_text(select)
    (made / "pipeline.yaml").write_text(yaml)
    return made
