"""SUPER and TIME: what a reader of whole columns needs of them."""

import pytest


@pytest.fixture
def filled(warehouse, table):
    """A table with one row of each kind of SUPER."""
    warehouse.run(
        f"create table {table} (id int, s super, at time)",
        f"""insert into {table} values (1, json_parse('{{"b":[1,2.50],"a":"x"}}'), '12:34:56.5'),
            (2, json_parse('null'), '00:00'), (3, null, null)""",
    )
    return table


def test_a_super_comes_as_text(warehouse, filled):
    """Data API, 'Field'; Developer Guide, 'SUPER type': a value is JSON text, its null is not NULL."""
    assert [[1, '{"b":[1,2.50],"a":"x"}', "12:34:56.5"], [2, "null", "00:00:00"], [3, None, None]] == warehouse.rows(
        f"select id, s, cast(at as varchar) from {filled} order by id"
    )


def test_the_result_says_its_type(warehouse, filled):
    """Data API, 'ColumnMetadata'."""
    statement = warehouse.run(f"select s, at from {filled}")
    answer = warehouse.data_api.get_statement_result(Id=f"{statement}:1")
    assert ["super", "time"] == [column["typeName"] for column in answer["ColumnMetadata"]]


def test_a_super_is_parsed_serialized_and_measured(warehouse, filled):
    """Developer Guide, 'JSON_PARSE', 'JSON_SERIALIZE', 'JSON_SIZE'."""
    assert [['{"b":[1,2.50],"a":"x"}', 22]] == warehouse.rows(
        f"select json_serialize(s), json_size(s) from {filled} where id = 1"
    )
    assert "invalid" in warehouse.refusal("select json_parse('{a}')").lower()


def test_a_super_is_kept_by_create_table_as(warehouse, filled):
    """Developer Guide, 'CREATE TABLE AS': a column keeps its type."""
    warehouse.run(f"create table {filled}_as as select s, at from {filled}")
    assert [["super"], ["time without time zone"]] == warehouse.rows(
        f"select data_type from svv_columns where table_name = '{filled}_as' order by ordinal_position"
    )


def test_what_is_not_known_of_it_is_refused(warehouse, filled):
    """The stand-in says what it cannot do rather than do it otherwise."""
    role = "iam_role 'arn:aws:iam::123456789012:role/freshet-copy'"
    assert "UNLOAD of SUPER" in warehouse.refusal(
        f"unload ('select s from {filled}') to 's3://freshet-staging/super/' {role} format as parquet"
    )
    assert "COPY into SUPER" in warehouse.refusal(
        f"copy {filled} from 's3://freshet-staging/super/' {role} format as parquet"
    )
    assert "SUPER" not in warehouse.refusal(f"select id from {filled} where s.a = 'x'")
