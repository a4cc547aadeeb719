"""What a row event of the binlog is about: the table, its columns, its key, and how to read its rows.

mysql-replication reads the TABLE_MAP event; its result is kept as long as the event's bytes stay the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pymysql.protocol import MysqlPacket  # type: ignore[import-untyped]  # has no types
from pymysqlreplication.constants import FIELD_TYPE
from pymysqlreplication.constants.CHARSET import Charset, charsets
from pymysqlreplication.packet import BinLogPacketWrapper
from pymysqlreplication.row_event import TableMapEvent

from sandbox.dms.errors import TableError, TaskError
from sandbox.dms.settings import Settings
from sandbox.dms.values import Reader, Value, big_integer_text, reader

Row = list[Value]
NO_CHECKSUM = b"\0\0\0\0"  # cut off already, and mysql-replication cuts off four bytes


@dataclass(frozen=True)
class Table:
    """One table as the binlog describes it at one moment.

    `columns` are (index, name) of those that DMS sends; `key` are (index, name) of the primary key, in its order.
    """

    schema: str
    name: str
    readers: tuple[Reader, ...]
    columns: tuple[tuple[int, str], ...]
    key: tuple[tuple[int, str], ...]
    key_type: str

    def images(self, body: bytes, at: int) -> Iterator[Row]:
        """Read the row images of an event from a position to its end."""
        readers, nulls_size, end = list(enumerate(self.readers)), (len(self.readers) + 7) // 8, len(body)
        while at < end:
            nulls = int.from_bytes(body[at : at + nulls_size], "little")
            at += nulls_size
            row: Row = []
            for index, read in readers:
                if nulls and nulls >> index & 1:
                    row.append(None)
                else:
                    value, at = read(body, at)
                    row.append(value)
            yield row


class _Connection:
    """What mysql-replication asks a connection when it reads a TABLE_MAP."""

    charset = "utf8mb4"

    def __init__(self, dbms: str) -> None:
        self._dbms = dbms

    def _get_dbms(self) -> str:
        return self._dbms


def read_table(event: bytes, dbms: str, settings: Settings, hidden: set[str]) -> Table:
    """Read a TABLE_MAP event, header included.

    Args:
        event: The event, without a checksum.
        dbms: "mariadb" or "mysql": they number character sets differently.
        settings: How the task writes values.
        hidden: Columns that DMS does not send: generated and invisible ones.

    Raises:
        TaskError: The server runs without binlog_row_metadata=FULL.
        TableError: A column has a type that is not known here.
    """
    try:
        mapped = _parse(event, dbms)
    except Exception as error:  # noqa: BLE001 - mysql-replication says so in many ways
        raise TableError(f"the binlog's description of it is not understood ({type(error).__name__})") from None
    if not mapped.columns or mapped.columns[0].name is None:
        raise TaskError("the binlog has no column names: start the server with binlog_row_metadata=FULL")
    names = [column.name for column in mapped.columns]
    metadata = mapped.optional_metadata
    key = metadata.simple_primary_key_list or list(metadata.primary_keys_with_prefix)
    return Table(
        mapped.schema,
        mapped.table,
        tuple(_reader(column, mapped, settings) for column in mapped.columns),
        tuple((index, name) for index, name in enumerate(names) if name not in hidden),
        tuple((index, names[index]) for index in key),
        settings.partition_key_type(mapped.schema, mapped.table) if key else "schema-table",
    )


def _reader(column: Any, mapped: Any, settings: Settings) -> Reader:
    if column.type == FIELD_TYPE.LONGLONG:
        data_type = "uint8" if column.unsigned else "int8"
        if settings.is_text(mapped.schema, mapped.table, column.name, data_type):
            return big_integer_text(column.unsigned)
    return reader(column, settings)


def table_name(event: bytes) -> tuple[str, str]:
    """Read only the schema and the name from a TABLE_MAP event."""
    schema_end = 28 + event[27]
    name_start = schema_end + 2
    return event[28:schema_end].decode(), event[name_start : name_start + event[schema_end + 1]].decode()


def learn_collations(link: Any, dbms: str) -> None:
    """Tell mysql-replication every collation of a server; it knows only those of the servers of its time.

    Args:
        link: A connection to the server.
        dbms: "mariadb" or "mysql".
    """
    with link.cursor() as cursor:
        if dbms == "mariadb":
            # Newer ones have a number for each character set that they apply to.
            cursor.execute(
                "select * from information_schema.columns where table_schema = 'information_schema' "
                "and table_name = 'COLLATION_CHARACTER_SET_APPLICABILITY' and column_name = 'ID'"
            )
        newer = dbms == "mariadb" and cursor.fetchone() is not None
        table = "collation_character_set_applicability" if newer else "collations"
        cursor.execute(f"select id, character_set_name, collation_name from information_schema.{table}")
        for number, charset, collation in cursor.fetchall():
            if number is not None and charsets.by_id(number, dbms) is None:
                charsets.add(Charset(int(number), charset, collation, dbms=dbms))


def _parse(event: bytes, dbms: str) -> Any:
    packet = MysqlPacket(b"\0" + event + NO_CHECKSUM, "utf-8")
    wrapped = BinLogPacketWrapper(
        packet, {}, _Connection(dbms), None, True, frozenset([TableMapEvent]), None, None, None, None, False, False,
        False, True, False,
    )  # fmt: skip
    return wrapped.event
