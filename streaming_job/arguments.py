"""The job's arguments, as AWS Glue passes them: `--name value`, none of Glue's reserved names, no secrets.

Glue hands the script its own arguments too, which are passed over.

Source: AWS Glue Developer Guide, "Using job parameters in AWS Glue jobs" (reserved: JOB_NAME, mode, debug, endpoint).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from freshet.glue_arguments import read


class Arguments(BaseModel):
    """What one run of the job is told."""

    model_config = ConfigDict(frozen=True)

    pipeline_folders: str = Field(
        description="folders with select.sql and pipeline.yaml, or their s3:// urls, with commas between them"
    )
    source_database: str = Field(description="MySQL database that holds the pipeline's tables")
    source_secret: str = Field(description="secret with the MySQL server's host, port, username, password, ssl_ca")
    source_ca: str | None = Field(
        default=None, description="file, or s3:// url, of the authorities that the MySQL server must be signed by"
    )
    token_secret: str = Field(description="secret with the keys of tokenize()")
    stream: str = Field(description="name of the Kinesis stream that DMS writes to")
    staging_bucket: str = Field(description="S3 bucket for the files that Redshift copies")
    staging_prefix: str = Field(default="freshet", description="prefix in that bucket")
    workgroup: str = Field(description="Redshift Serverless workgroup")
    warehouse_database: str = Field(description="Redshift database")
    copy_role: str = Field(description="ARN of the role with which Redshift reads the staging bucket")
    metrics_namespace: str | None = Field(
        default=None, description="CloudWatch namespace for the job's metrics; none are sent without it"
    )
    every_s: float | None = Field(
        default=None, ge=0.4, description="seconds between batches; default: the pipeline's freshness"
    )
    records_per_shard: int = Field(
        default=50_000, ge=1, description="records read of one shard in one batch, at most about so many"
    )
    rows_per_s: float = Field(
        default=5_000, gt=0, description="rows that pending work asks of the source in a second, at most"
    )
    connections: int = Field(default=4, ge=1, description="connections to the source at once, beside the driver's own")
    until_idle: bool = Field(
        default=False, description="end when every shard was at its tip twice and nothing is pending"
    )
    from_start: bool = Field(default=False, description="read the stream again from its oldest record")
    accept_gap: bool = Field(
        default=False, description="go on from now although records expired unread; every row is compared by a sweep"
    )
    rebuild: bool = Field(default=False, description="make and fill a target again that is gone")
    take_over: bool = Field(
        default=False, description="start although another job of this pipeline lives; that one ends"
    )
    lock_folder: Path | None = Field(
        default=None, description="refuse to start while another process holds a pipeline's lock file in this folder"
    )
    work_folder: Path | None = Field(default=None, description="folder for Spark's temporary files")
    worker_type: Literal["G.025X", "G.1X", "G.2X", "G.4X", "G.8X", "R.1X", "R.2X"] | None = Field(
        default=None, description="type of Glue's workers, whose cores decide into how many parts a batch is cut"
    )
    workers: int | None = Field(default=None, ge=2, description="how many of them; one is the driver")
    spark_master: str | None = Field(
        default=None, description="Spark master when not started by spark-submit, such as local[2]"
    )

    @property
    def folders(self) -> list[str]:
        """The pipelines' folders."""
        return [folder for folder in self.pipeline_folders.split(",") if folder]


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line; argparse ends the process with 2 when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="streaming_job", description="Keep the tables of pipelines current.", allow_abbrev=False
    )
    for name, field in Arguments.model_fields.items():
        if field.annotation is bool:
            parser.add_argument(
                f"--{name}", nargs="?", const=True, default=False, type=_true_or_false, help=field.description
            )
        else:
            parser.add_argument(
                f"--{name}", required=field.is_required(), default=field.default, help=field.description
            )
    given = vars(read(parser, argv))
    return Arguments.model_validate({name: value for name, value in given.items() if value is not None})


def _true_or_false(text: str) -> bool:
    if text not in {"true", "false"}:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"
