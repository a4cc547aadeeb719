"""Zones and versions are what the account is offered."""

from collections.abc import Callable

import pytest

from freshet.deploy.offers import available_zones, choose_engine, choose_zones
from freshet.errors import EnvironmentFault
from tests.deploy.conftest import Person
from tests.deploy.test_deploy import client, stacks

A, B, C, D = (f"us-east-1{letter}" for letter in "abcd")


class Region:
    """Answers DescribeAvailabilityZones."""

    def __init__(self, *zones: tuple[str, str, str]) -> None:
        self.zones = zones

    def describe_availability_zones(self, Filters: list[dict[str, object]]) -> dict[str, object]:  # noqa: N803
        """Give the zones."""
        assert [{"Name": "state", "Values": ["available"]}] == Filters
        return {"AvailabilityZones": [{"ZoneName": n, "ZoneId": i, "ZoneType": t} for n, i, t in self.zones]}


def test_a_zone_is_known_by_its_id() -> None:
    """What is called us-east-1a is another place in each account; the old one among them is left out, and so is an outpost."""
    region = Region(
        (B, "use1-az1", "availability-zone"), (A, "use1-az3", "availability-zone"), ("us-east-1-atl-1a", "use1-atl1-az1",
        "local-zone"), (C, "use1-az2", "availability-zone"),
    )  # fmt: skip
    assert [B, C] == available_zones(region)


@pytest.mark.parametrize(
    ("available", "offers", "chosen"),
    [
        ([A, B, C, D], {}, [A, B, C]),
        ([A, B, C, D], {"DMS": {B, C, D}}, [B, C, D]),
        ([A, B, C, D], {"DMS": {C, D}, "RDS": {A, C, D}}, [C, D, A]),
        ([A, B, C], {"DMS": {C}}, [C, A, B]),
        ([A, B], {"DMS": {B}}, [B, A]),
    ],
)
def test_the_first_zone_has_everything(available: list[str], offers: dict[str, set[str]], chosen: list[str]) -> None:
    """Jobs, endpoints and DMS are there; the others have as much as can be had, and order decides the rest."""
    assert chosen == choose_zones(available, offers)


@pytest.mark.parametrize(
    ("choose", "told"),
    [
        (lambda: choose_zones([A, B], {"DMS": {A}, "RDS": {B}}), f"{A} has no RDS; {B} has no DMS"),
        (lambda: choose_zones([A], {}), "shows 1 zone"),
        (lambda: choose_engine({}, "dms.t3.small"), "DMS offers no dms.t3.small in this region"),
    ],
)
def test_what_is_missing_is_named(choose: Callable[[], object], told: str) -> None:
    """With the parameter that helps."""
    with pytest.raises(EnvironmentFault, match=told):
        choose()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["3.5.4", "3.6.1", "3.6.10", "3.6.9", "3.7.0"], "3.6.10"),
        (["3.5.4", "3.5.3"], "3.5.4"),
        (["3.7.0", "3.8.1"], "3.8.1"),
    ],
)
def test_the_newest_engine_of_the_tested_line(offered: list[str], chosen: str) -> None:
    """By its numbers; another line only where that one is gone."""
    assert chosen == choose_engine(dict.fromkeys(offered, frozenset()), "dms.t3.small")


def parameters() -> dict[str, str]:
    """The parameters of the stack as it stands."""
    return {each["ParameterKey"]: each["ParameterValue"] for each in stacks()["demo"]["Parameters"]}


def test_a_deployment_takes_what_is_offered(person: Person) -> None:
    """The first zone has DMS and MySQL of these classes; no beta; and what was chosen stays, whatever is offered later."""
    person.cloud.without = {"dms": {"us-east-1a"}, "rds": {"us-east-1b"}}
    person.deploys("--yes", "--no-start")
    told = parameters()
    assert ["us-east-1c", "us-east-1d", "us-east-1f"] == [told[f"SubnetAz{letter}"] for letter in "ABC"]
    assert "3.6.2" == told["DmsEngineVersion"]
    person.cloud.engines["3.6.3"] = "prod"
    person.cloud.without = {"dms": {"us-east-1c"}}
    assert "nothing to change" in person.deploys("--yes", "--no-start")
    assert told == parameters()


def test_what_the_region_lacks_is_told_before_anything_is_made(person: Person) -> None:
    """Such as an old version of MySQL: no zone has it."""
    person.cloud.databases = {"8.0.43"}
    said = person.deploys("--yes", code=3)
    assert "us-east-1a has no MySQL 8.4 on db.t4g.small" in said
    assert {} == stacks()
    assert [] == client("s3").list_buckets()["Buckets"]


def test_a_network_of_ones_own_has_three_subnets(person: Person) -> None:
    """A new warehouse wants them, and fails twenty minutes later without."""
    own = ("--set", "ExistingVpcId=vpc-1", "--set", "ExistingSubnetIds=subnet-1,subnet-2,subnet-2")
    assert "2 subnets are named" in person.deploys("--yes", *own, code=2)
    assert {} == stacks()


def test_the_zones_may_be_ones_own(person: Person) -> None:
    """Two are enough: the third subnet is then in the first zone."""
    person.deploys("--yes", "--no-start", "--set", "SubnetAzA=us-east-1d", "--set", "SubnetAzB=us-east-1b")
    assert ["us-east-1d", "us-east-1b", ""] == [parameters()[f"SubnetAz{letter}"] for letter in "ABC"]
    zones = [subnet["AvailabilityZone"] for subnet in client("ec2").describe_subnets()["Subnets"]
             if not subnet["DefaultForAz"]]  # fmt: skip
    assert ["us-east-1b", "us-east-1d", "us-east-1d"] == sorted(zones)
