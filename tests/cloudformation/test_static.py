"""What machines that know AWS say of the templates, and what they do not look at."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cloudformation.templates import FOLDER, NAMES, lines, listed, policies, resources, strings, template
from tests.environments import environment

# Where the service knows no narrower resource, or a key of the request narrows it instead.
# Source: Service Authorization Reference, the "Resource types" column of each action.
WITHOUT_RESOURCE = {
    "cloudwatch:PutMetricData",
    "redshift-data:CancelStatement", "redshift-data:DescribeStatement", "redshift-data:GetStatementResult",
    "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
    "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints",
    "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
    "xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets",
}  # fmt: skip
CFN_LINT = "import sys, cfnlint.runner; sys.exit(cfnlint.runner.main())"
NARROWED_BY = {
    "cloudwatch:PutMetricData": "cloudwatch:namespace",
    "redshift-data:CancelStatement": "redshift-data:statement-owner-iam-userid",
    "redshift-data:DescribeStatement": "redshift-data:statement-owner-iam-userid",
    "redshift-data:GetStatementResult": "redshift-data:statement-owner-iam-userid",
}


def only(kind: str) -> dict[str, Any]:
    """Give the properties of the one resource of a type."""
    ((_name, _logical, properties),) = resources(kind)
    return properties


def test_cfn_lint_finds_nothing() -> None:
    """AWS's schemas of every resource, its references and its formats: no error, no warning."""
    files = [str(FOLDER / f"{name}.yaml") for name in NAMES]
    run = subprocess.run(
        [sys.executable, "-c", CFN_LINT, "--regions", "us-east-1", "eu-central-1", "--", *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "") == (run.returncode, run.stdout), run.stdout


def test_checkov_finds_nothing() -> None:
    """No policy of checkov fails, and each one that is skipped says why."""
    python = environment("checkov", Path(__file__).with_name("checkov.txt"))
    run = subprocess.run(
        [str(python), "-m", "checkov.main", "-d", ".", "--framework", "cloudformation", "-o", "json", "--compact",
         "--skip-download"],
        # From within: a path of the right length looks to it like a secret.
        capture_output=True, text=True, check=False, cwd=FOLDER,
    )  # fmt: skip
    found = json.loads(run.stdout)
    summary = found["summary"]
    assert (0, 0) == (summary["failed"], summary["parsing_errors"]), run.stdout
    assert summary["passed"] > 100
    skipped = found["results"]["skipped_checks"]
    wanted = {"CKV_AWS_18", "CKV_AWS_157", "CKV_AWS_115", "CKV_AWS_116", "CKV_AWS_117", "CKV_AWS_173"}
    assert wanted == {check["check_id"] for check in skipped}
    assert all(len(check["check_result"]["suppress_comment"]) > 30 for check in skipped)


# ---- Glue


def test_one_streaming_job_at_a_time() -> None:
    """Glue itself refuses a second run of every job that writes, but of those that are started with files of their own."""
    jobs = {logical: job["ExecutionProperty"]["MaxConcurrentRuns"] for _, logical, job in resources("AWS::Glue::Job")}
    assert 8 == len(jobs)
    assert {"RunSqlJob", "LoadJob", "ExportJob"} == {logical for logical, allowed in jobs.items() if allowed != 1}


def test_no_job_calls_kms() -> None:
    """Its subnet has no way there: no security configuration, and every right to a key is for a service that uses it by itself.

    Source: Glue developer guide, "Encrypting data written by AWS Glue", "Creating a route to AWS KMS for VPC jobs".
    """
    assert [] == list(resources("AWS::Glue::SecurityConfiguration"))
    assert [] == [logical for _, logical, job in resources("AWS::Glue::Job") if "SecurityConfiguration" in job]
    asked = [
        (logical, statement)
        for name, logical, statement in policies()
        if name in {"jobs", "workflows", "serving"} and any(a.startswith("kms:") for a in listed(statement["Action"]))
    ]
    assert len(asked) > 3
    assert [] == [logical for logical, statement in asked if "kms:ViaService" not in str(statement.get("Condition"))]


@pytest.mark.parametrize("name", ["StreamingJob", "ExportJob"])
def test_the_jobs_of_spark_run_on_the_tested_glue(name: str) -> None:
    """Glue 6.0, which means Spark 4.1.1 with ANSI mode; left out, Glue would take 5.1."""
    (job,) = [job for _, logical, job in resources("AWS::Glue::Job") if logical == name]
    assert "6.0" == job["GlueVersion"]
    assert not {
        name for name in job["DefaultArguments"] if name in {"--conf", "--mode", "--endpoint", "--debug", "--JOB_NAME"}
    }
    assert not [text for text in strings(job) if "speculation" in text or "ansi" in text.lower()]


def test_python_shell_jobs_name_their_python() -> None:
    """3.9 is the newest there is; left out, Glue would take one whose support ended."""
    shells = [job for _, _, job in resources("AWS::Glue::Job") if job["Command"].get("Name") == "pythonshell"]
    assert 6 == len(shells)
    assert {"3.9"} == {job["Command"]["PythonVersion"] for job in shells}


def test_nothing_is_installed_from_the_internet() -> None:
    """A private subnet has no way to a package index, so pip is told to look at none."""
    for _, _, job in resources("AWS::Glue::Job"):
        if "--additional-python-modules" in job["DefaultArguments"]:
            assert "--no-index --no-deps" == job["DefaultArguments"]["--python-modules-installer-option"]
    assert not [j for _, _, j in resources("AWS::Glue::Job") if j["Command"].get("Name") == "pythonshell"
                and "--additional-python-modules" in j["DefaultArguments"]]  # fmt: skip


@pytest.mark.parametrize("name", ["StreamingJob", "ExportJob"])
def test_the_log_groups_are_those_that_glue_writes(name: str) -> None:
    """Each job of Spark has a prefix of its own; below it stand `output` and `error`, made here with key and retention.

    Source: Glue developer guide, "Logging for AWS Glue jobs".
    """
    (job,) = [job for _, logical, job in resources("AWS::Glue::Job") if logical == name]
    prefix = job["DefaultArguments"]["--custom-logGroup-prefix"]["Fn::Sub"]
    groups = {group["LogGroupName"]["Fn::Sub"]: group for _, _, group in resources("AWS::Logs::LogGroup")}
    for end in ("output", "error"):
        assert {"KmsKeyId", "RetentionInDays"} <= groups[f"{prefix}/{end}"].keys()
    assert 2 == len([other for other in groups if other.startswith(f"{prefix}/")])


# ---- roles

# Services whose guide shows a trust policy with aws:SourceAccount for what we use them for. Sources: RDS user guide, "Setting up
# and enabling Enhanced Monitoring"; VPC user guide, "IAM role for publishing flow logs"; Step Functions developer guide,
# "Creating an IAM role". Where a service does not send it, StringEquals would let nobody in.
SENDS_THE_ACCOUNT = {"monitoring.rds.amazonaws.com", "vpc-flow-logs.amazonaws.com", "states.amazonaws.com"}


def test_no_role_waits_for_a_condition_that_nobody_promises() -> None:
    """A condition on the account stands where the service sends it; elsewhere it passes when it is not sent."""
    for _, logical, role in resources("AWS::IAM::Role"):
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            for operator in statement.get("Condition", {}):
                services = {str(service) for service in listed(statement["Principal"]["Service"])}
                assert operator.endswith("IfExists") or services <= SENDS_THE_ACCOUNT, logical


# ---- the function for pullers


def test_the_function_is_the_tested_one() -> None:
    """Python 3.13; nobody without a right of the account's own may call it, and no address on the internet leads to it."""
    assert ("python3.13", "batch_jobs.pull.handler.handler") == (
        only("AWS::Lambda::Function")["Runtime"], only("AWS::Lambda::Function")["Handler"],
    )  # fmt: skip
    assert {"Ref": "PullerArn"} == only("AWS::Lambda::Permission")["Principal"]
    assert "" == template("freshet")["Parameters"]["PullerArn"]["Default"]
    assert [] == list(resources("AWS::Lambda::Url"))


# ---- DMS


def test_the_roles_of_dms_are_not_fresh_when_they_are_used() -> None:
    """Those that DMS finds by name are made in another stack before, and what needs the first waits for the stream besides;
    those that endpoints name are made while the replication instance is.

    IAM tells of a new role everywhere after a while only; DMS refuses one that it does not find: "is not configured properly".
    Source: terraform-provider-aws#11025.
    """
    homes = {str(role.get("RoleName")): name for name, _, role in resources("AWS::IAM::Role")}
    stacks = {stack["Properties"]["TemplateURL"]: (name, stack["Properties"]["Parameters"])
              for name, stack in template("freshet")["Resources"].items() if "TemplateURL" in stack["Properties"]}  # fmt: skip
    ((user, logical, _),) = resources("AWS::DMS::ReplicationSubnetGroup")
    for role in ("dms-vpc-role", "dms-cloudwatch-logs-role"):
        assert homes[role] != user
        before, _ = stacks[f"{homes[role]}.yaml"]
        _, needed = stacks[f"{user}.yaml"]
        waits_for = {value["Fn::GetAtt"][0] for value in needed.values() if "Fn::GetAtt" in value}
        assert before in waits_for
    assert "Stream" in listed(template(user)["Resources"][logical]["DependsOn"])
    for name, endpoint, _ in resources("AWS::DMS::Endpoint"):
        waits = listed(template(name)["Resources"][endpoint].get("DependsOn", []))
        assert "AWS::DMS::ReplicationInstance" in {template(name)["Resources"][each]["Type"] for each in waits}


def test_dms_sends_what_the_job_needs() -> None:
    """NULLs, one line a record, the old key of a moved row; no setting under which DMS loses changes."""
    (kinesis,) = [e["KinesisSettings"] for _, _, e in resources("AWS::DMS::Endpoint") if "KinesisSettings" in e]
    wanted = {"MessageFormat": "json-unformatted", "IncludeNullAndEmpty": True,
              "IncludeControlDetails": True, "IncludePartitionValue": True}  # fmt: skip
    assert wanted == {name: kinesis[name] for name in wanted}
    settings = json.loads(only("AWS::DMS::ReplicationTask")["ReplicationTaskSettings"])
    assert settings["TargetMetadata"]["BatchApplyEnabled"] is False
    assert 0 == settings["TargetMetadata"]["ParallelApplyThreads"]
    assert {"EnableBeforeImage": True, "FieldName": "before-image", "ColumnFilter": "pk-only"} == settings[
        "BeforeImageSettings"
    ]


def test_every_table_is_keyed_by_its_rows_and_big_integers_stay_exact() -> None:
    """The rules match the whole database, and BIGINT travels as text."""
    rules = json.loads(only("AWS::DMS::ReplicationTask")["TableMappings"]["Fn::Sub"])["rules"]
    where = {"schema-name": "${SourceDatabase}", "table-name": "${SourceTables}"}
    assert all(where.items() <= rule["object-locator"].items() for rule in rules)
    assert len(rules) == len({rule["rule-id"] for rule in rules})
    assert ["primary-key"] == [
        r["mapping-parameters"]["partition-key-type"] for r in rules if r["rule-type"] == "object-mapping"
    ]
    changed = {r["object-locator"]["data-type"]: r["data-type"] for r in rules if r["rule-type"] == "transformation"}
    assert {"int8", "uint8"} == set(changed)
    assert all({"type": "string", "length": "20"} == text for text in changed.values())


def test_dms_is_private_and_verifies_the_source() -> None:
    """No public address; TLS with the server's name verified; no password in the template."""
    assert only("AWS::DMS::ReplicationInstance")["PubliclyAccessible"] is False
    (source,) = [e for _, _, e in resources("AWS::DMS::Endpoint") if e["EndpointType"] == "source"]
    assert "verify-full" == source["SslMode"]
    assert not {"Password", "Username", "ServerName"} & set(source)


# ---- stream, source, warehouse, bucket


def test_the_stream_keeps_order_and_keeps_long() -> None:
    """Shards do not split by themselves, keys choose the shard, 72 hours, a key of our own."""
    stream = only("AWS::Kinesis::Stream")
    assert "PROVISIONED" == stream["StreamModeDetails"]["StreamMode"]
    assert "RecordDistributionStrategy" not in stream
    assert "KMS" == stream["StreamEncryption"]["EncryptionType"]
    parameters = template("freshet")["Parameters"]
    assert parameters["StreamRetentionHours"]["Default"] >= 72
    assert parameters["BinlogRetentionHours"]["Default"] >= parameters["StreamRetentionHours"]["Default"]


def test_the_source_tells_every_change_and_nothing_in_the_clear() -> None:
    """ROW, FULL, backups (without them RDS writes no binlog), TLS, private, encrypted, statements not logged."""
    settings = only("AWS::RDS::DBParameterGroup")["Parameters"]
    assert {"binlog_format": "ROW", "binlog_row_image": "FULL", "require_secure_transport": "1"} == settings
    database = only("AWS::RDS::DBInstance")
    assert database["BackupRetentionPeriod"] >= 1
    assert (True, False) == (database["StorageEncrypted"], database["PubliclyAccessible"])
    assert ["error"] == database["EnableCloudwatchLogsExports"]


def test_what_outlives_the_stack_can_still_be_read() -> None:
    """The last snapshots and the token keys stay, and so does the key that encrypts them."""
    assert "Retain" == template("freshet")["Resources"]["Key"]["DeletionPolicy"]
    assert "Retain" == template("jobs")["Resources"]["TokenSecret"]["DeletionPolicy"]
    assert "Snapshot" == template("source")["Resources"]["Database"]["DeletionPolicy"]
    assert "FinalSnapshotName" in only("AWS::RedshiftServerless::Namespace")


def test_the_warehouse_is_private() -> None:
    """No public address, COPY inside the VPC, TLS, a key of our own."""
    workgroup = only("AWS::RedshiftServerless::Workgroup")
    assert (False, True) == (workgroup["PubliclyAccessible"], workgroup["EnhancedVpcRouting"])
    assert [{"ParameterKey": "require_ssl", "ParameterValue": "true"}] == workgroup["ConfigParameters"]
    assert {"Ref": "KeyArn"} == only("AWS::RedshiftServerless::Namespace")["KmsKeyId"]


def test_staged_files_do_not_stay() -> None:
    """What a killed job left is gone after a day, its versions a day later; only TLS; never public."""
    rules = only("AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert 1 == rules[0]["ExpirationInDays"]
    assert "freshet/${Stack}/staging/" == rules[0]["Prefix"]["Fn::Sub"][0]
    assert {"NoncurrentDays": 1} == rules[1]["NoncurrentVersionExpiration"]
    assert all(only("AWS::S3::Bucket")["PublicAccessBlockConfiguration"].values())


def test_nobody_enters_from_anywhere() -> None:
    """Every way into a security group names another group."""
    ways = [way for _, _, way in resources("AWS::EC2::SecurityGroupIngress")]
    ways += [
        way for _, _, group in resources("AWS::EC2::SecurityGroup") for way in group.get("SecurityGroupIngress", ())
    ]
    assert len(ways) >= 7
    assert [] == [way for way in ways if "SourceSecurityGroupId" not in way or {"CidrIp", "CidrIpv6"} & set(way)]


# ---- secrets


@pytest.mark.parametrize("name", NAMES)
def test_no_template_takes_or_gives_a_secret(name: str) -> None:
    """No password in parameters, outputs or arguments: only the ARNs of secrets."""
    parts = template(name)
    for kind in ("Parameters", "Outputs"):
        wrong = [key for key in parts.get(kind, {}) if re.search("password|token", key, re.IGNORECASE)]
        assert set(wrong) <= {"TokenSecretArn"}
    for _, _, job in resources("AWS::Glue::Job"):
        told = job["DefaultArguments"]
        assert [] == [key for key in told if re.search("password|credential|key", key)]
        for key in told:
            if "secret" in key:
                assert re.fullmatch(r".*(SecretArn|TokenSecret)", told[key]["Ref"])
        assert "NonOverridableArguments" not in job
    assert [] == [text for text in strings(parts.get("Outputs", {})) if "resolve:secretsmanager" in text]


def test_generated_secrets_hold_no_password_of_ours() -> None:
    """Each password is made by Secrets Manager, under the stack's key, and has no name that a month blocks."""
    secrets = list(resources("AWS::SecretsManager::Secret"))
    assert 5 == len(secrets)
    for _, logical, secret in secrets:
        assert "SecretString" not in secret
        assert "Name" not in secret
        assert {"Ref": "KeyArn"} == secret["KmsKeyId"]
        if logical != "TokenSecret":
            assert secret["GenerateSecretString"]["PasswordLength"] >= 32


# ---- rights


def test_no_right_is_wide() -> None:
    """No action and no resource is `*`, but where the service knows nothing narrower."""
    wide = []
    for name, owner, statement in policies():
        assert "NotAction" not in statement
        actions = listed(statement["Action"])
        wide += [(name, owner, action) for action in actions if "*" in action]
        if "*" in listed(statement["Resource"]):
            wide += [(name, owner, action) for action in actions if action not in WITHOUT_RESOURCE]
            for action in actions:
                if action in NARROWED_BY:
                    keys = [key for test in statement["Condition"].values() for key in test]
                    assert NARROWED_BY[action] in keys, (name, owner, action)
    assert [] == wide


def test_every_right_that_is_wide_by_need_says_so() -> None:
    """The line of a `*` resource says why."""
    assert [] == [
        f"{name}.yaml:{number}"
        for name in NAMES
        for number, line in enumerate(lines(name), 1)
        if re.match(r"\s*Resource: \"\*\"", line) and "#" not in line and name != "freshet"
    ]


def test_what_services_do_in_our_name_is_explained() -> None:
    """No test sees the calls of DMS, Redshift and Glue itself, so each of these statements says why it is there."""
    played = {"StreamingRole", "BootstrapRole", "SimulatorRole", "RunSqlRole", "LoadRole", "PullRole",
              "ExportRole"}  # fmt: skip
    assert [] == [
        (name, owner, str(statement["Sid"]))
        for name, owner, statement in policies()
        if owner not in played and "#" not in lines(name)[statement["Sid"].start_mark.line]
    ]


def test_every_role_trusts_one_service() -> None:
    """Nobody else, and where the service tells for which account it asks, ours."""
    for name, logical, role in resources("AWS::IAM::Role"):
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert {"Service"} == set(statement["Principal"]), (name, logical)
        assert "sts:AssumeRole" == statement["Action"]


# ---- alarms


def test_all_that_can_go_wrong_has_its_alarm() -> None:
    """Freshness, iterator age, headroom, both latencies of DMS, quarantine, a job that does not run: each tells the topic."""
    alarms = {logical: alarm for _, logical, alarm in resources("AWS::CloudWatch::Alarm")}
    wanted = {"FreshnessSeconds", "GetRecords.IteratorAgeMilliseconds", "RetentionHeadroomPercent", "CDCLatencySource",
              "CDCLatencyTarget", "RecordsQuarantined", "JobAlive"}  # fmt: skip
    assert wanted <= {alarm["MetricName"] for alarm in alarms.values()}
    assert all([{"Ref": "Topic"}] == alarm["AlarmActions"] for alarm in alarms.values())
    assert "breaching" == alarms["JobNotRunning"]["TreatMissingData"]


def test_the_jobs_metrics_are_those_that_alarms_and_dashboard_name() -> None:
    """A metric that nobody sends would be an alarm that never rings."""
    from streaming_job.metrics import METRICS

    asked = {
        a["MetricName"]
        for _, _, a in resources("AWS::CloudWatch::Alarm")
        if a["Namespace"] == {"Ref": "MetricsNamespace"}
    }
    body = only("AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Sub"][0]
    asked |= set(re.findall(r'"\$\{MetricsNamespace\}", "(\w+)"', body))
    assert len(asked) > 8
    assert asked <= set(METRICS)


def test_the_dashboard_is_json() -> None:
    """CloudWatch refuses what is not, at deployment."""
    body = only("AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Sub"][0]
    assert 6 == len(json.loads(body)["widgets"])


def test_silence_is_no_alarm_before_anything_is_started() -> None:
    """An alarm on silence is quiet until whoever starts DMS and the job lets it; without the command it rings at once."""
    silent = {logical: alarm for _, logical, alarm in resources("AWS::CloudWatch::Alarm")
              if alarm.get("TreatMissingData") == "breaching"}  # fmt: skip
    assert {"JobNotRunning", "CaptureWritesLate"} <= set(silent)
    assert [] == [name for name, alarm in silent.items() if alarm.get("ActionsEnabled") != {"Ref": "AlarmsRing"}]
    assert "true" == template("freshet")["Parameters"]["AlarmsRing"]["Default"]


def test_who_publishes_at_once_may() -> None:
    """DMS tries a topic when it is subscribed to its events: the policy that lets it is there before."""
    for name, resource in template("monitoring")["Resources"].items():
        if resource["Type"] == "AWS::DMS::EventSubscription":
            assert "TopicPolicy" in listed(resource.get("DependsOn", [])), name


def test_every_connection_of_glue_has_its_properties() -> None:
    """The API demands them of each type, also of NETWORK, which has none."""
    connections = [connection for _, _, connection in resources("AWS::Glue::Connection")]
    assert connections
    assert all("ConnectionProperties" in connection["ConnectionInput"] for connection in connections)


# ---- names


def test_the_names_of_the_walk_through_are_kept() -> None:
    """Whoever follows the original steps finds the resources where they are looked for."""
    text = "\n".join(line for name in NAMES for line in lines(name))
    for name in ("rds-ingest-data-initial-", "rds-ingest-data-incremental-", "rds-upsert-data-", "periodical-trigger-",
                 "rds-to-kinesis-", "streaming-cdc-kinesis2redshift-", "cdc-sample-"):  # fmt: skip
        assert f"Name: !Sub {name}${{StackLabel}}" in text or f"Identifier: !Sub {name}${{StackLabel}}" in text, name
    wanted = {"S3BucketName", "VPCCIDR", "PublicSubnetCIDR", "PrivateSubnetACIDR", "PrivateSubnetBCIDR", "SubnetAzA", "SubnetAzB",
              "DatabaseUserName"}  # fmt: skip
    assert wanted <= set(template("freshet")["Parameters"])


def test_every_parameter_is_grouped_and_described() -> None:
    """The console shows each in its group, and says what it is."""
    root = template("freshet")
    groups = root["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(root["Parameters"]) == sorted(grouped)
    assert all(len(p["Description"]) > 5 for name in NAMES for p in template(name).get("Parameters", {}).values())
