"""How the job's command line is read."""

import pytest

from streaming_job.arguments import Arguments, parse

NEEDED = [
    word
    for name, field in Arguments.model_fields.items()
    if field.is_required()
    for word in (f"--{name}", f"some_{name}")
]


def test_what_is_needed_is_enough() -> None:
    """Everything else has a default."""
    arguments = parse(NEEDED)
    assert ["some_pipeline_folders"] == arguments.folders
    assert (None, False, None) == (arguments.every_s, arguments.until_idle, arguments.metrics_namespace)
    assert (5_000, 4, False, False) == (
        arguments.rows_per_s, arguments.connections, arguments.accept_gap, arguments.rebuild
    )  # fmt: skip


def test_one_job_keeps_several_pipelines() -> None:
    """Their folders stand with commas between them; one more comma names no folder."""
    words = [*NEEDED, "--pipeline_folders", "sql/pipelines/orders,s3://bucket/pipelines/sales,"]
    assert ["sql/pipelines/orders", "s3://bucket/pipelines/sales"] == parse(words).folders


@pytest.mark.parametrize(("words", "expected"), [([], False), (["--until_idle"], True), (["--until_idle", "true"], True),
                                                 (["--until_idle", "false"], False)])  # fmt: skip
def test_a_switch_needs_no_value_but_may_have_one(words: list[str], expected: bool) -> None:
    """Glue cannot pass an argument without a value."""
    assert expected == parse([*NEEDED, *words]).until_idle


def test_glues_own_arguments_are_left_alone() -> None:
    """Wherever they stand, with values that look like options, with a value after an equals sign, or with none."""
    words = ["--JOB_NAME", "job", "--job-language", "python", "--python-modules-installer-option", "--no-index --no-deps",
             "--enable-metrics", "--TempDir=s3://b/t/", "--conf", "spark.x=y"]  # fmt: skip
    assert parse(NEEDED) == parse([*words, *NEEDED]) == parse([*NEEDED[:4], *words, *NEEDED[4:]])


@pytest.mark.parametrize("words", [["--until-idle", "true"], ["--every", "1"], ["--sorce_secret", "x"], ["--until_idle", "yes"],
                                   ["--every_s", "soon"], ["--pipeline_folder", "x"], ["--lock_file", "x"], ["--rows_per_s", "0"],
                                   ["--connections", "0"], ["--metrics-namespace", "x"], ["--Stream", "x"]])  # fmt: skip
def test_a_misspelled_argument_is_refused(words: list[str]) -> None:
    """It would otherwise be taken for one of Glue's, and be ignored."""
    with pytest.raises((SystemExit, ValueError)) as ended:
        parse([*NEEDED, *words])
    if isinstance(ended.value, SystemExit):
        assert 2 == ended.value.code


def test_secrets_are_named_and_not_told() -> None:
    """No argument takes a password or a key."""
    assert not [name for name in Arguments.model_fields if "password" in name or name.endswith("key")]
