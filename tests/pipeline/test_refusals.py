"""The closed language: each construct that could leak, throw or change its mind is refused where it stands."""

from pathlib import Path

import pytest

from freshet.errors import DefinitionError
from freshet.pipeline.definition import load_definition

YAML = """\
target: public.orders
keys: [id]
pii:
  customer.email: tokenize
  customer.phone: mask_digits
"""
FROM = """
from orders as o
left join customer as c on c.id = o.customer_id
"""


def refusal(tmp_path: Path, select: str, yaml: str = YAML) -> list[DefinitionError]:
    """What load_definition says about a folder."""
    folder = tmp_path / "orders"
    folder.mkdir(exist_ok=True)
    (folder / "select.sql").write_text(select)
    (folder / "pipeline.yaml").write_text(yaml)
    with pytest.raises(DefinitionError) as caught:
        load_definition(folder)
    return list(getattr(caught.value, "errors", (caught.value,)))


EXPRESSIONS = [
    # aggregates, windows, other rows
    ("count(*)", "count() is not allowed: it is an aggregate"),
    ("sum(o.price)", "sum() is not allowed: it is an aggregate"),
    ("max(o.price) over (partition by o.id)", "a window function is not allowed"),
    ("row_number() over (order by o.id)", "a window function is not allowed"),
    ("sum(o.price) filter (where o.id > 1)", "FILTER is not allowed"),
    ("any(o.paid)", "ANY is not part of the language"),
    # subqueries and stars
    ("(select 1)", "a subquery is not allowed"),
    ("exists (select 1 from customer)", "a subquery is not allowed"),
    ("o.id in (select c.id from customer as c)", "after IN stands a list of values"),
    ("*", "* is not allowed: name each column"),
    ("o.*", "* is not allowed: name each column"),
    ("struct(c.*)", "struct() is not allowed"),
    ("to_json(struct(c.*))", "to_json() is not allowed"),
    ("concat(c.*)", "* is not allowed: name each column"),
    # around the check
    ("identifier('c.email')", "identifier() is not allowed: it reaches past what can be checked"),
    ("reflect('java.lang.System', 'getenv', 'HOME')", "reflect() is not allowed"),
    ("java_method('java.lang.System', 'getenv', 'HOME')", "java_method() is not allowed"),
    ("'${env:HOME}' || o.${spark.x}", None),
    ("o.price -> 1", "-> is not allowed"),
    ("transform(o.tags, x -> x)", "TRANSFORM is not part of the language"),
    ("o.tags[0]", "an element of an array is not allowed"),
    ("o.a.b", "a column is written alias.column, without a database or a field"),
    ("sports.o.price", "a column is written alias.column, without a database or a field"),
    (":price", "a parameter is not allowed"),
    ("?", "a parameter is not allowed"),
    ("{{ price }}", "a parameter is not allowed"),
    ("@price", "a parameter is not allowed"),
    # changes its mind
    ("now()", "now() is not allowed: it gives another value each time"),
    ("current_date", "current_date() is not allowed: it gives another value each time"),
    ("current_timestamp", "current_timestamp() is not allowed: it gives another value each time"),
    ("current_user", "current_user() is not allowed: it gives another value each time"),
    ("localtimestamp", "localtimestamp() is not allowed: it gives another value each time"),
    ("rand()", "rand() is not allowed: it gives another value each time"),
    ("uuid()", "uuid() is not allowed: it gives another value each time"),
    ("timestamp 'now'", "write a constant as date '2024-12-31'"),
    ("try_cast('now' as timestamp)", "write a constant as date '2024-12-31'"),
    ("try_cast(concat('no', 'w') as timestamp)", "write a constant as date '2024-12-31'"),
    # throws
    ("cast(o.price as int)", "cast throws on a value that does not fit"),
    ("o.price::int", "cast throws on a value that does not fit"),
    ("int(o.price)", "int() is not allowed: it throws"),
    ("to_date(o.day)", "to_date() is not allowed: it throws"),
    ("raise_error(c.email)", "raise_error() is not allowed: it reaches past"),
    ("o.price div 2", "div throws when the divisor is 0"),
    ("abs(o.price)", "abs() is not allowed: it throws for the smallest integer"),
    ("o.name rlike '(a+)+'", "a regular expression is not allowed"),
    ("o.name like o.pattern", "after LIKE stands a text in quotes"),
    ("o.name like 'a!%' escape '!'", "LIKE ... ESCAPE is not allowed"),
    ("split_part(o.name, ' ', 0)", "argument 3 of split_part() must be a whole number"),
    ("split_part(o.name, ' ', o.id)", "argument 3 of split_part() must be a whole number"),
    ("lpad(o.name, 2000000000, 'x')", "argument 2 of lpad() must be a whole number from 0 to 16383"),
    ("repeat(o.name, 9)", "repeat() is not allowed: its result has no bound"),
    ("regexp_replace(o.name, '(', '')", "regexp_replace() is not allowed: a regular expression could take forever"),
    # values and types
    ("'a\\nb'", "a text with a backslash is not allowed"),
    ("'a' 'b'", "two texts in a row are not allowed"),
    ("x'1F'", "HEX STRING is not part of the language"),
    ("1L", "write the number without a type suffix"),
    ("interval 1 day", "an interval is not allowed"),
    ("try_cast(o.price as varchar)", "varchar(n) counts bytes, from 1 to 65535"),
    ("try_cast(o.price as varchar(70000))", "varchar(n) counts bytes, from 1 to 65535"),
    ("try_cast(o.price as char(3))", "try_cast as char(3) is not allowed: the types are"),
    ("try_cast(o.price as decimal(39, 2))", "a decimal is written decimal(p, s)"),
    ("try_cast(o.price as decimal)", "a decimal is written decimal(p, s)"),
    ("try_cast(o.price as float)", "try_cast as float is not allowed"),
    ("try_cast(o.price as array<int>)", "try_cast as array<int> is not allowed"),
    ("o.name collate UTF8_LCASE", "COLLATE is not allowed"),
    ("o.at at time zone 'x'", "AT TIME ZONE is not part of the language"),
    ("~o.id", "BITWISE NOT is not part of the language"),
    # names
    ("price", "a column is written with its table: o.price or c.price"),
    ("x.price", "there is no table x in this SELECT; the tables are o, c"),
    ("orders.price", "there is no table orders in this SELECT"),
    ("lowr(o.name)", "lowr() is not allowed: did you mean lower?"),
    ("frobnicate(o.name)", "frobnicate() is not allowed: the functions are lower, upper"),
    ("lower(o.name, 1)", "lower() takes 1 argument, not 2"),
    ("mask(c.email)", "mask() is not allowed: Spark's mask lets most of a value through"),
    ("date_trunc('eon', o.at)", "argument 1 of date_trunc() must be one of 'year'"),
    ("sha2(o.name, 7)", "argument 2 of sha2() must be one of '256'"),
]


@pytest.mark.parametrize(("expression", "message"), EXPRESSIONS)
def test_what_is_not_in_the_language_is_refused_at_its_place(
    tmp_path: Path, expression: str, message: str | None
) -> None:
    """An expression outside the language is refused by name, with the line it stands on."""
    errors = refusal(tmp_path, f"select\n    o.id,\n    {expression} as x{FROM}")
    assert any((message or "") in error.message for error in errors), [str(error) for error in errors]
    assert {"select.sql"} == {error.file for error in errors}
    assert 3 in {error.line for error in errors}


STATEMENTS = [
    ("", "the file holds no statement"),
    ("select o.id" + FROM + "; select 1", "a pipeline is one SELECT"),
    ("select o.id from orders as o union all select 1", "UNION, INTERSECT and EXCEPT are not part of the language"),
    ("with x as (select 1) select o.id from orders as o", "a CTE is not allowed"),
    ("select distinct o.id from orders as o", "DISTINCT is not allowed"),
    ("select /*+ broadcast(o) */ o.id from orders as o", "a hint is not allowed"),
    ("select o.id from orders as o where sum(o.id) > 1", "sum() is not allowed: it is an aggregate"),
    ("select o.id from orders as o where o.id in (select 1)", "after IN stands a list of values"),
    ("select o.id from orders as o where o.at < now()", "now() is not allowed: it gives another value each time"),
    ("select o.id from orders as o where cast(o.id as int) = 1", "cast throws on a value that does not fit"),
    ("select o.id from orders as o where x.id = 1", "there is no table x in this SELECT"),
    ("select o.id, user as x from orders as o", "user() is not allowed: it gives another value each time"),
    ("select o.id from orders as o group by o.id", "GROUP BY is not allowed"),
    ("select o.id from orders as o group by o.id having 1 = 1", "HAVING is not allowed"),
    ("select o.id from orders as o order by o.id", "ORDER BY is not allowed"),
    ("select o.id from orders as o limit 5", "LIMIT is not allowed"),
    ("select o.id from orders as o limit 5 offset 2", "OFFSET is not allowed"),
    ("select o.id from orders as o qualify 1 = 1", "QUALIFY is not allowed"),
    ("select o.id from orders as o lateral view explode(o.tags) t as tag", "LATERAL VIEW is not allowed"),
    ("select o.id from orders as o for update", "LOCKS is not part of the language"),
    ("select o.id from orders as o cluster by o.id", "CLUSTER is not part of the language"),
    ("select o.id", "there is no FROM"),
    ("select o.id from (select 1) as o", "a subquery is not a table"),
    ("select o.id from range(10) as o", "this is not a table"),
    ("select o.id from sports.orders as o", "write the bare name of a table"),
    ("select o.id from orders tablesample (10 percent) as o", "write the bare name of a table"),
    ("select o.id from orders version as of 1 as o", "write the bare name of a table"),
    ("select o.id from orders as o (a, b)", "a table's alias renames no columns"),
    ("select o.id from orders as o, customer as c", "CROSS JOIN is not part of the language"),
    (
        "select o.id from orders as o right join customer as c on c.id = o.customer_id",
        "RIGHT JOIN is not part of the language: a row of the target is a row of the fact; write left join or inner join",
    ),
    (
        "select o.id from orders as o full outer join customer as c on c.id = o.customer_id",
        "FULL OUTER JOIN is not part of the language",
    ),
    ("select o.id from orders as o inner join customer as c", "the join of customer has no condition"),
    ("select o.id from orders as o join customer as c using (id)", "USING is not part of the language"),
    (
        "select o.id from orders as o join shop as s on s.id = o.shop_id"
        " left join price as p on p.country = s.country and p.product = o.product",
        "the key of p comes from s and o, and a changed row is walked back through one table: take all of it from one, "
        "such as p.country = o.<column> and p.product = o.<column>",
    ),
    (
        "select id from orders as o left join customer as c on c.id = o.x",
        "a column is written with its table: o.id or c.id",
    ),
    ("select o.id from orders as o cross join customer as c", "CROSS JOIN is not part of the language"),
    ("select o.id from orders as o natural left join customer as c", "NATURAL LEFT JOIN is not part of the language"),
    ("select o.id from orders as o left anti join customer as c on c.id = o.x", "LEFT ANTI JOIN is not part of"),
    ("select o.id from orders as o left join customer as c using (id)", "USING is not part of the language"),
    ("select o.id from orders as o left join customer as c", "the join of customer has no condition"),
    ("select o.id from orders as o left join customer as c on c.id > o.x", "a join's condition is c.key = o.column"),
    ("select o.id from orders as o left join customer as c on c.id = 5", "a join's condition is c.key = o.column"),
    (
        "select o.id from orders as o left join customer as c on c.id = c.parent",
        "a join's condition is c.key = o.column",
    ),
    ("select o.id from orders as o left join customer as c on c.id = lower(o.x)", "a join's condition is c.key"),
    ("select o.id from orders as o left join customer as c on c.id = o.x or c.id = o.y", "a join's condition is c.key"),
    ("select o.id from orders as o left join customer as c on c.id = d.x", "a join's condition is c.key = o.column"),
    ("select o.id from orders as o left join (customer as c) on c.id = o.x", "is not a table"),
    ("select o.id from orders as o left join lateral (select 1) as c on c.id = o.x", "a subquery is not a table"),
    ("select o.id from orders as o left join customer as O on O.id = o.x", "two tables are called O"),
    ("select `x y`.id from `x y`", "give the table x y an alias"),
    ("select o.id, o.price + 1 from orders as o", "this output has no name"),
    ("select o.id, o.price as id from orders as o", "two outputs are called id"),
    ("select o.id, o.price as xmin from orders as o", "xmin is a system column of Redshift"),
    ("select o.id, o.price as _freshet_x from orders as o", "names that begin with _freshet_ are Freshet's own"),
    ("select o.id, o.UnitPrice from orders as o", "UnitPrice is not a name of lower-case letters"),
    ("select o.id, o.UnitPrice from orders as o", "write as unit_price"),
    ("select o.id, o.price as `a b` from orders as o", "a b is not a name of lower-case letters"),
    (f"select o.id, o.price as {'x' * 128} from orders as o", "at most 127 long"),
    ("select o.id from", "near 'from'"),
    ("select 'x from orders", "a quote left open"),
    ("insert into orders values (1)", "this statement is not part of the language"),
    ("select o.id, " + ", ".join(f"o.c{n}" for n in range(1600)) + " from orders as o", "1601 outputs are too many"),
]


@pytest.mark.parametrize(("select", "message"), STATEMENTS, ids=[message for _, message in STATEMENTS])
def test_a_statement_of_another_shape_is_refused(tmp_path: Path, select: str, message: str) -> None:
    """Only one flat SELECT of a fact and its joined dimensions passes."""
    errors = refusal(tmp_path, select, "target: public.orders\nkeys: [id]\n")
    assert any(message in error.message for error in errors), [str(error) for error in errors]


LEAKS = [
    ("c.email", "customer.email is personal and would reach x in the clear: write tokenize(c.email)"),
    ("lower(c.email)", "customer.email is personal and would reach x in the clear"),
    ("concat('mail:', c.email)", "customer.email is personal and would reach x in the clear"),
    ("'mail:' || c.email", "customer.email is personal and would reach x in the clear"),
    ("coalesce(c.email, '')", "customer.email is personal and would reach x in the clear"),
    ("case when c.email = 'a@b' then 1 else 0 end", "customer.email is personal and would reach x in the clear"),
    ("case c.email when 'a@b' then 1 end", "customer.email is personal and would reach x in the clear"),
    ("case when o.paid then c.email end", "customer.email is personal and would reach x in the clear"),
    ("if(c.email is null, 1, 0)", "customer.email is personal and would reach x in the clear"),
    ("c.email = 'a@b'", "customer.email is personal and would reach x in the clear"),
    ("c.email like 'a%'", "customer.email is personal and would reach x in the clear"),
    ("c.email in ('a', 'b')", "customer.email is personal and would reach x in the clear"),
    ("nullif('a@b', c.email)", "customer.email is personal and would reach x in the clear"),
    ("length(c.email)", "customer.email is personal and would reach x in the clear"),
    ("sha2(c.email, 256)", "customer.email is personal and would reach x in the clear"),
    ("try_cast(c.email as string)", "customer.email is personal and would reach x in the clear"),
    ("mask_digits(c.email)", "mask_digits() hides nothing but digits: write tokenize(c.email)"),
    ("MASK_DIGITS(c.email)", "mask_digits() hides nothing but digits: write tokenize(c.email)"),
    ("tokenize(c.phone)", "customer.phone is personal and would reach x in the clear: write mask_digits(c.phone)"),
    ("concat(tokenize(c.email), c.email)", "customer.email is personal and would reach x in the clear"),
    ("tokenize(case when c.email = 'a@b' then 'yes' else 'no' end)", "inside tokenize() it may pass only through"),
    ("tokenize(left(c.email, 1))", "inside tokenize() it may pass only through"),
    ("tokenize(try_cast(length(c.email) as string))", "inside tokenize() it may pass only through"),
    ("tokenize(mask_digits(c.email))", "inside tokenize() it may pass only through"),
    ("mask_digits(translate(c.phone, '0123456789', 'abcdefghij'))", "inside mask_digits() it may pass only through"),
]


@pytest.mark.parametrize(("expression", "message"), LEAKS)
def test_a_personal_column_leaves_only_as_declared(tmp_path: Path, expression: str, message: str) -> None:
    """However it is wrapped, a personal column reaches no output but through its own protection."""
    (error,) = {error.message for error in refusal(tmp_path, f"select o.id, {expression} as x{FROM}")}
    assert message in error


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("c.email = 'a@b'", "customer.email is personal and WHERE would tell a part of it: write tokenize(c.email)"),
        ("o.x > 1 or lower(c.email) like 'a%'", "customer.email is personal and WHERE would tell a part of it"),
        ("c.phone is null", "customer.phone is personal and WHERE would tell a part of it: write mask_digits(c.phone)"),
        ("tokenize(c.phone) = 'a'", "WHERE would tell a part of it: write mask_digits(c.phone) instead of tokenize()"),
        ("tokenize(left(c.email, 1)) = 'a'", "inside tokenize() it may pass only through"),
    ],
)
def test_a_where_over_a_personal_column_in_the_clear_is_refused(tmp_path: Path, condition: str, message: str) -> None:
    """Which rows are there would tell a part of the value."""
    (error,) = refusal(tmp_path, f"select o.id{FROM}where {condition}")
    assert message in error.message
    assert 4 == error.line


@pytest.mark.parametrize(
    ("on", "named", "place"),
    [
        ("c.email = o.x", "customer.email", 3),
        ("c.id = o.x and c.phone = o.y", "customer.phone", 3),
        ("c.id = o.phone", "orders.phone", 3),
    ],
)
def test_no_personal_column_joins(tmp_path: Path, on: str, named: str, place: int) -> None:
    """A join would make another column equal to a personal one, and its keys stand in control tables."""
    select = f"select o.id\nfrom orders as o\nleft join customer as c on {on}"
    (error,) = refusal(tmp_path, select, YAML + "  orders.phone: mask_digits\n")
    assert f"{named} is personal and cannot be joined by" in error.message
    assert place == error.line


@pytest.mark.parametrize("output", ["o.email", "tokenize(o.email) as email"])
def test_a_personal_column_cannot_be_a_key(tmp_path: Path, output: str) -> None:
    """A key stands in control tables, so it names nobody; protecting it is no way out."""
    yaml = "target: public.orders\nkeys: [email]\npii: {orders.email: tokenize}\n"
    messages = [str(error) for error in refusal(tmp_path, f"select {output} from orders as o", yaml)]
    assert (
        "pipeline.yaml:2:8: email cannot be a key: orders.email is personal, and keys stand in control tables; "
        "give the fact a key that names nobody"
    ) in messages


@pytest.mark.parametrize(
    "expression",
    [
        "tokenize(c.email)",
        "TOKENIZE(lower(trim(c.email)))",
        "tokenize(concat(c.email, '/', o.name))",
        "tokenize(c.email || o.name)",
        "tokenize(coalesce(c.email, c.email))",
        "mask_digits(c.phone)",
        "case when tokenize(c.email) = 'k1:0' then 1 else 0 end",
        "concat(tokenize(c.email), ' ', mask_digits(c.phone))",
    ],
)
def test_a_protected_column_passes(tmp_path: Path, expression: str) -> None:
    """What the declared function hides may be used freely."""
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "select.sql").write_text(f"select o.id, {expression} as x{FROM}")
    (folder / "pipeline.yaml").write_text(YAML)
    assert [item.name for item in load_definition(folder).select.items] == ["id", "x"]


def test_all_mistakes_of_a_pass_are_told_together(tmp_path: Path) -> None:
    """Someone who made three mistakes reads three messages, in the order of the lines."""
    errors = refusal(tmp_path, "select o.id,\n  o.n + current_date as a,\n  c.email as b,\n  o.price::int as c" + FROM)
    places = [(error.file, error.line, error.column) for error in errors]
    assert places == [("select.sql", 2, 9), ("select.sql", 3, 3), ("select.sql", 4, 3)]


YAMLS = [
    ("", 1, "write entries like"),
    ("keys: [id]", 1, "the entry target is missing: write target: schema.table"),
    ("target: orders\nkeys: [id]", 1, "target is schema.table"),
    ("target: public.Orders\nkeys: [id]", 1, "target is schema.table"),
    (
        "target: freshet.orders\nkeys: [id]",
        1,
        "the schema freshet is not for targets: write another, such as public.orders",
    ),
    ("target: pg_temp.orders\nkeys: [id]", 1, "the schema pg_temp is not for targets"),
    ("target: public.orders", 1, "the entry keys is missing: write keys: [column]"),
    ("target: public.orders\nkeys: id", 2, "write keys: [column]"),
    ("target: public.orders\nkeys: []", 2, "keys names no column"),
    ("target: public.orders\nkeys: [id, id]", 2, "keys names id twice"),
    ("target: public.orders\nkeys: [ident]", 2, "keys names ident, which is no output"),
    ("target: public.orders\nkeys: [prise]", 2, "did you mean price?"),
    ("target: public.orders\nkeys: [c_id]", 2, "c_id cannot be a key: it comes from c; take it from the fact, o"),
    ("target: public.orders\nkeys: [twice]", 2, "twice cannot be a key: it is computed"),
    ("target: public.orders\nkeys: [masked]", 2, "masked cannot be a key: mask_digits() makes different keys equal"),
    ("target: public.orders\nkeys: [id]\ncascades: ignore", 3, "write cascades: sweep"),
    ("target: public.orders\nkeys: [id]\ndeletes: never", 3, "write deletes: ignore"),
    ("target: public.orders\nkeys: [id]\nfreshness: soon", 3, "write 30s, 500ms or 2m"),
    ("target: public.orders\nkeys: [id]\nfreshness: 9h", 3, "freshness is a time from 100ms to 1h"),
    ("target: public.orders\nkeys: [id]\nfreshness: 30", 3, "write freshness: 30s"),
    ("target: public.orders\nkeys: [id]\ndistkey: nothing", 3, "distkey names nothing, which is no output"),
    (
        "target: public.orders\nkeys: [id]\nsortkey: [id, pric]",
        3,
        "sortkey names pric, which is no output; did you mean price",
    ),
    ("target: public.orders\nkeys: [id]\nsortkey: id", 3, "write sortkey: [column]"),
    ("target: public.orders\nkeys: [id]\nreaders: ['a b']", 3, "a b is not a role's name"),
    ("target: public.orders\nkeys: [id]\nreaders: [no]", 3, "write readers: [role]"),
    ("target: public.orders\nkeys: [id]\nkyes: [id]", 3, "there is no entry kyes; did you mean keys?"),
    ("target: public.orders\nkeys: [id]\nkeys: [id]", 3, "keys stands here twice"),
    (
        "target: public.orders\nkeys: [id]\npii: {customer.email: tokenise}",
        3,
        "no protection tokenise; did you mean tokenize?",
    ),
    ("target: public.orders\nkeys: [id]\npii: {email: tokenize}", 3, "a personal column is written table.column"),
    (
        "target: public.orders\nkeys: [id]\npii: {custmer.email: tokenize}",
        3,
        "no table custmer; did you mean customer?",
    ),
    ("target: public.orders\nkeys: [id]\npii: {c.email: tokenize}", 3, "c is an alias, write customer.email"),
    ("target: public.orders\nkeys: [id", 2, "this is not YAML"),
    ("target: public.orders\nkeys: &k [*k]", None, "an entry holds itself"),
    ("target: public.orders\nkeys: [id]\n? [a]\n: b", 3, "an entry's name is one word"),
]


@pytest.mark.parametrize(("yaml", "line", "message"), YAMLS, ids=[message for _, _, message in YAMLS])
def test_pipeline_yaml_is_checked_entry_by_entry(tmp_path: Path, yaml: str, line: int | None, message: str) -> None:
    """A wrong entry is told at its line, with what to write."""
    select = "select o.id, o.price, c.id as c_id, o.id + 1 as twice, mask_digits(o.id) as masked" + FROM
    errors = refusal(tmp_path, select, yaml)
    assert any(message in error.message for error in errors), [str(error) for error in errors]
    assert ("pipeline.yaml", line) in {(error.file, error.line) for error in errors}
