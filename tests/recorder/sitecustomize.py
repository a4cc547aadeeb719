"""Write down the AWS calls of any Python process that is started with this folder on its PYTHONPATH, its children's too.

One JSON line a call in the file that FRESHET_TEST_CALLS names: service, operation, parameters that name a resource, version of
botocore, the lines of the programs from which the call came. Another line tells the host that the call would have gone to, had
nobody named one. Python imports a module of this name by itself at its start; botocore is watched however often it is
imported.

With FRESHET_TEST_BOTO3_FIRST boto3 is imported before the program is, as AWS Glue's Python shell does.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

RESOURCE_NAMES = (
    "Bucket", "Key", "Prefix", "SecretId", "StreamARN", "StreamName", "WorkgroupName", "Namespace", "SecretArn", "Id",
    "TableName",
)  # fmt: skip
# Where the programs' own code lies, in the clone, in a wheel or unpacked from a bundle.
PROGRAMS = ("batch_jobs", "freshet", "streaming_job", "shop")
SCRIPTS = ("bootstrap.py", "python_shell.py", "initial.py", "incremental.py", "upsert.py")
CLONE = __file__.removesuffix("tests/recorder/sitecustomize.py")  # its folder may be called as one of the programs is
FILE = os.environ.get("FRESHET_TEST_CALLS", "")


def sites() -> list[list[Any]]:
    """Name the lines of the programs that are at work: file, function, line; the innermost one first."""
    frame, found = sys._getframe(1), []
    while frame := frame.f_back:  # type: ignore[assignment]
        parts = frame.f_code.co_filename.removeprefix(CLONE).split("/")
        at = max((parts.index(name) for name in PROGRAMS if name in parts), default=len(parts) - 1)
        if at < len(parts) - 1 or parts[-1] in SCRIPTS:
            found.append(["/".join(parts[at:]), frame.f_code.co_name, frame.f_lineno])
    return found


def note(params: dict[str, Any], model: Any, **_rest: object) -> None:
    """Add a line for a call; whatever other processes write, a file that is opened to append takes it whole."""
    import botocore

    call = {"service": model.service_model.service_name, "operation": model.name, "botocore": botocore.__version__}
    call.update({name: params[name] for name in RESOURCE_NAMES if isinstance(params.get(name), str)})
    several = [{"Key": each["Key"]} for each in params.get("Delete", {}).get("Objects", ())]
    several += [{"TableName": table} for table in params.get("RequestItems", ())]
    add({**call, "sites": sites()}, several or [{}])


def add(call: dict[str, Any], several: Sequence[dict[str, Any]] = ({},)) -> None:
    """Add lines."""
    with open(FILE, "a", encoding="utf-8") as file:  # noqa: PTH123 - as early as this, the fewer imports the better
        file.write("".join(json.dumps({**call, **each}) + "\n" for each in several))


def watch_session(module: ModuleType) -> None:
    """Make sessions that note their calls, and that know where the tests' AWS is even if they are of 2022."""
    made, create_client = module.Session.__init__, module.Session.create_client

    def note_calls(self: Any, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        if FILE:
            self.register("provide-client-params.*.*", note)

    def know_where(self: Any, service_name: str, *args: Any, **named: Any) -> Any:
        name = f"AWS_ENDPOINT_URL_{service_name.upper().replace('-', '_')}"
        url = os.environ.get(name) or os.environ.get("AWS_ENDPOINT_URL")
        return create_client(self, service_name, *args, **{**named, "endpoint_url": named.get("endpoint_url") or url})

    module.Session.__init__ = note_calls  # type: ignore[attr-defined]
    if before_endpoint_urls():
        module.Session.create_client = know_where  # type: ignore[attr-defined]


def before_endpoint_urls() -> bool:
    """Tell whether botocore is older than 1.31, the first to read AWS_ENDPOINT_URL."""
    import botocore

    return tuple(map(int, botocore.__version__.split(".")[:2])) < (1, 31)


def watch_regions(module: ModuleType) -> None:
    """Note the host that botocore's endpoint rules choose for a call, the tests' own address left out."""
    resolver = getattr(module, "EndpointRulesetResolver", None)
    if resolver is None or not FILE:
        return
    construct = resolver.construct_endpoint

    def construct_endpoint(self: Any, operation_model: Any, call_args: Any, request_context: Any) -> Any:
        rules = self._get_provider_params(operation_model, call_args, request_context)
        rules.pop("Endpoint", None)
        chosen = urlsplit(self._provider.resolve_endpoint(**rules).url).hostname
        add({"service": operation_model.service_model.service_name, "host": chosen})
        return construct(self, operation_model, call_args, request_context)

    resolver.construct_endpoint = construct_endpoint


WATCHED = {"botocore.session": watch_session, "botocore.regions": watch_regions}


class Watch(importlib.abc.MetaPathFinder):
    """Hands the modules that are watched to whoever watches them, as soon as they are imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find such a module where it is found anyway."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if name in WATCHED else None
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            WATCHED[name](module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Watch())
if os.environ.get("FRESHET_TEST_BOTO3_FIRST"):
    import boto3  # noqa: F401
