"""Statements about keys: which are held, which rows refer to them, which come next.

Each asks for keys only, and gives them as the source spells them.

Reads:  tables of the source.
Gives:  keys, typed by the strict converters; the servers that answered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from freshet.errors import EnvironmentFault
from freshet.ledger.keys import Key
from freshet.mysql.asking import ONE_ROW, Answered, CutOff, Held, Source, Texts, Unlike
from freshet.mysql.literals import beyond, one_of
from freshet.pipeline.source import quoted
from freshet.pipeline.values import Convert, Unfit

Found: TypeAlias = tuple[list[Key], Answered]
PART_MAX: Final = 10_000
PART_MIN: Final = 50


@dataclass(frozen=True)
class KeyColumns:
    """The primary key of a table, or the columns that refer to one.

    Attributes:
        database: MySQL database.
        table: Its table.
        columns: Primary-key columns in the key's order.
        converters: Strict function of each.
        no_pad: Whether 'a' and 'a ' are two values of a column; the warehouse takes them for one.
    """

    database: str
    table: str
    columns: tuple[str, ...]
    converters: tuple[Convert, ...]
    no_pad: tuple[bool, ...] = ()

    @property
    def name(self) -> str:
        """The table as SQL."""
        return f"{quoted(self.database)}.{quoted(self.table)}"

    @cached_property
    def _tells_blanks(self) -> bool:
        return any(self.no_pad)

    def blank_at_end(self, key: Key) -> str | None:
        """Name the column whose value ends in a blank, which the warehouse cannot tell; None if there is none."""
        if not self._tells_blanks:
            return None
        for column, no_pad, value in zip(self.columns, self.no_pad, key, strict=False):
            if no_pad and isinstance(value, str) and value.endswith(" "):
                return column
        return None

    def key(self, texts: Texts) -> Key | None:
        """Type a key; None if there is none, as the one row of `ONE_ROW` stands alone.

        Raises:
            EnvironmentFault: It is no value of its type, such as a zero date: no target could hold its row.
        """
        if texts[0] is None:
            return None
        try:
            values = [
                convert(None if text is None else bytes(text).decode())
                for convert, text in zip(self.converters, texts, strict=True)
            ]
        except (Unfit, UnicodeDecodeError):
            values = [None]
        if any(value is None for value in values):
            raise EnvironmentFault(
                f"a row of {self.table} has a key ({', '.join(self.columns)}) that is no value of its type, such as a zero date; "
                "no table can hold it. Mend the row in the source"
            )
        return tuple(values)  # type: ignore[arg-type]


def free(source: Source, of: KeyColumns, keys: Sequence[Key]) -> tuple[frozenset[Key], Answered]:
    """Give those of some keys whose row is there and that no transaction holds; if not all, as the source spells them."""
    columns = [f"k.{quoted(name)}" for name in of.columns]
    told = source.ask(
        ", ".join(columns),
        f"{ONE_ROW} left join {of.name} as k on {one_of(columns, keys)} {source.share('skip locked')}",
    )
    # Each key has its row: there is no need to read which.
    if len(told.rows) == len(keys) and told.rows[0][0] is not None:
        return frozenset(keys), told.servers
    return frozenset(key for row in told.rows if (key := of.key(row))), told.servers


def any_held(source: Source, of: KeyColumns, keys: Sequence[Key]) -> tuple[bool, Answered]:
    """Tell whether a transaction holds any of some keys."""
    columns = [f"k.{quoted(name)}" for name in of.columns]
    try:
        told = source.ask(  # the columns are asked for: MariaDB leaves a joined table out of which nothing is asked
            ", ".join(columns),
            f"{ONE_ROW} left join {of.name} as k on {one_of(columns, keys)} {source.share('nowait')}",
        )
    except Held:
        return True, frozenset()
    return False, told.servers


def after(source: Source, of: KeyColumns, key: Key | None, limit: int, where: str = "") -> Found:
    """Give a table's next keys, in MySQL's order.

    Args:
        source: Where.
        of: The table's primary key.
        key: Keys after this one; None for the first.
        limit: At most so many.
        where: A further condition, as SQL.
    """
    names = [quoted(name) for name in of.columns]
    conditions = [part for part in (where, beyond(names, key) if key is not None else "") if part]
    listed = ", ".join(names)
    inner = (
        f"select {listed} from {of.name}{' where ' if conditions else ''}{' and '.join(conditions)} "
        f"order by {listed} limit {limit}"
    )
    order = ", ".join(f"k.{name}" for name in names)
    told = source.ask(order, f"{ONE_ROW} left join ({inner}) as k on true order by {order}")
    return [found for row in told.rows if (found := of.key(row))], told.servers


def referring(
    source: Source,
    of: KeyColumns,
    columns: Sequence[str],
    keys: Sequence[Key],
    cursor: Key | None,
    limit: int,
) -> Found:
    """Give the rows of a table that refer to some keys, in the order of their own.

    The referring columns are compared with the keys. The table that the keys are of is not asked: its row may be gone.

    Args:
        source: Where.
        of: Primary key of the referring table.
        columns: The referring columns, in the order of the keys' values.
        keys: At most 500.
        cursor: Rows after this one.
        limit: At most so many.
    """
    names = [quoted(name) for name in columns]
    try:
        return after(source, of, cursor, limit, one_of(names, keys))
    except Unlike:  # no row refers to a key that the referring column's charset cannot write
        written = [key for key in keys if _can_be_written(source, of, names, key)]
        return after(source, of, cursor, limit, one_of(names, written) if written else "false")


def _can_be_written(source: Source, of: KeyColumns, names: Sequence[str], key: Key) -> bool:
    try:
        source.ask(
            "1", f"{ONE_ROW} left join (select 1 as x from {of.name} where {one_of(names, [key])} limit 0) as k on true"
        )
    except Unlike:
        return False
    return True


def in_parts(ask: Callable[[Key | None, int], Found], cursor: Key | None, limit: int) -> Found:
    """Ask for keys in parts that each come within the time of a statement.

    Args:
        ask: Asks for at most so many keys after one.
        cursor: Keys after this one.
        limit: How many in all.

    Raises:
        CutOff: Not even `PART_MIN` keys come in time.
    """
    keys: list[Key] = []
    servers: Answered = frozenset()
    most = PART_MAX
    while len(keys) < limit:
        wanted = min(most, limit - len(keys))
        try:
            part, told = ask(keys[-1] if keys else cursor, wanted)
        except CutOff:
            if wanted <= PART_MIN:
                raise
            most = max(PART_MIN, wanted // 4)
            continue
        keys += part
        servers |= told
        if len(part) < wanted:
            break
    return keys, servers
