"""What a region offers an account: zones in which every part can be made, and DMS's newest engine of the tested line.

Names of zones say nothing: `us-east-1a` is another place in each account, and a service or a class of instance may be
missing in any. Only zone A holds all parts - jobs, endpoints, DMS; the others hold what the databases may choose.

Asks:   EC2, RDS and DMS.
Gives:  names of zones, and a version.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from freshet.errors import EnvironmentFault

TESTED_ENGINES: Final = "3.6."  # whose settings and limits docs and sandbox follow
# Source: Redshift management guide and RDS user guide: neither has its newer kinds there.
UNFIT_ZONES: Final = frozenset({"use1-az3"})
Engines = Mapping[str, Collection[str]]  # zones by version


def available_zones(ec2: Any) -> list[str]:
    """Name the region's zones that may hold parts, in order."""
    asked = [{"Name": "state", "Values": ["available"]}]
    return sorted(
        zone["ZoneName"]
        for zone in ec2.describe_availability_zones(Filters=asked)["AvailabilityZones"]
        if zone.get("ZoneType", "availability-zone") == "availability-zone" and zone.get("ZoneId") not in UNFIT_ZONES
    )


def endpoint_zones(ec2: Any, services: Sequence[str]) -> dict[str, set[str]]:
    """Give the zones in which each service has an interface endpoint."""
    found = ec2.describe_vpc_endpoint_services(ServiceNames=list(services))["ServiceDetails"]
    zones = {detail["ServiceName"]: set(detail["AvailabilityZones"]) for detail in found}
    return {service: zones.get(service, set()) for service in services}


def database_zones(rds: Any, version: str, instance_class: str) -> set[str]:
    """Give the zones in which RDS makes a MySQL of a version, such as 8.4, on a class of instance."""
    pages = rds.get_paginator("describe_orderable_db_instance_options").paginate(
        Engine="mysql", DBInstanceClass=instance_class, Vpc=True
    )
    return {
        zone["Name"]
        for page in pages
        for option in page["OrderableDBInstanceOptions"]
        if f"{option['EngineVersion']}.".startswith(f"{version}.")
        for zone in option["AvailabilityZones"]
    }


def replication_engines(dms: Any, instance_class: str) -> dict[str, set[str]]:
    """Give DMS's engines for a class of instance, and the zones of each; none that is a beta."""
    found: dict[str, set[str]] = {}
    for page in dms.get_paginator("describe_orderable_replication_instances").paginate():
        for offer in page["OrderableReplicationInstances"]:
            if offer["ReplicationInstanceClass"] == instance_class and offer.get("ReleaseStatus") != "beta":
                found.setdefault(offer["EngineVersion"], set()).update(offer.get("AvailabilityZones", ()))
    return found


def choose_engine(engines: Engines, instance_class: str) -> str:
    """Choose the newest engine of the tested line, else the newest.

    Raises:
        EnvironmentFault: The region offers none for this class.
    """
    if not engines:
        raise EnvironmentFault(
            f"DMS offers no {instance_class} in this region: choose another with --set DmsInstanceClass="
        )
    tested = [version for version in engines if version.startswith(TESTED_ENGINES)]
    return max(tested or engines, key=lambda version: [int(number) for number in re.findall(r"\d+", version)])


def choose_zones(available: Sequence[str], offers: Mapping[str, Collection[str]]) -> list[str]:
    """Choose the zones of the subnets.

    Args:
        available: Names, in order.
        offers: What is wanted in the first zone, and the zones in which it is offered.

    Returns:
        Three names, two where there are no more; the first has all that is wanted, the others as much as can be had.

    Raises:
        EnvironmentFault: There is only one zone, or none has everything.
    """
    lacks = {zone: [what for what, zones in offers.items() if zone not in zones] for zone in available}
    chosen = sorted(available, key=lambda zone: len(lacks[zone]))[:3]
    if len(chosen) < 2:
        raise EnvironmentFault(f"this region shows {len(chosen)} zone: the databases want two at least")
    if lacks[chosen[0]]:
        told = "; ".join(f"{zone} has no {', no '.join(lacks[zone])}" for zone in available)
        raise EnvironmentFault(
            f"no zone of this region has all that the jobs, their endpoints and DMS need ({told}): choose other classes, "
            "--set EgressMode=nat, or the zones yourself with SubnetAzA, SubnetAzB, SubnetAzC"
        )
    return chosen
