"""Write down the AWS calls of any Python process that is started with this folder on its PYTHONPATH, its children's too.

One JSON line a call in the file that FRESHET_TEST_CALLS names: service, operation, and the parameters that name a resource.
Python imports a module of this name by itself at its start; botocore's own events tell of each call.
"""

import json
import os
from typing import Any

import botocore.session

RESOURCE_NAMES = (
    "Bucket", "Key", "Prefix", "SecretId", "StreamARN", "StreamName", "WorkgroupName", "Namespace", "SecretArn", "Id",
    "TableName",
)  # fmt: skip
FILE = os.environ.get("FRESHET_TEST_CALLS", "")
_made = botocore.session.Session.__init__


def note(params: dict[str, Any], model: Any, **_rest: object) -> None:
    """Add a line; a line of less than a page is written at once, whatever other processes write."""
    call = {"service": model.service_model.service_name, "operation": model.name}
    call.update({name: params[name] for name in RESOURCE_NAMES if isinstance(params.get(name), str)})
    several = [{"Key": each["Key"]} for each in params.get("Delete", {}).get("Objects", ())]
    several += [{"TableName": table} for table in params.get("RequestItems", ())]
    with open(FILE, "a", encoding="utf-8") as file:  # noqa: PTH123 - as early as this, the fewer imports the better
        file.write("".join(json.dumps({**call, **each}) + "\n" for each in several or [{}]))


def made(self: botocore.session.Session, *args: Any, **named: Any) -> None:
    """Make a session that notes its calls."""
    _made(self, *args, **named)
    self.register("provide-client-params.*.*", note)


if FILE:
    botocore.session.Session.__init__ = made  # type: ignore[method-assign]
