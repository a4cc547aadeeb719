"""Files that lie in S3."""

from pathlib import Path

import pytest

from freshet.cli.context import Place
from freshet.errors import EnvironmentFault
from streaming_job.fetch import local_folder, text_of


def test_a_folder_in_s3_keeps_its_name(place: Place, tmp_path: Path) -> None:
    """The name is the pipeline's."""
    s3, bucket = place.client("s3"), place.endpoints["staging_bucket"]
    for name in ("select.sql", "pipeline.yaml"):
        s3.put_object(Bucket=bucket, Key=f"fetch/0123/orders/{name}", Body=name.encode())
    folder = local_folder(f"s3://{bucket}/fetch/0123/orders/", s3, tmp_path)
    assert ("orders", "select.sql") == (folder.name, (folder / "select.sql").read_text())
    assert "pipeline.yaml" == text_of(f"s3://{bucket}/fetch/0123/orders/pipeline.yaml", s3)


def test_local_paths_stay(tmp_path: Path) -> None:
    """No client is asked."""
    (tmp_path / "ca.pem").write_text("authorities")
    assert tmp_path == local_folder(str(tmp_path), None, tmp_path)
    assert "authorities" == text_of(str(tmp_path / "ca.pem"), None)


@pytest.mark.parametrize("place_of", ["s3://{}/nothing/here", "/nothing/here"])
def test_what_is_not_there_is_named(place: Place, place_of: str) -> None:
    """Which file, and what to look at."""
    named = place_of.format(place.endpoints["staging_bucket"])
    with pytest.raises(EnvironmentFault, match="nothing/here cannot be read"):
        text_of(named, place.client("s3"))
