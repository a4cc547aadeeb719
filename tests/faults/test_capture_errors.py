"""What DMS says that it left out is told loudly, by table, and is no row of anything."""

import logging

import pytest

from tests.river import River

SUSPENDED = {"TASK_NAME": "T", "TABLE_OWNER": "shop", "TABLE_NAME": "orders", "SUSPEND_REASON": "kim@example.org"}


def test_what_dms_left_out_is_an_error_in_the_log(own_stream: River, caplog: pytest.LogCaptureFixture) -> None:
    """The job goes on, every record has an outcome, the reason's text is not repeated; once a batch, not once a round."""
    own_stream.sell_in_source([1], 5)
    own_stream.put(
        own_stream.record(SUSPENDED, table="awsdms_suspended_tables", schema_name=""),
        own_stream.record(SUSPENDED, table="awsdms_apply_exceptions", schema_name=""),
        own_stream.sale(1, 5),
    )
    with caplog.at_level(logging.INFO):
        own_stream.drain()
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert 2 == sum(record.fields["records"] for record in errors)  # type: ignore[attr-defined]
    assert all("DMS left out changes, or whole tables: shop.orders." in record.getMessage() for record in errors)
    assert "kim@" not in caplog.text
    ledger = own_stream.ledger()
    assert (3, 1, 2, 0) == tuple(ledger[name] for name in ("received", "written", "ignored", "quarantined"))
