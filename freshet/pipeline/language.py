"""Read select.sql into a tree that keeps every name as it was written.

sqlglot knows thousands of functions and rewrites them while it reads (`date_add`, `year` become something else). The
language here is small and closed, so its dialect forgets them all: a function is a name and its arguments, and the
allow list decides.

Reads:  the text of select.sql.
Gives:  one sqlglot Select, and the place of each of its nodes.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.spark import SparkParser
from sqlglot.tokenizer_core import TokenType

from freshet.errors import DefinitionError
from freshet.pipeline.problems import SELECT_FILE, Place


def _try_cast(parser: SparkParser) -> exp.Expr:
    return _typed(parser, exp.TryCast, safe=True)


def _cast(parser: SparkParser) -> exp.Expr:
    return _typed(parser, exp.Cast)


def _typed(parser: SparkParser, kind: type[exp.Cast], **options: bool) -> exp.Expr:
    # Spark's own parser drops the length of varchar(n) and does not tell the two casts apart.
    this = parser._parse_assignment()
    if not parser._match(TokenType.ALIAS):
        parser.raise_error("Expected AS and a type")
    to = parser._parse_types(schema=True)
    if not isinstance(to, exp.DataType):
        parser.raise_error("Expected a type")
    cast: exp.Expr = parser.expression(kind(this=this, to=to, **options))
    return cast


class _Parser(SparkParser):
    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {"CAST": _cast, "TRY_CAST": _try_cast}


class _Language(Spark):
    Parser = _Parser


def parse_select(text: str) -> exp.Select:
    """Read one SELECT.

    Raises:
        DefinitionError: The text is not one statement, or the statement is not a SELECT.
    """
    try:
        statements = [
            tree for tree in sqlglot.parse(text, read=_Language) if tree and not isinstance(tree, exp.Semicolon)
        ]
    except ParseError as error:
        raise _unreadable(error) from None
    except TokenError as error:
        place = re.search(r"Line (\d+), Col: (\d+)", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (None, None)
        raise DefinitionError("the text cannot be read: is a quote left open?", SELECT_FILE, line, column) from None
    except RecursionError:
        raise DefinitionError("the statement is nested too deeply", SELECT_FILE) from None
    if not statements:
        raise DefinitionError("the file holds no statement; write one SELECT", SELECT_FILE, 1, 1)
    if len(statements) > 1:
        at = place_of(statements[1], text)
        raise DefinitionError("a pipeline is one SELECT; remove the other statements", SELECT_FILE, at.line, at.column)
    if isinstance(statements[0], exp.Select):
        return statements[0]
    what = "UNION, INTERSECT and EXCEPT are" if isinstance(statements[0], exp.SetOperation) else "this statement is"
    at = place_of(statements[0], text)
    raise DefinitionError(f"{what} not part of the language; write one SELECT", SELECT_FILE, at.line, at.column)


def _unreadable(error: ParseError) -> DefinitionError:
    first = error.errors[0] if error.errors else {}
    near = str(first.get("highlight") or "")
    line, end = first.get("line"), first.get("col")
    column = max(int(end) - len(near) + 1, 1) if end else None
    what = str(first.get("description") or "the statement cannot be read").rstrip(".")
    return DefinitionError(f"{what}, near '{near}'" if near else what, SELECT_FILE, int(line) if line else None, column)


def clause(word: str, text: str) -> str:
    """Give what is written after a word, to the end of the statement, on one line and without comments."""
    pieces = re.findall(r"--[^\n]*|/\*.*?\*/|'[^']*'|`[^`]*`|\"[^\"]*\"|\w+|\s+|.", text, flags=re.DOTALL)
    plain = [" " if piece.isspace() or piece.startswith(("--", "/*")) else piece for piece in pieces]
    after = plain[[piece.lower() for piece in plain].index(word) + 1 :]
    kept = [piece for piece, before in zip(after, [" ", *after], strict=False) if (piece, before) != (" ", " ")]
    return "".join(kept).strip("; ")


def place_of(node: exp.Expr, text: str) -> Place:
    """Find where a node begins; a node without a place of its own stands where the nearest one around it does."""
    around: exp.Expr | None = node
    while around is not None:
        starts = [part.meta["start"] for part in around.walk() if "start" in part.meta]
        if starts:
            return place_at(min(starts), text)
        word = re.match(r"\w+", around.sql())
        if word and (found := place_of_word(word[0], text)).line:
            return found
        around = around.parent
    return Place(SELECT_FILE)


def place_at(offset: int, text: str) -> Place:
    """Turn an offset of the text into line and column."""
    before = text[:offset]
    return Place(SELECT_FILE, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def place_of_word(word: str, text: str) -> Place:
    """Find the first whole word outside comments and quotes; the file when there is none."""
    hidden = re.sub(
        r"--[^\n]*|/\*.*?\*/|'[^']*'|`[^`]*`", lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.DOTALL
    )
    found = re.search(rf"\b{word}\b", hidden, re.IGNORECASE)
    return place_at(found.start(), text) if found else Place(SELECT_FILE)
