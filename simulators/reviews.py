"""Write product reviews as Parquet files into S3, in Hive's folders: what the workflow `reviews` reads.

Nothing in them is real. The same seed gives the same rows.
"""

import argparse
import io
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Optional

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError

CATEGORIES = ("Books", "Games", "Kitchen", "Music")
FIRST_DAY, DAYS = date(2026, 1, 1), 120
GOOD = ("Works as it should", "Better than I hoped", "Would buy it again", "Just right for the price")
BAD = ("Came too late", "Not what the picture shows", "Broke after a week", "Sent it back")
FIELDS: "list[tuple[str, pa.DataType]]" = [
    ("review_id", pa.string()), ("product_id", pa.string()), ("product_title", pa.string()), ("customer_id", pa.int64()),
    ("star_rating", pa.int32()), ("helpful_votes", pa.int32()), ("total_votes", pa.int32()), ("verified_purchase", pa.bool_()),
    ("review_headline", pa.string()), ("review_body", pa.string()), ("review_date", pa.date32()),
]  # fmt: skip
SCHEMA = pa.schema(FIELDS)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the files; give the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", required=True, help="where to: s3://bucket/prefix")
    parser.add_argument("--rows", type=int, default=4000, help="of all categories; default: %(default)s")
    parser.add_argument("--files", type=int, default=2, help="a category; default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="which rows are made; default: %(default)s")
    chosen = parser.parse_args(argv)
    if not chosen.url.startswith("s3://") or chosen.rows < 0 or chosen.files < 1:
        parser.error("--url is s3://bucket/prefix, --rows at least 0, --files at least 1")
    bucket, _, prefix = chosen.url[len("s3://") :].strip("/").partition("/")
    try:
        write(boto3.client("s3"), bucket, prefix, chosen.rows, chosen.files, chosen.seed)
    except (ClientError, BotoCoreError) as error:
        print(f"error: {chosen.url} cannot be written: {type(error).__name__}", file=sys.stderr)
        return 3
    print(f"{chosen.rows} reviews of {len(CATEGORIES)} categories below {chosen.url}")
    return 0


def write(s3: Any, bucket: str, prefix: str, rows: int, files: int, seed: int) -> None:
    """Write the files of every category."""
    made = list(reviews(rows, seed))
    for category in CATEGORIES:
        own = [row for row in made if row["product_category"] == category]
        for number in range(files):
            part = [{name: row[name] for name in SCHEMA.names} for row in own[number::files]]
            content = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(part, schema=SCHEMA), content)
            key = f"{prefix}/product_category={category}/part-{number:05d}.parquet"
            s3.put_object(Bucket=bucket, Key=key, Body=content.getvalue())


def reviews(rows: int, seed: int) -> "Iterator[dict[str, Any]]":
    """Make reviews; few have many votes, as everywhere."""
    choice = random.Random(f"{seed} reviews")
    for number in range(rows):
        category = choice.choice(CATEGORIES)
        product, stars = choice.randrange(200), choice.choice((1, 2, 3, 4, 4, 5, 5, 5))
        votes = int(choice.paretovariate(1.1)) - 1
        yield {
            "review_id": f"R{seed:03d}{number:09d}",
            "product_id": f"{category[0]}{product:05d}",
            "product_title": f"{category} number {product}",
            "product_category": category,
            "customer_id": choice.randrange(10_000, 99_999),
            "star_rating": stars,
            "helpful_votes": votes,
            "total_votes": votes + choice.randrange(5),
            "verified_purchase": choice.random() < 0.8,
            "review_headline": choice.choice(GOOD if stars > 3 else BAD),
            "review_body": " ".join(choice.choice(GOOD + BAD) for _ in range(choice.randrange(1, 6))),
            "review_date": FIRST_DAY + timedelta(days=choice.randrange(DAYS)),
        }


if __name__ == "__main__":
    sys.exit(main())
