"""Tickets are sold once, change hands, and come in bursts."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import mysql as sandbox_mysql
from tests.simulators.conftest import Shop

# mysql-replication calls PyMySQL by its old names.
OLD_NAMES = pytest.mark.filterwarnings("ignore:'.*' is deprecated, use '.*':DeprecationWarning")
SOLD = "select count(*) from ticket_activity"


def test_one_ticket_is_sold(small_shop: Shop) -> None:
    """Without options one customer buys one ticket."""
    said = small_shop.run("incremental")
    ticket_id, customer_id, created_at, updated_at = small_shop.rows("select * from ticket_activity")[0]
    assert f"ticket {ticket_id} is sold to customer {customer_id}\n1 sold" in said
    assert created_at == updated_at


def test_a_rate_is_not_exceeded(small_shop: Shop) -> None:
    """At 20 a second for one second, at most 20 tickets are sold."""
    said = small_shop.run("incremental", "--rate", 20, "--for", "1s")
    sold = small_shop.number(SOLD)
    assert 1 <= sold <= 20
    assert said.startswith(f"{sold} sold")


def test_a_steady_sale_ends_cleanly_when_told_to(small_shop: Shop) -> None:
    """SIGTERM ends it with code 0 after a whole sale; it says how many there were."""
    with small_shop.start("incremental", "--rate", 5) as process:
        while not small_shop.number(SOLD):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.startswith(f"{small_shop.number(SOLD)} sold")


def test_two_sellers_never_sell_one_ticket_twice(small_shop: Shop) -> None:
    """Two at once sell 100 tickets to 120 buyers: each ticket once, and the buyers who come late are told."""
    with small_shop.start("incremental", "--count", 60) as one, small_shop.start("incremental", "--count", 60) as two:
        told = [one.communicate(), two.communicate()]
    assert small_shop.number(SOLD) == 100
    assert 1 in {one.returncode, two.returncode}
    for process, (_, err) in zip((one, two), told, strict=True):
        assert ("sold out" in err) == (process.returncode == 1)
        assert process.returncode in {0, 1}, err


def test_an_administrator_gives_a_ticket_to_another(small_shop: Shop) -> None:
    """Only that row changes: the buyer, and updated_at, which moves on."""
    small_shop.run("incremental", "--count", 5)
    before = small_shop.everything()
    ticket_id, owner, created_at, updated_at = before["ticket_activity"][2]
    said = small_shop.run("upsert", "--ticket_id_to_be_updated", ticket_id)
    after = small_shop.everything()
    changed = after["ticket_activity"].pop(2)
    before["ticket_activity"].pop(2)
    assert before == after
    assert (ticket_id, created_at) == (changed[0], changed[2])
    assert changed[1] != owner
    assert changed[3] > updated_at
    assert said == f"ticket {ticket_id} went from customer {owner} to customer {changed[1]}\n"


def test_a_ticket_that_was_never_sold_stays_so(small_shop: Shop) -> None:
    """upsert refuses it, as the caller's mistake, and writes nothing."""
    said = small_shop.run("upsert", "--ticket_id_to_be_updated", 17, code=2)
    assert said == "error: ticket 17 was never sold; nothing was changed\n"
    assert small_shop.number(SOLD) == 0


@OLD_NAMES
def test_a_burst_makes_exactly_that_many_changes(
    shop: Shop, changes_since: Callable[[tuple[str, int], str], dict[str, int]]
) -> None:
    """From an empty database: half inserts, half updates in the binlog, beside the shop that it fills first."""
    start = sandbox_mysql.binlog_position(shop.mysql)
    said = shop.run("burst", "--changes", 1001, "--rows_per_transaction", 100)
    assert said.startswith("1,001 changes")
    assert shop.number(SOLD) == 501
    stocked: Any = sum(shop.number(f"select count(*) from {table}") for table in ("sport_event", "ticket", "customer"))
    assert {"WriteRowsEvent": 501 + stocked, "UpdateRowsEvent": 500} == changes_since(start, shop.name)


@OLD_NAMES
def test_a_burst_uses_the_shop_that_is_there(
    small_shop: Shop, changes_since: Callable[[tuple[str, int], str], dict[str, int]]
) -> None:
    """When enough tickets are unsold it adds none."""
    start = sandbox_mysql.binlog_position(small_shop.mysql)
    small_shop.run("burst", "--changes", 200)
    assert changes_since(start, small_shop.name) == {"WriteRowsEvent": 100, "UpdateRowsEvent": 100}
