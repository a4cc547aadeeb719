"""Wait at the start for what is away: MySQL, Redshift, Secrets Manager, the stream.

A running job outlives their restarts; one that starts meanwhile must too, or an outage ends it for good. What is wrong with the
pipeline itself is not waited for: it ends the job at once.

Reads:  nothing; it calls what it is given, again and again.
Gives:  its answer; a line for each wait.
"""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

import mysql.connector
from botocore.exceptions import BotoCoreError, ClientError

from freshet.errors import EnvironmentFault, FreshetError, TransientError
from freshet.redshift.data_api import Cancelled
from streaming_job.stopping import Stopping

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[60.0] * 30)  # half an hour, as long as a running job tries


def awaited(what: str, ask: Callable[[], Answer], stopping: Stopping) -> Answer:
    """Ask until an answer comes.

    Args:
        what: What may be away, for the log.
        ask: May be called again, whatever came of it before.
        stopping: Ends the waiting.

    Raises:
        EnvironmentFault: Half an hour is over, and it is still away.
        TransientError: Likewise.
        Cancelled: The job was asked to stop meanwhile.
    """
    for attempt, pause_s in enumerate(PAUSES_S, 1):
        try:
            return _asked(what, ask)
        except (EnvironmentFault, TransientError) as fault:
            fields = {"attempt": attempt, "again_in_s": pause_s, "error": str(fault)}
            log.warning("waiting for %s", what, extra={"fields": fields})
        stopping.sleep(pause_s)
        if stopping.asked:
            raise Cancelled(f"asked to stop while waiting for {what}; nothing was written", certain=True)
    return _asked(what, ask)


def _asked(what: str, ask: Callable[[], Answer]) -> Answer:
    """Ask once; what a client says when nobody answers becomes an `EnvironmentFault`, without its text."""
    try:
        return ask()
    except FreshetError:
        raise
    except ClientError as error:
        raise EnvironmentFault(f"{what} refused a call ({error.response['Error']['Code']})") from None
    except BotoCoreError as error:
        raise EnvironmentFault(f"{what} does not answer ({type(error).__name__}): check region and network") from None
    except mysql.connector.Error as error:
        raise EnvironmentFault(f"{what} ended the connection (error {error.errno})") from None
