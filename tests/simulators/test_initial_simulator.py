"""The shop is filled once, and the same way each time."""

from collections.abc import Callable
from decimal import Decimal

from tests.simulators.conftest import Shop

SMALL = ("--events", 5, "--tickets_per_event", 20, "--customers", 30)


def test_the_shop_has_what_was_asked_for(shop: Shop) -> None:
    """All sizes are as asked, nothing is sold, every second ticket is a Premium one."""
    said = shop.run("initial", *SMALL)
    assert "the shop has 5 events, 100 tickets, 30 customers; 0 tickets are sold" in said
    levels = dict(shop.rows("select seat_level, count(*) from ticket group by seat_level"))
    assert levels == {"Standard": 50, "Premium": 50}
    prices = shop.rows("select seat_level, min(ticket_price), max(ticket_price) from ticket group by seat_level")
    assert sorted(
        (level, low >= middle - 20, high <= middle + 20)
        for level, low, high in prices
        for middle in [Decimal(300 if level == "Premium" else 100)]
    ) == [
        ("Premium", True, True),
        ("Standard", True, True),
    ]


def test_people_are_of_many_kinds(shop: Shop) -> None:
    """Names need more than ASCII, phones have extensions and are sometimes missing, addresses may hold capitals."""
    shop.run("initial", "--events", 1, "--tickets_per_event", 1, "--customers", 400)
    people = shop.rows("select name, email, phone from customer")
    assert any(not name.isascii() for name, _, _ in people)
    assert any("x" in phone for _, _, phone in people if phone)
    assert any(phone is None for _, _, phone in people)
    assert any(email != email.lower() for _, email, _ in people)


def test_a_second_run_changes_nothing(shop: Shop) -> None:
    """Run twice, even with another seed, the shop keeps every row as it is, sold tickets too."""
    shop.run("initial", *SMALL)
    shop.run("incremental", "--count", 3)
    before = shop.everything()
    shop.run("initial", *SMALL)
    shop.run("initial", *SMALL, "--seed", 8)
    assert before == shop.everything()


def test_a_larger_run_adds(shop: Shop) -> None:
    """Larger sizes add rows and touch none."""
    shop.run("initial", *SMALL)
    before = shop.everything()
    shop.run("initial", "--events", 6, "--tickets_per_event", 25, "--customers", 31)
    after = shop.everything()
    assert [len(after[table]) for table in ("sport_event", "ticket", "customer")] == [6, 150, 31]
    assert all(rows == after[table][: len(rows)] for table, rows in before.items())


def test_the_same_seed_gives_the_same_rows(new_shop: Callable[[], Shop]) -> None:
    """Two shops of one seed are equal, a shop of another seed is not."""
    first, second, other = new_shop(), new_shop(), new_shop()
    first.run("initial", *SMALL, "--seed", 3)
    second.run("initial", *SMALL, "--seed", 3)
    other.run("initial", *SMALL, "--seed", 4)
    assert first.everything() == second.everything()
    assert first.everything() != other.everything()


def test_two_runs_at_once_fill_it_once(shop: Shop) -> None:
    """Started together, the second finds the first one's work done."""
    with shop.start("initial", *SMALL) as one, shop.start("initial", *SMALL) as two:
        told = [one.communicate(), two.communicate()]
    assert [one.returncode, two.returncode] == [0, 0], told
    assert shop.number("select count(*) from ticket") == 100
