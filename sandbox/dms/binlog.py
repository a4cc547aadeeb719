"""Read the events of a MySQL binlog, from a position, as a replica does.

Reads:  the replication protocol (COM_BINLOG_DUMP), over pymysql's connection.
Gives:  events, one after the other, or None when the server has nothing more for now.

Source: MySQL internals, "COM_BINLOG_DUMP", "Binlog event header"; MariaDB, "Replication protocol".
"""

import random
import select
import struct
from typing import Any, NamedTuple

import pymysql  # type: ignore[import-untyped]  # has no types
from pymysql.constants.COMMAND import COM_BINLOG_DUMP  # type: ignore[import-untyped]  # has no types

from sandbox.dms.errors import TaskError
from sandbox.dms.tables import learn_collations

HEADER = struct.Struct("<IBIIIH")
ARTIFICIAL = 0x20
FORMAT_DESCRIPTION = 15
PACKET_MAX = 0xFFFFFF
POSITION_GONE = 1236
CHUNK = 1 << 18


class Event(NamedTuple):
    """One event: its type, its first position and the one after it, its bytes."""

    kind: int
    start: int
    end: int
    content: bytes


class Disconnected(Exception):
    """The server went away."""


class Binlog:
    """A replica's connection.

    Args:
        connection: Settings for pymysql.connect.
        file, position: Where to begin: the start of a transaction.

    Raises:
        Disconnected: The server does not answer.
    """

    def __init__(self, connection: dict[str, Any], file: str, position: int) -> None:
        self._buffer, self._at = b"", 0
        try:
            self._link = pymysql.connect(**connection)
            with self._link.cursor() as cursor:
                cursor.execute("select version(), @@global.binlog_checksum")
                version, checksum = cursor.fetchone()
                cursor.execute("set @master_binlog_checksum = @@global.binlog_checksum")
                cursor.execute("set @mariadb_slave_capability = 4")
                cursor.execute("set @master_heartbeat_period = 1000000000")
            self._checksum_bytes = 4 if checksum == "CRC32" else 0
            self.dbms = "mariadb" if "mariadb" in version.lower() else "mysql"
            learn_collations(self._link, self.dbms)
            replica = random.randrange(1_000_000, 1 << 31)  # noqa: S311  # an id among replicas, no secret
            dump = struct.pack("<IHI", position, 0, replica) + file.encode()
            self._link._execute_command(COM_BINLOG_DUMP, dump)
            self._socket = self._link._sock
        except (pymysql.err.OperationalError, OSError) as error:
            raise Disconnected(str(error)) from None

    def close(self) -> None:
        """End the connection at once: the server is in the middle of a stream."""
        self._link._force_close()

    def next(self, timeout_s: float) -> Event | None:
        """Read the next event; None when none is complete after so many seconds.

        Raises:
            Disconnected: The server went away.
            TaskError: The server has no such position anymore.
        """
        while True:
            packet = self._packet()
            if packet is not None:
                return self._event(packet)
            if not select.select([self._socket], [], [], timeout_s)[0]:
                return None
            try:
                chunk = self._socket.recv(CHUNK)
            except OSError as error:
                raise Disconnected(str(error)) from None
            if not chunk:
                raise Disconnected("the server closed the connection")
            self._buffer, self._at = self._buffer[self._at :] + chunk, 0

    def _packet(self) -> bytes | None:
        """Take one packet from what was received; None when it is not whole yet."""
        buffer, at, parts = self._buffer, self._at, []
        while True:
            if len(buffer) < at + 4:
                return None
            size = int.from_bytes(buffer[at : at + 3], "little")
            start, at = at + 4, at + 4 + size
            if len(buffer) < at:
                return None
            parts.append(buffer[start:at])
            if size < PACKET_MAX:
                self._at = at
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _event(self, packet: bytes) -> Event:
        if packet[0] == 0xFF:
            code, text = int.from_bytes(packet[1:3], "little"), packet[9:].decode("utf-8", "replace")
            if code == POSITION_GONE:
                raise TaskError(f"the server has no binlog at this position anymore ({text}); start with a full load")
            raise Disconnected(f"{code}: {text}")
        if packet[0] == 0xFE and len(packet) < 9:
            raise Disconnected("the server ended the stream")
        _time, kind, _server, size, end, flags = HEADER.unpack_from(packet, 1)
        if flags & ARTIFICIAL:
            end = 0
        if kind == FORMAT_DESCRIPTION:
            # Each file says whether its events end with a checksum; this event always does.
            self._checksum_bytes = 4 if packet[-5] else 0
        return Event(kind, end - size if end else 0, end, packet[1 : len(packet) - self._checksum_bytes])
