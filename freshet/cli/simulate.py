"""`freshet simulate`: let the example's shop live, in the running sandbox."""

import os
import subprocess
import sys

import typer

from freshet.cli.context import ROOT, Place, out, running_place
from freshet.errors import InputError

KINDS = ("initial", "incremental", "upsert", "burst", "currents", "reviews")


def simulate(
    context: typer.Context,
    kind: str = typer.Argument(None, help="initial, incremental, upsert, burst, currents or reviews"),
) -> int:
    """Run a simulator against the running sandbox; its own options follow.

    Example: freshet simulate incremental --rate 20 --for 60
    """
    if kind in {None, "--help", "-h"}:
        out.print(context.get_help())
        return 0
    if kind not in KINDS:
        raise InputError(f"there is no simulator {kind}: choose {', '.join(KINDS)}")
    if "--help" in context.args:
        return subprocess.call([sys.executable, str(ROOT / "simulators" / f"{kind}.py"), "--help"])
    with start_simulator(running_place(), kind, context.args) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return process.wait()


def start_simulator(place: Place, kind: str, options: list[str], **how: object) -> subprocess.Popen[str]:
    """Start a simulator as its own process; the password travels in its environment, not in its arguments."""
    command = [sys.executable, str(ROOT / "simulators" / f"{kind}.py")]
    if kind in {"currents", "reviews"}:  # files in a bucket, no database
        bucket = place.endpoints["staging_bucket"]
        data = f"s3://{bucket}/freshet/sandbox/data/reviews"  # where the workflow of that name looks for them
        command += ["--bucket", bucket] if kind == "currents" else ["--url", data]
        environment = {**os.environ, **place.environment}
    else:
        mysql = place.mysql
        command += ["--host", mysql.host, "--port", str(mysql.port), "--user", mysql.username]
        command += ["--database", place.source_database, "--password_env", "FRESHET_MYSQL_PASSWORD"]
        if mysql.ssl_ca:
            command += ["--ssl_ca", mysql.ssl_ca]
        environment = {**os.environ, "FRESHET_MYSQL_PASSWORD": mysql.password.get_secret_value()}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]  # `how` is what Popen takes
        [*command, *options], env=environment, start_new_session=True, text=True, **how
    )
