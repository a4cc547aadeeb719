"""Any text as a SQL literal: for values that somebody else wrote, such as the name of a file.

Source: Redshift database developer guide, "Literals"; a backslash in a string is an escape there.
"""


def quote(text: str) -> str:
    r"""Write a text as a literal, with its quotes and backslashes doubled.

    Raises:
        ValueError: It holds U+0000, which Redshift cannot hold.
    """
    if "\0" in text:
        raise ValueError("a text with U+0000 cannot be written in SQL")
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
