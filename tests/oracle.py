"""What the example's target must hold, computed without any of Freshet's code: SQL joins in MySQL, tokens and masks here."""

import base64
import hashlib
import hmac
import json
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Any

Row = tuple[Any, ...]

COLUMNS = (
    "ticket_id", "event_id", "sport_type", "start_date", "location", "seat_level", "seat_location", "ticket_price",
    "purchased_by", "name", "email_address", "phone_number", "created_at", "updated_at",
)  # fmt: skip
JOINED = (
    "select a.ticket_id, e.event_id, e.sport_type, e.start_date, e.location, t.seat_level, t.seat_location, t.ticket_price, "
    "a.purchased_by, c.name, c.email, c.phone, a.created_at, a.updated_at from ticket_activity a "
    "left join ticket t on t.ticket_id = a.ticket_id left join sport_event e on e.event_id = t.event_id "
    "left join customer c on c.customer_id = a.purchased_by where {where} order by a.ticket_id"
)


def expected(mysql: Any, secretsmanager: Any, token_secret: str, where: str = "true") -> list[Row]:
    """Compute the target from the source; `where` is MySQL over the aliases a, t, e and c."""
    secret = json.loads(secretsmanager.get_secret_value(SecretId=token_secret)["SecretString"])
    key = base64.b64decode(secret["keys"][secret["active"]])
    with mysql.cursor() as cursor:
        cursor.execute(JOINED.format(where=where))
        rows = cursor.fetchall()
    return [(*row[:10], token(key, secret["active"], row[10]), stars(row[11]), *row[12:]) for row in rows]


def token(key: bytes, key_id: str, address: str | None) -> str | None:
    if address is None:
        return None
    return f"k{key_id}:" + hmac.new(key, address.lower().encode(), hashlib.sha256).hexdigest()


def stars(phone: str | None) -> str | None:
    if phone is None:
        return None
    return "".join("*" if unicodedata.category(character) == "Nd" else character for character in phone)


def actual(postgres: Any, table: str) -> list[Row]:
    """Read the target from the bare database, not through the Data API."""
    with postgres.cursor() as cursor:
        cursor.execute(f"select {', '.join(COLUMNS)} from {table} order by ticket_id")
        return [tuple(_plain(value) for value in row) for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal) and value == value.to_integral_value() and value.as_tuple().exponent == 0:
        return int(value)
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value
