"""Cut SQL text into tokens, so that a statement can be told by its words and changed without being rebuilt.

Redshift reads backslashes in strings as escapes and folds quoted names to lower case; PostgreSQL does neither.

Reads:  one statement's text.
Gives:  its tokens with their places, and a cursor for the handlers to walk over them.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sandbox.redshift.errors import Refused, syntax_error

T = TypeVar("T")
_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<string>'(?:[^'\\]|''|\\.)*')
  | (?P<quoted>"(?:[^"]|"")+")
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<op>::|<=|>=|<>|!=|\|\||!~\*|!~|~\*|[-+*/%^<>=~!@\#&|.,;()\[\]])
  | (?P<param>:[0-9A-Za-z_]+)
  | (?P<word>[A-Za-z_\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*)
    """,
    re.VERBOSE | re.DOTALL,
)
NAME_BYTES_MAX: Final = 63  # PostgreSQL's; Redshift takes 127


@dataclass(frozen=True)
class Token:
    """One token: `kind` is string, quoted, number, op, param or word; `start` and `end` are places in the text."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Place after the token."""
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """The bare word in lower case; empty for every other kind of token, a quoted name too."""
        return self.text.lower() if self.kind == "word" else ""

    @property
    def name(self) -> str | None:
        """The name that this token writes, folded as Redshift folds it; None when it writes none."""
        if self.kind == "word":
            return self.text.lower()
        return self.text[1:-1].replace('""', '"').lower() if self.kind == "quoted" else None

    @property
    def content(self) -> str:
        """What a string literal says."""
        inner = re.sub(r"''", "'", self.text[1:-1])
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t", "r": "\r"}.get(m[1], m[1]), inner, flags=re.DOTALL)


def tokenize(text: str) -> list[Token]:
    """Cut one statement into tokens; comments, blanks and a last semicolon are left out.

    Raises:
        Refused: The text is empty, holds two statements, or has a character that no token begins with.
    """
    tokens: list[Token] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            if text[place] in "'\"":
                raise Refused("unterminated quoted string")
            raise syntax_error(text[place])
        if found.lastgroup != "space":
            tokens.append(Token(str(found.lastgroup), found[0], place))
        place = found.end()
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        raise Refused("the statement is empty")
    if any(token.text == ";" for token in tokens):
        raise Refused("cannot insert multiple commands into a prepared statement")
    for token in tokens:
        if token.name is not None and len(token.name.encode()) > NAME_BYTES_MAX:
            raise Refused(f"the sandbox takes names up to {NAME_BYTES_MAX} bytes (Redshift: 127): {token.name}")
    return tokens


def words(text: str) -> frozenset[str]:
    """Give the words of a list that is written as text."""
    return frozenset(text.split())


def quoted(name: str) -> str:
    """Quote a name for PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


class Cursor:
    """A walk over the tokens of one statement."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens, self.at = tokens, 0

    @property
    def here(self) -> Token | None:
        """The next token; None at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def next(self) -> Token:
        """Take the next token.

        Raises:
            Refused: There is none.
        """
        token = self.here
        if token is None:
            raise Refused("syntax error at end of input")
        self.at += 1
        return token

    def sees(self, *words: str) -> bool:
        """Tell whether the next tokens are these words or signs."""
        coming = self.tokens[self.at : self.at + len(words)]
        return len(coming) == len(words) and all((t.word or t.text) == w for t, w in zip(coming, words, strict=True))

    def accept(self, *words: str) -> bool:
        """Take these words or signs if they come next."""
        if not self.sees(*words):
            return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Take these words or signs.

        Raises:
            Refused: Something else comes next.
        """
        for word in words:
            if not self.accept(word):
                raise self.surprise()

    def surprise(self, hint: str = "") -> Refused:
        """Make the syntax error for the next token."""
        return syntax_error(self.here.text, hint) if self.here else Refused("syntax error at end of input")

    def end(self) -> None:
        """Check that nothing follows.

        Raises:
            Refused: Something does.
        """
        if self.here is not None:
            raise self.surprise()

    def name(self) -> str:
        """Take one name.

        Raises:
            Refused: No name comes next.
        """
        name = self.here.name if self.here else None
        if name is None:
            raise self.surprise()
        self.at += 1
        return name

    def user(self) -> str:
        """Take the name of a user; those of IAM's identities keep their case between quotes.

        Source: Redshift Management Guide, "Using IAM authentication to generate database user credentials" ("IAMR:role").

        Raises:
            Refused: No name comes next.
        """
        written = self.here.text[1:-1] if self.here and self.here.kind == "quoted" else ""
        name = self.name()
        return written if written.startswith(("IAM:", "IAMR:")) else name

    def path(self) -> tuple[str, ...]:
        """Take a name with its schema: `t` or `s.t`, at most three parts."""
        parts = [self.name()]
        while len(parts) < 3 and self.accept("."):
            parts.append(self.name())
        return tuple(parts)

    def listed(self, item: Callable[[], T]) -> list[T]:
        """Take `( item, item ... )`."""
        self.expect("(")
        items = [item()]
        while self.accept(","):
            items.append(item())
        self.expect(")")
        return items

    def balanced(self, *stops: str) -> list[Token]:
        """Take tokens up to one of these words or signs outside of parentheses, or to the end of what encloses them."""
        start, depth = self.at, 0
        while self.here is not None:
            text = self.here.word or self.here.text
            if depth == 0 and (text in stops or text == ")"):
                break
            depth += (text == "(") - (text == ")")
            self.at += 1
        return list(self.tokens[start : self.at])


def sql_name(path: Sequence[str]) -> str:
    """Write a name with its schema for PostgreSQL."""
    return ".".join(quoted(part) for part in path)
