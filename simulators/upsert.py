"""Give a sold ticket to another customer, as an administrator would; its updated_at moves."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Optional

from shop.connection import transaction
from shop.errors import WrongInput
from shop.program import Stop, at_least, options, run

OWNER = "select purchased_by from ticket_activity where ticket_id = %s for update"
ANOTHER = "select customer_id from customer where customer_id <> %s order by rand() limit 1"
CHANGE = "update ticket_activity set purchased_by = %s, updated_at = utc_timestamp(6) where ticket_id = %s"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Pass one ticket on; give the exit code."""
    parser = options(__doc__, "upsert.py --ticket_id_to_be_updated 17")
    parser.add_argument("--ticket_id_to_be_updated", type=at_least(1), required=True, metavar="N", help="a sold ticket")
    return run(parser, argv, work)


def work(connection: Any, chosen: Namespace, _stop: Stop) -> None:
    """Find the owner and another customer, change the row, in one transaction."""
    ticket_id = chosen.ticket_id_to_be_updated

    def change(cursor: Any) -> "tuple[int, int]":
        cursor.execute(OWNER, (ticket_id,))
        if not (owner := cursor.fetchone()):
            raise WrongInput(f"ticket {ticket_id} was never sold; nothing was changed")
        cursor.execute(ANOTHER, owner)
        if not (another := cursor.fetchone()):
            raise WrongInput("there is no other customer; nothing was changed")
        cursor.execute(CHANGE, (another[0], ticket_id))
        return owner[0], another[0]

    owner, another = transaction(connection, change)
    print(f"ticket {ticket_id} went from customer {owner} to customer {another}")


if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
