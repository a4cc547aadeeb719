"""Which values the root stack's parameters get: what was said now, else before, else what the region offers, else the default.

Pure; `defaults_of_the_account` asks AWS.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from freshet.deploy import offers
from freshet.deploy.account import Account, error_code
from freshet.deploy.templates import check_parameter
from freshet.errors import EnvironmentFault, InputError

Declared = Mapping[str, Mapping[str, Any]]
ZONES: Final = ("SubnetAzA", "SubnetAzB", "SubnetAzC")


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


def request(values: Mapping[str, str], previous: Mapping[str, str]) -> list[dict[str, Any]]:
    """Write the values as CreateChangeSet takes them; what stays is not sent again."""
    return [
        {"ParameterKey": name, "UsePreviousValue": True}
        if previous.get(name) == value
        else {"ParameterKey": name, "ParameterValue": value}
        for name, value in values.items()
    ]


def check_own_network(given: Mapping[str, str]) -> None:
    """Check that a network of the user's own has room for a new warehouse.

    Raises:
        InputError: It has fewer than three subnets. Source: Redshift management guide, "Considerations when using Amazon
            Redshift Serverless".
    """
    subnets = [each for each in given.get("ExistingSubnetIds", "").split(",") if each.strip()]
    if given.get("ExistingVpcId") and not given.get("ExistingWorkgroupName") and len(set(subnets)) < 3:
        raise InputError(
            f"parameter ExistingSubnetIds: {len(set(subnets))} subnets are named, and a new warehouse wants three, always: "
            "in three zones, or in two where the account sees no more"
        )


def defaults_of_the_account(
    account: Account, declared: Declared, given: Mapping[str, str], endpoints: Sequence[str]
) -> dict[str, str]:
    """Ask what the region and the account offer, for the first deployment.

    Args:
        account: DMS may have been used in it, whose two roles exist once only; who deploys it is its first operator.
        declared: The root template's Parameters section.
        given: What the user chose already.
        endpoints: Services whose interface endpoints the stack makes, in the first zone.

    Raises:
        EnvironmentFault: Only one of the two roles is there, or the region lacks something.
    """
    values = {name: str(rule.get("Default", "")) for name, rule in declared.items()} | dict(given)
    offered = {"Operators": account.redshift_user or ""}
    engines = offers.replication_engines(account.client("dms"), values["DmsInstanceClass"])
    if not values["DmsEngineVersion"]:
        offered["DmsEngineVersion"] = offers.choose_engine(engines, values["DmsInstanceClass"])
    if not values["ExistingVpcId"]:
        engine = values["DmsEngineVersion"] or offered["DmsEngineVersion"]
        offered |= _zones(account, values, endpoints, engines.get(engine, set()))
    if "CreateDmsRoles" not in given:
        offered["CreateDmsRoles"] = _makes_dms_roles(account.client("iam"))
    return offered


def _zones(
    account: Account, values: Mapping[str, str], endpoints: Sequence[str], replication: set[str]
) -> dict[str, str]:
    """Choose the zones of the subnets, unless the user names any: then all are the user's choice."""
    if any(values[name] for name in ZONES):
        return {}
    ec2 = account.client("ec2")
    wanted: dict[str, Collection[str]] = {}
    if replication:  # DMS tells the zones of an offer, but need not
        wanted[f"DMS on {values['DmsInstanceClass']}"] = replication
    if values["EgressMode"] == "endpoints":
        wanted |= {f"endpoint of {name}": zones for name, zones in offers.endpoint_zones(ec2, endpoints).items()}
    if not values["ExistingSourceSecretArn"]:
        version, instance_class = values["MySQLVersion"], values["DatabaseInstanceClass"]
        found = offers.database_zones(account.client("rds"), version, instance_class)
        wanted[f"MySQL {version} on {instance_class}"] = found
    return dict(zip(ZONES, offers.choose_zones(offers.available_zones(ec2), wanted), strict=False))


def _makes_dms_roles(iam: Any) -> str:
    there = {name: _has_role(iam, name) for name in ("dms-vpc-role", "dms-cloudwatch-logs-role")}
    if len(set(there.values())) > 1:
        missing = next(name for name, exists in there.items() if not exists)
        policy = "AmazonDMSVPCManagementRole" if "vpc" in missing else "AmazonDMSCloudWatchLogsRole"
        raise EnvironmentFault(
            f"the account has one of the two roles that DMS looks for, but not {missing}: make it (trust dms.amazonaws.com, "
            f"policy service-role/{policy}), or delete the other one so that the stack makes both"
        )
    return "false" if there["dms-vpc-role"] else "true"


def _has_role(iam: Any, name: str) -> bool:
    try:
        iam.get_role(RoleName=name)
    except ClientError as error:
        if error_code(error) in {"NoSuchEntity", "NoSuchEntityException"}:
            return False
        raise
    return True
