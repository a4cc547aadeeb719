"""What usually lies behind a failure that CloudFormation reports, and what to do about it."""

import re
from typing import Final

# What the resource's type and CloudFormation's reason say together, and what to tell; the first that fits.
CAUSES: Final = (
    (r"dms-vpc-role.*(not configured|does not exist|not exist)|role arn:.*dms-vpc-role.*is not configured",
     "DMS does not find its role dms-vpc-role, or it is too new: run the same command again; if it stays, the role lacks "
     "the policy service-role/AmazonDMSVPCManagementRole"),
    (r"dms-(vpc|cloudwatch-logs)-role.*(already exists|in stack)|(already exists).*dms-(vpc|cloudwatch-logs)-role",
     "the account has the roles of DMS already: --set CreateDmsRoles=false"),
    (r"not authorized|AccessDenied|Access Denied|is not able to perform|explicit deny",
     "the credentials that deploy lack a right; docs/security.md lists what deploying needs"),
    (r"[Ll]imit ?Exceeded|[Qq]uota|maximum number of|has been reached|LimitExceeded|AddressLimit",
     "a quota of the account is used up: free some, or ask for more under Service Quotas"),
    (r"RedshiftServerless.*([Ss]ubnet|[Aa]vailability [Zz]one)",
     "Redshift Serverless wants private subnets in three zones that it supports: --set SubnetAzA=... SubnetAzB, SubnetAzC "
     "(its console shows the zones), or at least three ExistingSubnetIds"),
    (r"ReplicationSubnetGroup.*(coverage|[Aa]vailability [Zz]one)",
     "DMS wants subnets in two zones that it supports: choose others with SubnetAzA and SubnetAzB"),
    (r"(instance class|InstanceClass|instance type).*(not (available|supported|found)|unavailable|[Ii]nsufficient|[Ii]nvalid)"
     r"|InsufficientDBInstanceCapacity|InsufficientResourceCapacity|Cannot create a .*because supported",
     "the region or zone has no such instance at this time: --set DatabaseInstanceClass=... or DmsInstanceClass=..., or "
     "other zones"),
    (r"RDS.*([Cc]annot find (version|engine)|(version|engine).*(not found|[Ii]nvalid))"
     r"|ReplicationInstance.*(engine version|No replication engine)",
     "the region does not offer this version any more: --set MySQLVersion=... or DmsEngineVersion=..."),
    (r"(VPCEndpoint|vpce).*(does not exist|not supported|does not support the availability zone)",
     "the service has no endpoint in that zone: choose another SubnetAzA, or --set EgressMode=nat"),
    (r"(no route|route to|cannot reach|[Nn]etwork is unreachable|connect timed? ?out|Unable to connect)",
     "a subnet has no way to AWS's services: your own VPC needs the endpoints of docs/deploy.md, or NAT"),
    (r"already exists|AlreadyExists|already in use|EntityAlreadyExists|in use by another",
     "something of that name is there, perhaps left by an earlier stack: delete it, or choose another name with --stack"),
    (r"deletion protection|DeletionProtection|cannot delete protected",
     "the source database refuses to be deleted: deploy once with --set DatabaseDeletionProtection=false"),
    (r"ReplicationTask.*(running|InvalidResourceState|currently)",
     "DMS changes no task while it runs: `freshet status --aws` shows it; stop it, then run the same command again"),
    (r"(has a dependent object|DependencyViolation|network interface|has dependencies)",
     "something still uses it, often a job's network interface that AWS frees after some minutes: run the same "
     "command again later"),
    (r"BucketNotEmpty|bucket you tried to delete is not empty",
     "the bucket got new files meanwhile: run the same command again"),
    (r"[Tt]hrottl|Rate exceeded|timed out|did not stabilize|Internal ?(Failure|Error)|ServiceUnavailable",
     "AWS was slow or busy: run the same command again"),
)  # fmt: skip


def likely_cause(kind: str, reason: str) -> str | None:
    """Say what a resource's failure usually means.

    Args:
        kind: Type of the resource, such as AWS::RDS::DBInstance.
        reason: CloudFormation's.

    Returns:
        A likely cause with what to do, or None.
    """
    told = f"{kind} {reason}"
    return next((cause for pattern, cause in CAUSES if re.search(pattern, told, re.DOTALL)), None)
