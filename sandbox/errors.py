"""What a sandbox raises on purpose.

A message says what, where, and what to do.
"""


class SandboxError(Exception):
    """A part did not start, stopped, or refused; `exit_code` is what the command ends with."""

    exit_code = 1


class MissingPart(SandboxError):
    """Something that this machine must bring (a program, a right, a port) is missing."""

    exit_code = 3


class Halted(SandboxError):
    """A part stands still on purpose: started again, it would do the same until somebody removes the cause."""

    exit_code = 4
