"""Write a query's or DML statement's text so that PostgreSQL understands it as Redshift would.

The text is kept and only single tokens change: rebuilding SQL from a tree is where translations go silently wrong. What
can be a function of the same name is one, in `compat.sql`.

Source: Redshift Developer Guide, "Names and identifiers", "Literals", "SYSDATE", "DATEADD", "LISTAGG", "NVL".
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sandbox.redshift.errors import Refused, syntax_error
from sandbox.redshift.lexer import Token, quoted

# Functions whose first argument is a bare word.
_PART_FIRST: Final = ("datediff", "dateadd", "date_part")
# Functions that are COALESCE under another name: they must not compute what they do not need.
_COALESCE: Final = ("nvl", "isnull")


def rewrite(tokens: Sequence[Token], parameters: Mapping[str, str]) -> tuple[str, list[str]]:
    """Write tokens for PostgreSQL.

    Args:
        tokens: Of one statement, or of a part of one.
        parameters: Values of `:name` placeholders.

    Returns:
        The text with `$1`, `$2`..., and the values in this order.

    Raises:
        Refused: A placeholder has no value, or LISTAGG is written otherwise than it can be.
    """
    names: list[str] = []
    words = [_one(tokens, place, parameters, names) for place in range(len(tokens))]
    _listagg(tokens, words)
    _extract(tokens, words)
    text = []
    for place, token in enumerate(tokens):
        apart = place == 0 or tokens[place - 1].end < token.start
        text.append(f"{' ' if apart else ''}{words[place]}")
    return "".join(text).strip(), [parameters[name] for name in names]


def _one(tokens: Sequence[Token], place: int, parameters: Mapping[str, str], names: list[str]) -> str:
    token = tokens[place]
    before = tokens[place - 1] if place else None
    after = tokens[place + 1].text if place + 1 < len(tokens) else ""
    if token.kind == "quoted":
        return quoted(token.name or "")
    if token.kind == "string":
        return ("E" if "\\" in token.text else "") + token.text
    if token.kind == "param":
        name = token.text[1:]
        if name not in parameters:
            raise syntax_error(":")
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"
    if before is not None and before.text == "(" and _is_part(tokens, place):
        return f"'{token.word}'"
    if token.word == "sysdate" and after != "(" and (before is None or before.text != "."):
        return "sysdate()"
    if token.word in _COALESCE and after == "(":
        return "coalesce"
    if token.word == "max" and after == ")" and _is_max_length(tokens, place):
        return "65535"
    return token.text


def _is_part(tokens: Sequence[Token], place: int) -> bool:
    return place >= 2 and tokens[place - 2].word in _PART_FIRST and tokens[place].word != ""


def _is_max_length(tokens: Sequence[Token], place: int) -> bool:
    return place >= 2 and tokens[place - 2].word in ("varchar", "nvarchar", "varying", "char")


def _listagg(tokens: Sequence[Token], words: list[str]) -> None:
    """Move `within group (order by ...)` into the aggregate, where PostgreSQL wants it."""
    for place, token in enumerate(tokens):
        if token.word != "listagg" or place + 1 == len(tokens) or tokens[place + 1].text != "(":
            continue
        end = closing(tokens, place + 1)
        if [t.word or t.text for t in tokens[end + 1 : end + 4]] != ["within", "group", "("]:
            continue
        order_end = closing(tokens, end + 3)
        words[end] = " "
        words[end + 1] = words[end + 2] = words[end + 3] = " "
        words[order_end] = ")"


def _extract(tokens: Sequence[Token], words: list[str]) -> None:
    """EXTRACT gives whole numbers, and PostgreSQL's gives decimals."""
    for place, token in enumerate(tokens[:-1]):
        if token.word == "extract" and tokens[place + 1].text == "(":
            words[place] = "trunc(extract"
            words[closing(tokens, place + 1)] += ")::bigint"


def closing(tokens: Sequence[Token], opening: int) -> int:
    """Find the parenthesis that closes the one at a place.

    Raises:
        Refused: There is none.
    """
    depth = 0
    for place in range(opening, len(tokens)):
        depth += (tokens[place].text == "(") - (tokens[place].text == ")")
        if depth == 0:
            return place
    raise Refused("syntax error at end of input")
