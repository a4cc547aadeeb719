"""Keep PostgreSQL's statistics of tables that grow, as Redshift's automatic analyze does.

Without them a join of few staged rows with a large, just filled table reads the whole of it. PostgreSQL's own autovacuum
comes later than the next merge.

Source: Redshift Developer Guide, "Automatic analyze"; PostgreSQL, "pg_class" (`relpages`: the size at the last ANALYZE).
"""

from typing import Any, Final

import psycopg

from sandbox.redshift.lexer import quoted

# Tables that have about doubled since their last ANALYZE, by their size, which needs no count; small ones are read whole anyway.
_GROWN: Final = """
select nspname, relname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where relkind = 'r' and relpersistence = 'p' and nspname not in ('pg_catalog', 'information_schema', 'redshift_compat')
    and pg_relation_size(pg_class.oid) >= 1.8 * current_setting('block_size')::bigint * greatest(relpages, 16)
"""


def analyze_grown(connection: psycopg.Connection[Any]) -> None:
    """Analyze the tables that have doubled.

    Args:
        connection: Outside of a transaction, as an administrator.

    Raises:
        psycopg.errors.LockNotAvailable: A table's shape is being changed. Autovacuum, which locks as well, gives way in a second.
    """
    connection.execute("set local lock_timeout = '3s'")
    for schema, table in connection.execute(_GROWN).fetchall():
        connection.execute(f"analyze {quoted(schema)}.{quoted(table)}".encode())
    connection.commit()
