"""The functions that a statement may call: those that Redshift has and PostgreSQL, with `compat.sql`, computes alike.

A list of what is allowed: a list of what is not would never be complete.

Source: Redshift Developer Guide, "SQL functions reference", "Unsupported PostgreSQL functions", "Leader node-only
functions".
"""

from typing import Final

from sandbox.redshift.lexer import words

KNOWN: Final = words("""
    avg count max min sum stddev stddev_pop stddev_samp variance var_pop var_samp bool_and bool_or any_value listagg
    percentile_cont percentile_disc
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    coalesce nvl nvl2 isnull nullif decode greatest least
    abs ceil ceiling floor round trunc mod power pow sqrt cbrt exp ln log sign random pi degrees radians
    sin cos tan asin acos atan atan2
    lower upper initcap len length char_length character_length octet_length bit_length
    substring substr left right lpad rpad ltrim rtrim btrim trim replace translate reverse repeat replicate
    position strpos charindex split_part concat chr ascii md5 sha2 checksum to_hex strtol quote_ident quote_literal
    regexp_replace regexp_substr regexp_count regexp_instr
    getdate sysdate current_date datediff dateadd date_part date_trunc extract last_day add_months
    convert_timezone to_char to_date to_number to_timestamp
    json_parse json_serialize json_size
    cast current_schema current_database grouping
    pg_last_copy_id pg_last_copy_count pg_last_unload_id pg_last_unload_count
    """)
_ELSEWHERE: Final = "Specified types or functions (one per INFO message) not supported on Redshift tables."
# Habits of PostgreSQL, and what to write instead.
ABSENT: Final = {
    "string_agg": "function string_agg does not exist (use LISTAGG)",
    "array_agg": "function array_agg does not exist (use LISTAGG)",
    "unnest": "function unnest does not exist",
    "row": "row constructors are not supported",
    "jsonb_agg": "function jsonb_agg does not exist (use LISTAGG or SUPER)",
    "json_agg": "function json_agg does not exist (use LISTAGG or SUPER)",
    "gen_random_uuid": "function gen_random_uuid() does not exist",
    "pg_sleep": "function pg_sleep does not exist",
    "clock_timestamp": f"{_ELSEWHERE} (CLOCK_TIMESTAMP: use GETDATE or SYSDATE)",
    "now": f"{_ELSEWHERE} (NOW: use GETDATE or SYSDATE)",
    "age": f"{_ELSEWHERE} (AGE: use DATEDIFF)",
    "generate_series": f"{_ELSEWHERE} (GENERATE_SERIES runs on the leader node only)",
    "nextval": "sequences are not supported (use IDENTITY)",
    "pg_advisory_lock": "function pg_advisory_lock does not exist",
    "pg_advisory_xact_lock": "function pg_advisory_xact_lock does not exist",
}
# Words that a parenthesis may follow without being called.
KEYWORDS: Final = words("""
    all and any as between by case distinct else except exists from having ilike in intersect is join like limit minus
    not of offset on or order over partition rollup cube select set sets similar some then to union using values when
    where with group recursive
    """)
