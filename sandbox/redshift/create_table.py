"""CREATE TABLE: columns, limits, and keys that are declared but not enforced.

A declared primary key becomes NOT NULL columns and a hidden index that is not unique: deletes by key stay quick, doubled
keys stay possible. Distribution and sort keys are checked, kept for SVV_TABLE_INFO, and otherwise without effect.

Source: Redshift Developer Guide, "CREATE TABLE", "Reserved words", "Table constraints".
"""

from dataclasses import dataclass, field
from typing import Final

from sandbox.redshift.errors import Refused, syntax_error
from sandbox.redshift.external_catalog import refuse_local
from sandbox.redshift.lexer import Cursor, quoted, sql_name, words
from sandbox.redshift.query import check_expression
from sandbox.redshift.rewrite import rewrite
from sandbox.redshift.session import Outcome, Plan, Session
from sandbox.redshift.types import ColumnType, column_type

_INDEXED_BYTES_MAX: Final = 2_000  # a longer key does not fit PostgreSQL's index
_ENCODINGS: Final = words(
    "raw az64 bytedict delta delta32k lzo mostly8 mostly16 mostly32 runlength text255 text32k zstd"
)
_SYSTEM_COLUMNS: Final = words("oid tableoid xmin cmin xmax cmax ctid")
# Reserved in Redshift and free in PostgreSQL; what is reserved in both, PostgreSQL refuses.
_RESERVED: Final = words("""
    aes128 aes256 allowoverwrite backup blanksasnull bytedict bzip2 credentials deflate defrag delta delta32k disable
    emptyasnull enable encode encrypt encryption explicit globaldict256 globaldict64k gzip identity ignore lun luns lzo
    lzop minus mostly16 mostly32 mostly8 new off offline old open parallel percent permissions pivot raw readratio
    recover rejectlog resort respect restore snapshot sysdate system tag tdes text255 text32k timestamp top
    truncatecolumns unnest unpivot wallet
    """)


SORT_COLUMNS_MAX: Final = 400
INTERLEAVED_COLUMNS_MAX: Final = 8


@dataclass
class Table:
    """What a CREATE TABLE statement declares; `liked` is the table behind LIKE."""

    path: tuple[str, ...]
    temporary: bool
    if_missing: bool
    columns: dict[str, ColumnType] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    key: list[str] = field(default_factory=list)
    style: str = ""
    distkey: str = ""
    sortkeys: list[str] = field(default_factory=list)
    sort_style: str = ""
    liked: str = ""

    @property
    def distribution(self) -> str:
        """The way of its distribution, as SVV_TABLE_INFO tells it; empty when none is declared."""
        return f"KEY({self.distkey})" if self.distkey else self.style.upper()


def create_table(cursor: Cursor, *, temporary: bool) -> Plan:
    """Plan a CREATE TABLE from behind its word TABLE.

    Raises:
        Refused: It is not one of Redshift's, or one that the stand-in does not know.
    """
    if_missing = cursor.accept("if", "not", "exists")
    table = Table(free_path(cursor), temporary, if_missing)
    if not cursor.sees("("):
        raise cursor.surprise()
    cursor.listed(lambda: _item(cursor, table))
    read_attributes(cursor, table)
    cursor.end()
    check_keys(table)
    _known(table, table.key, "key")
    return lambda session: _make(session, table)


def _item(cursor: Cursor, table: Table) -> None:
    if cursor.accept("like"):
        source = sql_name(cursor.path())
        defaults = cursor.accept("including", "defaults")
        _ = defaults or cursor.accept("excluding", "defaults")
        table.liked = source
        table.lines.append(f"like {source} including constraints" + (" including defaults" if defaults else ""))
    elif cursor.sees("constraint") or cursor.sees("primary", "key") or cursor.sees("unique") or cursor.sees("foreign"):
        _table_constraint(cursor, table)
    elif cursor.sees("check"):
        raise syntax_error("check", "no CHECK constraints")
    else:
        _column(cursor, table)


def _table_constraint(cursor: Cursor, table: Table) -> None:
    if cursor.accept("constraint"):
        cursor.name()
    if cursor.accept("primary", "key"):
        _set_key(table, cursor.listed(cursor.name))
    elif cursor.accept("unique"):
        cursor.listed(cursor.name)
    elif cursor.accept("foreign", "key"):
        cursor.listed(cursor.name)
        _reference(cursor)
    else:
        raise cursor.surprise("CHECK and EXCLUDE are not supported" if cursor.sees("check") else "")


def _set_key(table: Table, names: list[str]) -> None:
    if table.key:
        raise Refused("multiple primary keys for one table are not allowed")
    table.key = names


def _reference(cursor: Cursor) -> None:
    cursor.expect("references")
    cursor.path()
    if cursor.sees("("):
        cursor.listed(cursor.name)


def _column(cursor: Cursor, table: Table) -> None:
    name = free_path(cursor)[0]
    if name in _SYSTEM_COLUMNS:
        raise Refused(f'column name "{name}" conflicts with a system column name')
    if name in table.columns:
        raise Refused(f'column "{name}" specified more than once')
    kind = column_type(cursor)
    table.columns[name] = kind
    line = f"{quoted(name)} {kind.sql}"
    while cursor.here is not None and not cursor.sees(",") and not cursor.sees(")"):
        line += _column_attribute(cursor, table, name)
    table.lines.append(line)
    check = kind.check(name, len(table.columns))
    if check:
        table.lines.append(check)


def _column_attribute(cursor: Cursor, table: Table, column: str) -> str:
    if cursor.accept("not", "null"):
        return " not null"
    if cursor.accept("default"):
        tokens = cursor.balanced(",", "not", "null", "primary", "unique", "references", "encode", "distkey", "sortkey")
        if not tokens:
            cursor.expect("null")
            return " default null"
        check_expression(tokens)
        return f" default {rewrite(tokens, {})[0]}"
    if cursor.accept("primary", "key"):
        _set_key(table, [column])
    elif cursor.accept("references"):
        cursor.at -= 1
        _reference(cursor)
    elif cursor.accept("encode"):
        _encoding(cursor)
    elif cursor.accept("distkey"):
        _distribute(table, "", column)
    elif cursor.sees("identity") or cursor.sees("generated"):
        raise Refused("the sandbox does not know IDENTITY columns")
    elif cursor.accept("sortkey"):
        _sort(table, [column], "compound")
    elif not (cursor.accept("null") or cursor.accept("unique")):
        raise cursor.surprise()
    return ""


def _encoding(cursor: Cursor) -> None:
    if cursor.here is None or cursor.here.word not in _ENCODINGS:
        raise cursor.surprise()
    cursor.next()


def read_attributes(cursor: Cursor, table: Table) -> None:
    """Read what stands behind the columns: BACKUP, distribution and sort keys, ENCODE AUTO; up to AS or the end.

    Raises:
        Refused: It is none of these.
    """
    while cursor.here is not None and not cursor.sees("as"):
        if cursor.accept("backup"):
            if not (cursor.accept("yes") or cursor.accept("no")):
                raise cursor.surprise()
        elif cursor.accept("diststyle"):
            style = cursor.next().word
            if style not in ("auto", "even", "key", "all"):
                raise syntax_error(style or "diststyle")
            _distribute(table, style, "")
        elif cursor.accept("distkey"):
            cursor.expect("(")
            _distribute(table, "", cursor.name())
            cursor.expect(")")
        elif cursor.accept("sortkey", "auto"):
            _sort(table, [], "auto")
        elif cursor.accept("encode", "auto"):
            continue
        elif cursor.accept("compound", "sortkey") or cursor.accept("sortkey"):
            _sort(table, cursor.listed(cursor.name), "compound")
        elif cursor.accept("interleaved", "sortkey"):
            _sort(table, cursor.listed(cursor.name), "interleaved")
        else:
            raise cursor.surprise()


def check_keys(table: Table) -> None:
    """Check distribution and sort keys against one another and against the columns.

    Raises:
        Refused: They do not go together, or name no column.
    """
    if table.style == "key" and not table.distkey:
        raise Refused("DISTSTYLE KEY requires a DISTKEY column")
    if table.distkey and table.style not in ("", "key"):
        raise Refused(f"Cannot specify DISTKEY for a table with DISTSTYLE {table.style.upper()}")
    greatest = INTERLEAVED_COLUMNS_MAX if table.sort_style == "interleaved" else SORT_COLUMNS_MAX
    if len(table.sortkeys) > greatest:
        raise Refused(f"a table has at most {greatest} columns in its {table.sort_style.upper()} SORTKEY")
    _known(table, [*table.sortkeys, *([table.distkey] if table.distkey else [])])


def _distribute(table: Table, style: str, column: str) -> None:
    if column and table.distkey:
        raise Refused("Only one column can be the DISTKEY")
    table.style, table.distkey = style or table.style, column or table.distkey


def _sort(table: Table, columns: list[str], style: str) -> None:
    if table.sort_style:
        raise Refused("conflicting or redundant options")
    table.sortkeys += columns
    table.sort_style = style


def _known(table: Table, names: list[str], where: str = "DISTKEY or SORTKEY") -> list[str]:
    for name in names:
        if name not in table.columns and not table.liked:
            raise Refused(f'column "{name}" named in {where} does not exist')
    return names


def free_path(cursor: Cursor) -> tuple[str, ...]:
    """Take a name that is about to be given; a reserved word must be quoted.

    Raises:
        Refused: It is reserved, or no name.
    """
    start = cursor.at
    path = cursor.path()
    for token in cursor.tokens[start : cursor.at]:
        if token.word in _RESERVED:
            raise syntax_error(token.text, "a reserved word: quote it")
    return path


def _make(session: Session, table: Table) -> Outcome:
    refuse_local(session, table.path)
    name = sql_name(table.path)
    if table.if_missing and not table.temporary and session.rows("select to_regclass($1)", [name]) != [(None,)]:
        return Outcome()
    keys = ", ".join(quoted(column) for column in table.key)
    lines = [*table.lines, *(f"constraint {quoted(f'key:{c}'[:63])} not null {quoted(c)}" for c in table.key)]
    kind = "temporary table" if table.temporary else "table"
    ending = " on commit drop" if table.temporary else ""  # the session of a statement ends with it
    session.run(f"create {kind} {name} ({', '.join(lines)}){ending}")
    if (
        table.key
        and sum(table.columns[column].size for column in table.key if column in table.columns) <= _INDEXED_BYTES_MAX
    ):
        session.run(f"create index on {name} ({keys})")
    note_keys(session, table)
    return Outcome()


def note_keys(session: Session, table: Table) -> None:
    """Keep how a table is distributed and sorted; a temporary one is gone before anybody asks."""
    if not table.temporary:
        session.rows(
            "select redshift_compat.note_table($1::regclass, $2, $3, $4, to_regclass($5))",
            [sql_name(table.path), table.distribution, table.sortkeys, table.sort_style, table.liked or None],
        )
