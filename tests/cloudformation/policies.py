"""What a role may do, and what a call needs: enough of IAM to hold one against the other."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# S3's actions are named for what is done, not for the call. Source: Service Authorization Reference, "Actions ... for Amazon S3".
S3_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "DeleteObjects": "s3:DeleteObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}


# Keys of a request that every call here is told with, where the request has them at all.
OF_REQUESTS: Final = frozenset({"s3:prefix", "cloudwatch:namespace", "kms:ViaService"})


@dataclass(frozen=True)
class Allowed:
    """One action that a statement allows."""

    sid: str
    action: str
    resources: tuple[str, ...]
    conditions: Mapping[str, Any]

    def covers(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        """Tell whether it allows an action on a resource."""
        return (
            fnmatch.fnmatchcase(action, self.action)
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in self.resources)
            and all(self._holds(operator, tests, context) for operator, tests in self.conditions.items())
        )

    @staticmethod
    def _holds(operator: str, tests: Mapping[str, Any], context: Mapping[str, str]) -> bool:
        """Judge StringEquals and StringLike: a key that the request has not does not fit; one that no test knows is taken to fit.

        Source: IAM User Guide, "IAM JSON policy elements: Condition operators" (without IfExists a missing key does not match).
        """
        assert operator in {"StringEquals", "StringLike", "ForAllValues:StringEquals"}, operator
        return all(
            key in context and any(fnmatch.fnmatchcase(context[key], wanted) for wanted in _listed(values))
            for key, values in tests.items()
            if key in context or key in OF_REQUESTS
        )


def action_of(call: Mapping[str, str]) -> str:
    """Name the action that IAM checks for a call."""
    service, operation = call["service"], call["operation"]
    if service == "s3":
        return S3_ACTIONS.get(operation, f"s3:{operation}")
    return f"{service}:{operation}"


def allowed_by(role: Mapping[str, Any], managed: Mapping[str, Any]) -> list[Allowed]:
    """List what a role allows, its managed policies included.

    Args:
        role: The resolved properties of an AWS::IAM::Role.
        managed: Resolved properties of the AWS::IAM::ManagedPolicy resources, by ARN.
    """
    documents = [policy["PolicyDocument"] for policy in role.get("Policies", ())]
    documents += [managed[arn]["PolicyDocument"] for arn in role.get("ManagedPolicyArns", ()) if arn in managed]
    return [allowed for document in documents for allowed in statements(document)]


def statements(document: Mapping[str, Any]) -> Iterator[Allowed]:
    """List what the Allow statements of a policy allow."""
    for statement in document["Statement"]:
        if statement["Effect"] == "Allow":
            for action in _listed(statement["Action"]):
                resources = tuple(_listed(statement.get("Resource", ())))
                yield Allowed(statement.get("Sid", ""), action, resources, statement.get("Condition", {}))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
