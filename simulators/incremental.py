"""Let customers buy tickets: one by default, or at a steady rate until told to stop.

Only unsold tickets are sold. Several of these may run at once.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Optional

from shop.errors import SoldOut, WrongInput
from shop.program import Stop, at_least, options, positive, run, seconds
from shop.sales import TicketOffice


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Sell tickets; give the exit code."""
    parser = options(__doc__, "incremental.py --rate 20 --for 60")
    how_many = parser.add_mutually_exclusive_group()
    how_many.add_argument("--count", type=at_least(1), default=1, help="sell this many, at once; default: %(default)s")
    how_many.add_argument("--rate", type=positive, metavar="PER_SECOND", help="sell steadily, until Ctrl-C or SIGTERM")
    parser.add_argument("--for", dest="for_s", type=seconds, metavar="SECONDS", help="with --rate: end after this time")
    return run(parser, argv, work)


def work(connection: Any, chosen: Namespace, stop: Stop) -> None:
    """Sell, and say how many."""
    if chosen.for_s and chosen.rate is None:
        raise WrongInput("--for goes with --rate")
    office = TicketOffice(connection)
    started = time.monotonic()
    sold = 0
    try:
        if chosen.rate is None:
            while sold < chosen.count and not stop.asked:
                ticket_id, customer_id = office.sell_one()
                sold += 1
                if chosen.count == 1:
                    print(f"ticket {ticket_id} is sold to customer {customer_id}")
        else:
            end = started + (chosen.for_s or float("inf"))
            while (due := started + sold / chosen.rate) < end:
                stop.sleep_until(due)
                if stop.asked or time.monotonic() >= end:
                    break
                office.sell_one()
                sold += 1
            stop.sleep_until(end)
    except SoldOut as error:
        raise SoldOut(f"{error} ({sold:,} were sold by this run)") from None
    print(f"{sold:,} sold in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
