"""Which values the root stack's parameters get: what was said now, else before, else what the region offers, else the default.

Pure; `defaults_of_the_account` asks AWS.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from freshet.deploy.account import Account, error_code
from freshet.deploy.templates import check_parameter
from freshet.errors import EnvironmentFault, InputError

Declared = Mapping[str, Mapping[str, Any]]


def check_given(declared: Declared, given: Mapping[str, str], filled: Sequence[str]) -> None:
    """Check what the user says against the root template.

    Raises:
        InputError: Names the parameter.
    """
    for name, value in given.items():
        if name in filled:
            raise InputError(f"parameter {name} is filled by `freshet deploy` itself")
        check_parameter(name, value, declared)


def effective(
    declared: Declared, previous: Mapping[str, str], given: Mapping[str, str], filled: Mapping[str, str],
    offered: Mapping[str, str],
) -> dict[str, str]:  # fmt: skip
    """Give every parameter its value.

    Args:
        declared: The root template's Parameters section.
        previous: Of the stack as it stands; empty before the first deployment.
        given: By the user, now.
        filled: By this command: what it uploaded.
        offered: Used instead of the template's defaults the first time.

    Raises:
        InputError: One has no value.
    """
    values: dict[str, str] = {}
    for name, rule in declared.items():
        sources: list[Mapping[str, Any]] = [filled, given, previous, offered]
        value = next((source[name] for source in sources if name in source), rule.get("Default"))
        if value is None:
            raise InputError(f"parameter {name} has no value: --set {name}=...")
        values[name] = str(value)
    return values


def check_fixed(given: Mapping[str, str], previous: Mapping[str, str]) -> None:
    """Check that the user does not ask to change what cannot change.

    Raises:
        InputError: The number of shards: the streaming job does not follow a stream that is split or merged.
    """
    before = previous.get("ShardCount")
    if before is not None and given.get("ShardCount", before) != before:
        raise InputError(
            f"parameter ShardCount: the stack's stream has {before} shards for good, since the streaming job does not follow "
            "a split or a merge; docs/runbook.md says how to move to a stack with more"
        )


def request(values: Mapping[str, str], previous: Mapping[str, str]) -> list[dict[str, Any]]:
    """Write the values as CreateChangeSet takes them; what stays is not sent again."""
    return [
        {"ParameterKey": name, "UsePreviousValue": True}
        if previous.get(name) == value
        else {"ParameterKey": name, "ParameterValue": value}
        for name, value in values.items()
    ]


def defaults_of_the_account(account: Account, given: Mapping[str, str]) -> dict[str, str]:
    """Ask what the region and the account offer, for the first deployment.

    Args:
        account: The first three zones of its region are taken, unless the network is the user's own; DMS may have been used
            in it, whose two roles exist once only; and who deploys it is its first operator.
        given: What the user chose already.

    Raises:
        EnvironmentFault: Only one of the two roles is there.
    """
    offered = {"Operators": account.redshift_user or ""}
    ec2, iam = account.client("ec2"), account.client("iam")
    if not given.get("ExistingVpcId") and "SubnetAzA" not in given:
        zones = sorted(
            zone["ZoneName"]
            for zone in ec2.describe_availability_zones(Filters=[{"Name": "state", "Values": ["available"]}])[
                "AvailabilityZones"
            ]
            if zone.get("ZoneType", "availability-zone") == "availability-zone"
        )
        offered |= dict(zip(("SubnetAzA", "SubnetAzB", "SubnetAzC"), zones, strict=False))
    if "CreateDmsRoles" not in given:
        there = {name: _has_role(iam, name) for name in ("dms-vpc-role", "dms-cloudwatch-logs-role")}
        if len(set(there.values())) > 1:
            missing = next(name for name, exists in there.items() if not exists)
            policy = "AmazonDMSVPCManagementRole" if "vpc" in missing else "AmazonDMSCloudWatchLogsRole"
            raise EnvironmentFault(
                f"the account has one of the two roles that DMS looks for, but not {missing}: make it (trust dms.amazonaws.com, "
                f"policy service-role/{policy}), or delete the other one so that the stack makes both"
            )
        offered["CreateDmsRoles"] = "false" if there["dms-vpc-role"] else "true"
    return offered


def _has_role(iam: Any, name: str) -> bool:
    try:
        iam.get_role(RoleName=name)
    except ClientError as error:
        if error_code(error) in {"NoSuchEntity", "NoSuchEntityException"}:
            return False
        raise
    return True
