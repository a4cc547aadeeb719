"""Create the example's four tables and fill events, tickets and customers; nothing is sold yet.

A second run with the same sizes changes nothing, with larger sizes it adds what is missing. The same seed gives the same
shop. Half of the tickets are Standard at about $100, half Premium at about $300.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Optional

from shop.connection import read
from shop.program import Stop, at_least, options, run
from shop.stock import fill

TABLES = ("sport_event", "ticket", "customer", "ticket_activity")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fill the shop; give the exit code."""
    parser = options(__doc__, "initial.py --events 50 --tickets_per_event 200 --customers 1000")
    parser.add_argument("--events", type=at_least(1), default=50, help="how many sports events; default: %(default)s")
    parser.add_argument("--tickets_per_event", type=at_least(1), default=200, help="default: %(default)s")
    parser.add_argument("--customers", type=at_least(1), default=1000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same rows; default: %(default)s")
    return run(parser, argv, work)


def work(connection: Any, chosen: Namespace, stop: Stop) -> None:
    """Fill, then count."""
    fill(
        connection,
        stop,
        events=chosen.events,
        tickets_per_event=chosen.tickets_per_event,
        customers=chosen.customers,
        seed=chosen.seed,
    )
    if stop.asked:
        print("stopped; run it again to complete the shop")
        return
    counts = [read(connection, f"select count(*) from {table}")[0][0] for table in TABLES]
    print("the shop has {:,} events, {:,} tickets, {:,} customers; {:,} tickets are sold".format(*counts))


if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
