"""A file of SQL is cut where Redshift would cut it, and a parameter is never more than one value."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_jobs.run_sql.statements import WrongFile, bound, check_parameters, statements_of, tokens_of
from freshet.redshift.literals import quote
from sandbox.redshift.lexer import tokenize

# Pieces that hide a semicolon, and pieces that do not; each is whole in itself.
HIDDEN = [
    "';'", "'it''s;'", r"'\';'", "'a\n;b'", '";"', '"a"";"', "-- ;\n", "-- it's\n", "/* ; */", "/* it's \"; */",
    "$$ ; ' $$", "$body$ ; $$ ' $body$", "$_1$;$_1$", "'$$;'", "/* $$; */", '"--;"', "'/*;'", "$$ -- ; /* $$",
]  # fmt: skip
PLAIN = ["select", " ", "\n", "1", "a.b", "::int", ":p", "(", ")", "é", "a$b$c", ":", "-", "/", "*", "=", "\r\n", "$1"]
PIECES = st.lists(st.sampled_from(HIDDEN + PLAIN), max_size=12).map(" ".join)


@given(st.text(max_size=60))
def test_the_tokens_are_the_file(text: str) -> None:
    """Whatever can be read loses no character; whatever cannot says its line."""
    try:
        tokens = tokens_of(text)
    except WrongFile as error:
        assert 1 <= (error.line or 0) <= text.count("\n") + 1  # noqa: PT017 - both ways are right
    else:
        assert text == "".join(token.text for token in tokens)
        assert [token.start for token in tokens] == [
            len("".join(t.text for t in tokens[:n])) for n in range(len(tokens))
        ]


@given(st.text("'\"$;/*-\\a: \n", max_size=40))
def test_the_tokens_are_the_file_where_it_is_dense(text: str) -> None:
    """The same of the characters that begin and end something."""
    test_the_tokens_are_the_file.hypothesis.inner_test(text)  # type: ignore[attr-defined]


@given(st.lists(PIECES, max_size=6))
def test_only_a_bare_semicolon_ends_a_statement(pieces: list[str]) -> None:
    """Strings, quoted names, comments and bodies in any order hide theirs; each statement begins on its own line."""
    text = ";".join(pieces)
    expected = []
    place = 0
    for piece in pieces:
        solid = [token for token in tokens_of(piece) if token.kind not in {"blank", "comment"}]
        if solid:
            kept = piece[solid[0].start : solid[-1].start + len(solid[-1].text)]
            expected.append((text.count("\n", 0, place + solid[0].start) + 1, kept))
        place += len(piece) + 1
    assert expected == [(each.line, each.text) for each in statements_of(text)]


@given(
    st.lists(st.sampled_from([piece for piece in HIDDEN + PLAIN if "$" not in piece and piece != ":"])).map(" ".join)
)
def test_the_stand_in_sees_one_statement_too(piece: str) -> None:
    """What is one statement here is one to the other reader of Redshift's SQL in this repository, which knows no `$$`."""
    for statement in statements_of(piece):
        assert tokenize(statement.text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (["select 1", "select 2"], "select 1;\nselect 2;\n"),
        (["select 1"], ";;select 1;; -- the end\n;"),
        (["select ';'", "select $$;$$"], "select ';';select $$;$$"),
        (
            ["create procedure p() as $$ begin delete from t; end; $$ language plpgsql", "call p()"],
            "create procedure p() as $$ begin delete from t; end; $$ language plpgsql; call p()",
        ),
        (["select 'C:\\\\'", "select 2"], r"select 'C:\\'; select 2"),
        (["select a /* s3://bucket/ */ from t"], "/* first */ select a /* s3://bucket/ */ from t /* last */;"),
        ([], ""),
        ([], " -- nothing\n;/* here */"),
    ],
)
def test_a_file_is_cut(expected: list[str], text: str) -> None:
    """Comments around a statement are no part of it, those within are."""
    assert expected == [statement.text for statement in statements_of(text)]


@pytest.mark.parametrize(
    ("line", "what", "text"),
    [
        (2, "string", "select 1;\nselect 'open;\nselect 2;"),
        (1, "string", "select 'ends with an escape\\'"),
        (3, "quoted name", '\n\nselect "open'),
        (2, "comment", "select 1\n/* open"),
        (1, "$body$", "as $body$ ... $$ \n"),
        (3, "two ways", "/* a\n\n /* b */"),
        (2, "psql", "select 1;\n\\i other.sql"),
        (1, "NUL", "select \0"),
    ],
)
def test_what_cannot_be_read_is_told_by_line(line: int, what: str, text: str) -> None:
    """The line where it begins, and what it is."""
    with pytest.raises(WrongFile, match=re.escape(what)) as told:
        statements_of(text)
    assert line == told.value.line


def put(text: str, **values: str) -> str:
    """Put parameters into one statement."""
    statements = statements_of(text)
    check_parameters(statements, values)
    return bound(statements[0], values)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("select 'v'", "select :p"),
        ("select 'v'::date, a::p", "select :p::date, a::p"),
        ("select ':p', \":p\", $$:p$$ -- :p\n, 'v'", "select ':p', \":p\", $$:p$$ -- :p\n, :p"),
        ("copy t from 'v' iam_role 'v' format parquet", "copy t from :p iam_role :p format parquet"),
        ("unload ('select '':p''') to 'v'", "unload ('select '':p''') to :p"),
        ("select 'a' 'v' 'b'", "select 'a':p'b'"),
        ("select e 'v' e", "select e:p e"),
        ("select 'v' 'v'", "select :p:p"),
        ("select (1,'v')", "select (1,:p)"),
    ],
)
def test_parameters_stand_where_values_do(expected: str, text: str) -> None:
    """Not in strings, quoted names, comments, bodies and casts; and never grown together with what stands beside."""
    assert expected == put(text, p="v")


@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30),
    st.sampled_from(["select :p", "a:p'b'", "e:p;"]),
)
def test_a_value_stays_one_value(value: str, text: str) -> None:
    """No value ends its own string, comments the rest out or begins a statement; it is read back as it was."""
    sent = put(text, p=value)
    statements = statements_of(sent)
    assert 1 == len(statements)
    strings = [token.text for token in statements[0].tokens if token.kind == "string"]
    assert quote(value) == strings[0]
    token = next(token for token in tokenize(sent) if token.kind == "string")
    assert value == re.sub(r"\\(.)", r"\1", token.text[1:-1].replace("''", "'"), flags=re.DOTALL)


@pytest.mark.parametrize(
    "value",
    ["'", "''", "\\", "\\'", "'; drop table t; --", "$$", "*/", ":p", ":other", "a\nb", "", "O'Brien", "\\\\'; --"],
)
def test_hostile_values_are_text(value: str) -> None:
    """Each is the content of one string."""
    sent = put("select * from t where a = :p and b = 1", p=value)
    assert sent.endswith(" and b = 1")
    assert quote(value) == sent[len("select * from t where a = ") : -len(" and b = 1")]
    assert 1 == len(statements_of(sent))


@pytest.mark.parametrize(
    ("line", "what", "text", "values"),
    [
        (3, "no value is given for :b, :c", "select 1;\n\nselect :b, :c, :a", {"a": "1"}),
        (None, "no statement uses the parameter day", "select ':day'", {"day": "1"}),
        (None, "NUL", "select :a", {"a": "secret\0"}),
    ],
)
def test_parameters_and_values_must_match(line: int | None, what: str, text: str, values: dict[str, str]) -> None:
    """One without the other is an error, and no value is in it."""
    with pytest.raises(WrongFile, match=what) as told:
        check_parameters(statements_of(text), values)
    assert line == told.value.line
    assert "secret" not in str(told.value)


def test_a_title_holds_no_value() -> None:
    """What a report calls a statement ends before the first value."""
    titles = [
        each.title
        for each in statements_of("insert into s.t values ('x');select 'y';(select 1); vacuum;delete from \"T\"")
    ]
    assert ["insert into s.t values", "select", "(", "vacuum", 'delete from "T"'] == titles


def test_a_large_file_is_read_quickly() -> None:
    """A string of a megabyte that is never closed, and one that is, take no time that grows with its square."""
    big = "x''\\'" * 200_000
    assert 1 == len(statements_of(f"select '{big}'"))
    with pytest.raises(WrongFile):
        statements_of(f"select '{big}")
