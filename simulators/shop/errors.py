"""What can stop a simulator, with its exit code: 1 failed, 2 your input is wrong, 3 the environment is."""


class SimulatorError(Exception):
    """A simulator could not do what was asked."""

    exit_code = 1


class SoldOut(SimulatorError):
    """Every ticket is sold."""


class WrongInput(SimulatorError):
    """An option does not fit what is in the database."""

    exit_code = 2


class NoDatabase(SimulatorError):
    """The database, or the secret that names it, cannot be reached."""

    exit_code = 3
