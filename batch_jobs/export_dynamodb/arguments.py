"""The job's arguments, as AWS Glue passes them: `--name value`, none of Glue's reserved names, no secrets.

Glue hands the script its own arguments too, which are passed over.

Source: AWS Glue Developer Guide, "Using job parameters in AWS Glue jobs".
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from batch_jobs.export_dynamodb.definition import PARTS_MAX
from freshet.glue_arguments import read


class Arguments(BaseModel):
    """What one run of the job is told."""

    model_config = ConfigDict(frozen=True)

    export_folder: str = Field(description="folder with export.yaml, or its s3:// url")
    staging_bucket: str = Field(description="S3 bucket for the files that Redshift writes and reads")
    staging_prefix: str = Field(default="freshet", description="prefix in that bucket")
    workgroup: str = Field(description="Redshift Serverless workgroup")
    warehouse_database: str = Field(description="Redshift database")
    copy_role: str = Field(description="ARN of the role with which Redshift reads and writes the staging bucket")
    incremental: bool = Field(default=False, description="write only keys whose rows changed since the last run")
    dry_run: bool = Field(default=False, description="build and judge everything, write nothing")
    rate: int | None = Field(
        default=None, ge=1, le=1_000_000, description="write capacity units a second; default: the export's"
    )
    parts: int | None = Field(
        default=None, ge=1, le=PARTS_MAX, description="parts to cut the keys into; default: the export's"
    )
    hold_s: float = Field(
        default=60.0, ge=2, le=3600, description="a killed run is followed by the next one after so many seconds"
    )
    work_folder: Path | None = Field(default=None, description="folder for Spark's temporary files")
    spark_master: str | None = Field(
        default=None, description="Spark master when not started by spark-submit, such as local[2]"
    )


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line; argparse ends the process with 2 when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="export_dynamodb", description="Export a table of Redshift into a table of DynamoDB.", allow_abbrev=False
    )
    kinds = {"rate": int, "parts": int, "hold_s": float}
    for name, field in Arguments.model_fields.items():
        if field.annotation is bool:
            parser.add_argument(
                f"--{name}", nargs="?", const=True, default=False, type=_true_or_false, help=field.description
            )
        else:
            parser.add_argument(
                f"--{name}", required=field.is_required(), default=field.default, type=kinds.get(name, str),
                help=field.description,
            )  # fmt: skip
    given = read(parser, argv)
    for name in ("rate", "parts", "hold_s"):
        (low, high), value = _limits(name), getattr(given, name)
        if value is not None and not low <= value <= high:
            parser.error(f"--{name} is from {low:g} to {high:g}")
    return Arguments.model_validate({name: value for name, value in vars(given).items() if value is not None})


def _limits(name: str) -> tuple[float, float]:
    found: dict[str, float | None] = {}
    for rule in Arguments.model_fields[name].metadata:
        for end in ("ge", "le"):
            found[end] = getattr(rule, end, found.get(end))
    return float(found["ge"] or 0), float(found["le"] or 0)


def _true_or_false(text: str) -> bool:
    if text not in {"true", "false"}:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"
