"""Where a job's code calls AWS: the calls of boto3's clients, and the calls of functions from which one of those is made.

A branch that calls AWS has such a place in it. What is found is what can be told from the text alone: clients are called with
keywords, by the names of their operations. A generator is made at one place and runs at another, so who makes it is not asked.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

SERVICES = ("s3", "redshift-data", "secretsmanager", "kinesis", "cloudwatch", "dynamodb")
Function = tuple[str, str]


@dataclass(frozen=True)
class Site:
    """A place: file, function, first and last line, and what is called there.

    Attributes:
        operation: Whether an operation of AWS is called, and not a function of the job.
        pages: Whether its pages are asked for somewhere in the same function.
    """

    file: str
    function: str
    first: int
    last: int
    called: str
    operation: bool = False
    pages: bool = False

    def __str__(self) -> str:
        return f"{self.file} {self.function}: {self.called}"

    def was_at_work(self, call: Mapping[str, Any]) -> bool:
        """Tell whether a recorded call came through here."""
        if self.operation and self.called != xform_name(call["operation"]):
            return False
        return any(
            file == self.file and (self.first <= line <= self.last or (self.pages and function == self.function))
            for file, function, line in call["sites"]
        )


@cache
def operations() -> frozenset[str]:
    """Name the operations of the services as boto3 spells them."""
    session = botocore.session.get_session()
    return frozenset(xform_name(name) for each in SERVICES for name in session.get_service_model(each).operation_names)


def call_sites(files: Mapping[str, Path]) -> list[Site]:
    """Find all places of a job's files; names are what the recorder calls the files: `batch_jobs/load/listing.py`."""
    modules = {name: _Module(name, path) for name, path in files.items()}
    reaching = {
        (m.name, f) for m in modules.values() for f, body in m.functions.items() if any(_direct(m.name, f, body))
    }
    generators = {(m.name, f) for m in modules.values() for f, body in m.functions.items() if _yields(body)}
    while True:
        found = {
            (module.name, function)
            for module in modules.values()
            for function, body in module.functions.items()
            if any(callee in reaching - generators for _, callee in module.calls(body))
        }
        if found <= reaching:
            break
        reaching |= found
    sites = [site for m in modules.values() for f, body in m.functions.items() for site in _direct(m.name, f, body)]
    sites += [
        Site(module.name, function, call.lineno, call.end_lineno or call.lineno, callee[1])
        for module in modules.values()
        for function, body in module.functions.items()
        for call, callee in module.calls(body)
        if callee in reaching - generators
    ]
    return list(dict.fromkeys(sites))


class _Module:
    """One file: its functions, methods among them, and what its names mean."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, tree = name, ast.parse(path.read_text())
        self.functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.modules: dict[str, str] = {}
        self.names: dict[str, Function] = {}
        for node in ast.walk(tree):
            for alias in node.names if isinstance(node, ast.ImportFrom) and node.module else ():
                folder = node.module.replace(".", "/")  # type: ignore[union-attr]
                self.modules[alias.asname or alias.name] = f"{folder}/{alias.name}.py"
                self.names[alias.asname or alias.name] = (f"{folder}.py", alias.name)

    def calls(self, body: ast.FunctionDef) -> Iterator[tuple[ast.Call, Function]]:
        """Find the calls in a function whose callee is known; a name of its parameters may mean anything."""
        parameters = {each.arg for each in ast.walk(body.args) if isinstance(each, ast.arg)}
        for call in _own(body):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") in parameters:
                continue
            match call.func:
                case ast.Name(id=name) if name in self.functions:
                    yield call, (self.name, name)
                case ast.Name(id=name) if name in self.names:
                    yield call, self.names[name]
                case ast.Attribute(value=ast.Name(id="self"), attr=name) if name in self.functions:
                    yield call, (self.name, name)
                case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in self.modules:
                    yield call, (self.modules[owner], name)


def _direct(file: str, function: str, body: ast.FunctionDef) -> Iterator[Site]:
    """Find the calls of clients; the pages of a paginator are asked for wherever the function goes through them."""
    for call in _own(body):
        if not isinstance(call, ast.Call):
            continue
        last = call.end_lineno or call.lineno
        named = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if isinstance(call.func, ast.Attribute) and call.func.attr in operations() and call.keywords and not call.args:
            yield Site(file, function, call.lineno, last, call.func.attr, operation=True)
        elif isinstance(named, str) and named in operations():
            paginates = isinstance(call.func, ast.Attribute) and call.func.attr == "get_paginator"
            yield Site(file, function, call.lineno, last, named, operation=True, pages=paginates)


def _own(body: ast.FunctionDef) -> Iterator[ast.AST]:
    """Walk through a function, but not through those inside of it."""
    waiting: list[ast.AST] = list(ast.iter_child_nodes(body))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def _yields(body: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own(body))


def untaken(sites: Iterable[Site], calls: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the places through which no recorded call came."""
    return [str(site) for site in sites if not any(site.was_at_work(call) for call in calls)]
