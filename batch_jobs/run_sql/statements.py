"""Cut a file of SQL into statements, and put parameters into them.

A semicolon ends a statement only where Redshift would see one: not in a string, a quoted name, a comment or a `$$` body. A
split by text would run half a statement, and report the wrong line.

Reads:  the text of a file.
Gives:  its statements with their lines; or where it cannot be read. Nothing is sent that could be read in two ways.

Parameters are written `:name`, outside of strings, quoted names, comments and `$$` bodies; `::` is a cast. Each becomes one
string literal that is quoted here, in every kind of statement: the Data API's own parameters are for queries and changes of
rows only, not for COPY, UNLOAD and DDL, and cannot be empty. So a value is always text and never SQL: cast it where it is
used (`:day::date`, `:most::integer`), write `nullif(:name, '')` for NULL; a parameter cannot name a table. The query inside
of UNLOAD is a string and takes none: unload from a temporary table that was made with them.

It runs on Python 3.9, as AWS Glue's Python shell has it.

Source: Redshift database developer guide, "Literals", "Names and identifiers"; PostgreSQL 8.0, "Lexical structure", from which
Redshift descends. Strings take a backslash as an escape, quoted names and `$$` bodies do not.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from freshet.errors import InputError
from freshet.redshift.literals import quote

BLANKS = frozenset({"blank", "comment"})
_PLAIN = re.compile(
    r"""
    (?P<blank>[ \t\r\n\f]+)
  | (?P<comment>--[^\r\n]*)
  | (?P<word>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)
  | (?P<number>[0-9]+)
  | (?P<parameter>:[A-Za-z_][A-Za-z0-9_]*)
  | (?P<end>;)
  | (?P<sign>::|[^\\'"\0])
    """,
    re.VERBOSE,
)
_TAG = re.compile(r"\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$")
_CLOSES_STRING = re.compile(r"''|\\.|(?P<end>')", re.DOTALL)
_CLOSES_NAME = re.compile(r'""|(?P<end>")')
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOUCHES = re.compile(r"""[A-Za-z0-9_$'"\u0080-\U0010ffff]""")
WORDS_SHOWN_MAX = 7


class WrongFile(InputError):
    """What the user wrote is wrong; `line` is its line in the file, None when the whole file is meant."""

    def __init__(self, message: str, line: Optional[int] = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Token:
    """A piece of a file: its kind, its text and its place.

    Kinds: blank, comment, word, number, sign, parameter, end (a semicolon), string, name (in double quotes), body (`$$`).
    """

    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Statement:
    """One statement of a file, without the comments before and behind it, and without its semicolon.

    Attributes:
        number: From 1.
        line: Line in the file on which it begins, from 1.
        tokens: Its tokens; joined, they are its text as it is written.
    """

    number: int
    line: int
    tokens: Sequence[Token]

    @property
    def text(self) -> str:
        """The statement as it is written."""
        return "".join(token.text for token in self.tokens)

    @property
    def words(self) -> "list[str]":
        """Its bare words in lower case, and signs; strings, comments and `$$` bodies are left out."""
        kept = (token.text.lower() for token in self.tokens if token.kind in {"word", "sign", "name", "number"})
        return list(kept)

    @property
    def title(self) -> str:
        """Its first words, to tell it in a report: up to the first sign but a dot, and no value."""
        told = ""
        words = 0
        for token in (token for token in self.tokens if token.kind not in BLANKS):
            words += token.text != "."
            if (token.kind not in {"word", "name"} and token.text != ".") or words > WORDS_SHOWN_MAX:
                break
            told += token.text if token.text == "." or told.endswith(".") else f" {token.text}"
        return told.strip()[:60] or self.tokens[0].text[:1]

    @property
    def parameters(self) -> "dict[str, int]":
        """Names of its parameters, each with the line of its first use."""
        found: dict[str, int] = {}
        line = self.line
        for token in self.tokens:
            if token.kind == "parameter":
                found.setdefault(token.text[1:], line)
            line += token.text.count("\n")
        return found


def tokens_of(text: str) -> "list[Token]":
    """Cut a text into tokens; joined, they are the text.

    Raises:
        WrongFile: A string, quoted name, comment or `$$` body is not closed, or a character begins no token.
    """
    tokens: list[Token] = []
    place = 0
    while place < len(text):
        token = _token(text, place)
        tokens.append(token)
        place += len(token.text)
    return tokens


def statements_of(text: str) -> "list[Statement]":
    """Cut a file into statements; what is blank between two semicolons is none.

    Raises:
        WrongFile: The text cannot be read; says the line.
    """
    statements: list[Statement] = []
    for piece in _pieces(tokens_of(text)):
        solid = [place for place, token in enumerate(piece) if token.kind not in BLANKS]
        if solid:
            kept = piece[solid[0] : solid[-1] + 1]
            statements.append(Statement(len(statements) + 1, _line(text, kept[0].start), kept))
    return statements


def check_parameters(statements: Sequence[Statement], values: Mapping[str, str]) -> None:
    """See that every parameter has a value, and every value a parameter.

    Raises:
        WrongFile: Names the parameters, and the first line that lacks one.
    """
    used: dict[str, int] = {}
    for statement in statements:
        for name, line in statement.parameters.items():
            used.setdefault(name, line)
    missing = [name for name in used if name not in values]
    if missing:
        raise WrongFile(f"no value is given for {', '.join(f':{name}' for name in missing)}", used[missing[0]])
    unused = sorted(set(values) - set(used))
    if unused:
        raise WrongFile(
            f"no statement uses the parameter {', '.join(unused)}: strings and comments are left as they are"
        )
    for name, value in values.items():
        if "\0" in value:
            raise WrongFile(f"the value of {name} holds the character NUL, which Redshift does not store")


def check_name(name: str) -> str:
    """Take the name of a parameter.

    Raises:
        WrongFile: It could not be written behind a colon.
    """
    if not _NAME.fullmatch(name):
        raise WrongFile(f"{name!r} cannot be the name of a parameter: letters, digits and _, not a digit first")
    return name


def bound(statement: Statement, values: Mapping[str, str]) -> str:
    """Give a statement's text with its parameters as literals."""
    parts: list[str] = []
    for before, token, behind in _neighbors(statement.tokens):
        if token.kind != "parameter":
            parts.append(token.text)
            continue
        # Without a blank, 'a':b would become one longer string, and e:b an escape string.
        left = " " if before and _TOUCHES.match(before.text[-1]) else ""
        right = " " if behind and _TOUCHES.match(behind.text[0]) else ""
        parts.append(left + quote(values[token.text[1:]]) + right)
    return "".join(parts)


def _token(text: str, place: int) -> Token:
    if text[place] == "'":
        return Token("string", _closed(text, place, _CLOSES_STRING, "string"), place)
    if text[place] == '"':
        return Token("name", _closed(text, place, _CLOSES_NAME, "quoted name"), place)
    if text.startswith("/*", place):
        return Token("comment", _block_comment(text, place), place)
    tag = _TAG.match(text, place)
    if tag:
        end = text.find(tag[0], tag.end())
        if end < 0:
            raise WrongFile(f"the body that begins here with {tag[0]} is not closed", _line(text, place))
        return Token("body", text[place : end + len(tag[0])], place)
    found = _PLAIN.match(text, place)
    if found is None:
        what = "NUL" if text[place] == "\0" else "\\"
        hint = "; commands of psql are not SQL" if what == "\\" else ""
        raise WrongFile(f"the character {what} stands outside of a string{hint}", _line(text, place))
    return Token(str(found.lastgroup), found[0], place)


def _closed(text: str, place: int, closes: "re.Pattern[str]", what: str) -> str:
    for found in closes.finditer(text, place + 1):
        if found["end"]:
            return text[place : found.end()]
    raise WrongFile(f"the {what} that begins here is not closed", _line(text, place))


def _block_comment(text: str, place: int) -> str:
    end = text.find("*/", place + 2)
    if end < 0:
        raise WrongFile("the comment that begins here is not closed", _line(text, place))
    inner = text.find("/*", place + 2, end)
    if inner >= 0:  # PostgreSQL nests comments, other databases do not, Redshift's documentation does not say
        raise WrongFile("/* within a comment may be read in two ways: take it out", _line(text, inner))
    return text[place : end + 2]


def _pieces(tokens: Sequence[Token]) -> Iterator["list[Token]"]:
    piece: list[Token] = []
    for token in tokens:
        if token.kind == "end":
            yield piece
            piece = []
        else:
            piece.append(token)
    yield piece


def _neighbors(tokens: Sequence[Token]) -> Iterator["tuple[Optional[Token], Token, Optional[Token]]"]:
    for place, token in enumerate(tokens):
        yield (
            tokens[place - 1] if place else None,
            token,
            tokens[place + 1] if place + 1 < len(tokens) else None,
        )


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
