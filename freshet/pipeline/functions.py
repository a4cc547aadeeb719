"""The functions that a SELECT may use, and what to say about the others.

Each is total in Spark 4.1 with ANSI on (it never throws, hence never quotes a value into an error) and deterministic, so
that `verify` can compute it again. A list of what is forbidden would lose that race: this is a list of what is allowed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from freshet.pipeline.problems import did_you_mean

TOKENIZE = "tokenize"
MASK_DIGITS = "mask_digits"
PROTECTIONS = (TOKENIZE, MASK_DIGITS)

# What may stand between a personal column and its protection: the whole value goes in, and nothing is decided by it.
KEEPS_THE_VALUE = frozenset(
    {"lower", "upper", "trim", "ltrim", "rtrim", "coalesce", "nvl", "ifnull", "concat", "concat_ws"}
)


@dataclass(frozen=True)
class Literal:
    """A constant that an argument must be, because another value could throw or mean nothing."""

    fits: Callable[[str], bool]
    what: str


@dataclass(frozen=True)
class Function:
    """One allowed function.

    `most` None: any number of arguments. `literals`: what the argument at an index must be. `spark`: how it is written
    for Spark when that differs, with {0}, {1} for the arguments.
    """

    name: str
    least: int
    most: int | None
    literals: Mapping[int, Literal] = field(default_factory=dict)
    spark: str | None = None


def _whole(least: int, most: int, *, without: int | None = None) -> Literal:
    def fits(written: str) -> bool:
        return bool(re.fullmatch(r"-?\d{1,9}", written)) and least <= int(written) <= most and int(written) != without

    beside = f", not {without}" if without is not None else ""
    return Literal(fits, f"a whole number from {least} to {most}{beside}")


def _one_of(*units: str) -> Literal:
    written = ", ".join(f"'{unit}'" for unit in units)
    return Literal(lambda unit: unit.lower() in units, f"one of {written}")


_DATE_UNITS = ("year", "quarter", "month", "week")
_TIME_UNITS = (*_DATE_UNITS, "day", "hour", "minute", "second")
_SCALE = {1: _whole(0, 18)}
_LENGTH = {1: _whole(0, 16_383)}

_ALLOWED = [
    # text
    Function("lower", 1, 1),
    Function("upper", 1, 1),
    Function("initcap", 1, 1),
    Function("trim", 1, 1),
    Function("ltrim", 1, 1),
    Function("rtrim", 1, 1),
    Function("reverse", 1, 1),
    Function("length", 1, 1),
    Function("char_length", 1, 1),
    Function("octet_length", 1, 1),
    Function("concat", 1, None),
    Function("concat_ws", 2, None),
    Function("substring", 2, 3),
    Function("substr", 2, 3),
    Function("left", 2, 2),
    Function("right", 2, 2),
    Function("replace", 2, 3),
    Function("translate", 3, 3),
    Function("split_part", 3, 3, {2: _whole(-1_000, 1_000, without=0)}),
    Function("lpad", 2, 3, _LENGTH),
    Function("rpad", 2, 3, _LENGTH),
    Function("instr", 2, 2),
    Function("locate", 2, 2),
    Function("startswith", 2, 2),
    Function("endswith", 2, 2),
    Function("contains", 2, 2),
    Function("md5", 1, 1),
    Function("sha2", 2, 2, {1: _one_of("256", "384", "512")}),
    # NULL and choice
    Function("coalesce", 1, None),
    Function("nvl", 2, 2),
    Function("ifnull", 2, 2),
    Function("nvl2", 3, 3),
    Function("nullif", 2, 2),
    Function("if", 3, 3),
    Function("greatest", 2, None),
    Function("least", 2, None),
    # numbers
    Function("round", 1, 2, _SCALE),
    Function("floor", 1, 1),
    Function("ceil", 1, 1),
    Function("sign", 1, 1),
    # dates
    Function("year", 1, 1),
    Function("quarter", 1, 1),
    Function("month", 1, 1),
    Function("day", 1, 1),
    Function("dayofweek", 1, 1),
    Function("dayofyear", 1, 1),
    Function("weekofyear", 1, 1),
    Function("hour", 1, 1),
    Function("minute", 1, 1),
    Function("last_day", 1, 1),
    Function("datediff", 2, 2),
    # Both throw near the ends of Spark's calendar, far outside of MySQL's and Redshift's: there they give NULL. date_trunc
    # answers with an instant, whose text depends on a time zone; all of Freshet's times have none.
    Function(
        "trunc",
        2,
        2,
        {1: _one_of(*_DATE_UNITS)},
        "if(try_cast({0} as date) between date'0001-01-01' and date'9999-12-31', trunc({0}, {1}), null)",
    ),
    Function(
        "date_trunc",
        2,
        2,
        {0: _one_of(*_TIME_UNITS)},
        "if(try_cast({1} as date) between date'0001-01-01' and date'9999-12-31',"
        " try_cast(date_trunc({0}, {1}) as timestamp_ntz), null)",
    ),
    # personal data
    Function(TOKENIZE, 1, 1),
    Function(MASK_DIGITS, 1, 1),
]
NILADIC = frozenset({"current_time", "localtime", "localtimestamp", "sysdate", "user"})  # calls without parentheses
FUNCTIONS: Mapping[str, Function] = {function.name: function for function in _ALLOWED}

_WHY = {
    "it is an aggregate, and one row of the fact becomes one row of the target; aggregate in Redshift": """
        any any_value approx_count_distinct array_agg avg bool_and bool_or collect_list collect_set corr count count_if
        every first first_value grouping last last_value listagg max max_by mean median min min_by mode percentile
        percentile_approx some std stddev string_agg sum try_avg try_sum var_pop variance""",
    "it looks at other rows, and one row of the fact becomes one row of the target; write it in Redshift": """
        cume_dist dense_rank lag lead nth_value ntile percent_rank rank row_number""",
    "it gives another value each time, so the table could never be verified; take a column of the source": """
        current_catalog current_database current_date current_schema current_time current_timestamp current_timezone
        current_user curdate getdate input_file_name localtime localtimestamp monotonically_increasing_id now rand randn
        random randstr session_user shuffle spark_partition_id sysdate unix_timestamp user uuid""",
    "it reaches past what can be checked; name the columns": """
        identifier java_method reflect try_reflect raise_error assert_true schema_of_json""",
    "it throws on a value that does not fit, and one row would stop the stream; write try_cast(x as type)": """
        bigint binary boolean cast char date decimal double float int smallint string timestamp tinyint to_char to_date
        to_number to_timestamp varchar""",
    "a column of the target is one value; name each column": "struct named_struct array map to_json",
    "write + - * / %, which never throw here": "try_add try_subtract try_multiply try_divide try_mod",
    "Spark's mask lets most of a value through; write mask_digits(x) or tokenize(x)": "mask",
    "write md5(x) or sha2(x, 256)": "hash xxhash64 sha sha1 crc32",
    "it throws for the smallest integer; write case when x < 0 then -x else x end": "abs",
    "write x + 1 for a date": "date_add dateadd date_sub",
    "its result has no bound; write concat(x, x)": "repeat",
    "Spark 4.1's throws on some delimiters; write split_part(x, delimiter, n)": "substring_index",
    "write x is null": "isnull isnotnull",
    "a regular expression could take forever on one value; write replace() or translate()": """
        regexp_replace regexp_extract regexp_like regexp_substr rlike""",
}
_REFUSED = {name: why for why, names in _WHY.items() for name in names.split()}


def refusal(name: str) -> str:
    """Say why a function is not on the list, and what to write instead."""
    why = _REFUSED.get(name.lower())
    if why is None:
        hint = did_you_mean(name, FUNCTIONS).removeprefix("; ")
        why = hint or "the functions are " + ", ".join(FUNCTIONS)
    return f"{name}() is not allowed: {why}"
