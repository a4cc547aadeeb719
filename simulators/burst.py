"""Make many changes quickly: half of them sales, half of them sold tickets that change hands.

For tests and benchmarks. Missing tables, events, tickets and customers are added first.
"""

import random
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Callable, Optional

from shop.connection import read
from shop.program import Progress, Stop, at_least, options, run
from shop.sales import Pair, customer_ids, pass_on, sell, unsold_ids
from shop.stock import create_tables, fill

CUSTOMERS = 1000
TICKETS_PER_EVENT = 200


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the changes; give the exit code."""
    parser = options(__doc__, "burst.py --changes 100000")
    parser.add_argument("--changes", type=at_least(1), default=100_000, help="default: %(default)s")
    parser.add_argument("--rows_per_transaction", type=at_least(1), default=500, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="which rows are picked; default: %(default)s")
    return run(parser, argv, work)


def work(connection: Any, chosen: Namespace, stop: Stop) -> None:
    """Stock up, sell, pass on."""
    sales = (chosen.changes + 1) // 2
    stock_up(connection, stop, sales, chosen.seed)
    choice = random.Random(f"{chosen.seed} burst")
    customers = customer_ids(connection)
    progress = Progress("changes", chosen.changes)
    started = time.monotonic()

    def change(ids: list[int], how: Callable[[Any, Sequence[Pair]], int]) -> int:
        done = how(connection, [(ticket_id, choice.choice(customers)) for ticket_id in ids])
        progress.add(done)
        return done

    left = sales
    pool: list[int] = []
    while left and not stop.asked:
        pool = pool or unsold_ids(connection, left)
        size = min(left, chosen.rows_per_transaction)
        left -= change(pool[:size], sell)
        del pool[:size]
    left = chosen.changes - sales
    sold = [row[0] for row in read(connection, "select ticket_id from ticket_activity limit 1000000")]
    while left and not stop.asked:
        left -= change(choice.sample(sold, min(left, chosen.rows_per_transaction, len(sold))), pass_on)
    print(f"{progress.done:,} changes in {time.monotonic() - started:.1f} s")


def stock_up(connection: Any, stop: Stop, sales: int, seed: int) -> None:
    """Add events with tickets until enough tickets are unsold, and customers if there are none."""
    create_tables(connection)
    events, tickets, sold, customers = (
        read(connection, f"select count(*) from {table}")[0][0]
        for table in ("sport_event", "ticket", "ticket_activity", "customer")
    )
    short = max(0, sales - (tickets - sold))
    if short or not customers:
        fill(
            connection,
            stop,
            events=events + -(-short // TICKETS_PER_EVENT),
            tickets_per_event=TICKETS_PER_EVENT,
            customers=customers or CUSTOMERS,
            seed=seed,
        )


if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
