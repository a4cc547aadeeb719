"""docs/cost.md: its amounts follow from its own prices and formulas and the templates' defaults."""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from freshet.cli.context import ROOT
from freshet.deploy.templates import check_parameter
from freshet.pipeline.definition import load_definition
from streaming_job.metrics import METRICS
from streaming_job.running import STEP_OF
from tests.cloudformation.templates import resources, template

PAGE = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
PARAMETERS: Final = template("freshet")["Parameters"]
DEFAULTS: Final = {
    name: float(rule["Default"]) for name, rule in PARAMETERS.items() if rule["Type"] == "Number" and "Default" in rule
}
LOADS: Final = (0, 1, 2)
STEPS: Final = tuple(sorted({"read", "commit", *STEP_OF.values()}))
Row = list[str]
Change = Mapping[str, float]

CALCULATES: Final[dict[type[ast.AST], Callable[..., Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Gt: operator.gt,
}  # fmt: skip
FUNCTIONS: Final[dict[str, Callable[..., float]]] = {"max": max, "min": min, "ceil": math.ceil}


def table(page: str, first: str) -> list[Row]:
    """Give the rows of the table whose head begins with a word."""
    found = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert found, first
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def code(cell: str) -> str:
    """Give what stands between a cell's backticks."""
    found = re.search(r"`([^`]+)`", cell)
    assert found, cell
    return found[1]


def number(cell: str) -> float:
    """Read an amount."""
    return float(cell.strip("*").replace(",", ""))


def calculate(formula: str, known: Mapping[str, float]) -> float:
    """Compute a formula of the page."""

    def value(node: ast.AST) -> float:
        match node:
            case ast.Expression(body=body):
                return value(body)
            case ast.Constant(value=int() | float() as constant):
                return float(constant)
            case ast.Name(id=name):
                return known[name]
            case ast.BinOp(left=left, op=op, right=right):
                return float(CALCULATES[type(op)](value(left), value(right)))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return float(CALCULATES[type(op)](value(left), value(right)))
            case ast.Call(func=ast.Name(id=name), args=args):
                return float(FUNCTIONS[name](*map(value, args)))
        raise AssertionError(f"{formula}: {ast.dump(node)}")

    return value(ast.parse(formula, mode="eval"))


def names(formula: str) -> set[str]:
    """Give the names in a formula."""
    found = {node.id for node in ast.walk(ast.parse(formula, mode="eval")) if isinstance(node, ast.Name)}
    return found - FUNCTIONS.keys()


def known(page: str, load: int, change: Change | None = None) -> dict[str, float]:
    """Give all names and their values at a load; `change` replaces some."""
    changed = dict(change or {})
    values = {**DEFAULTS, **{code(row[0]): number(row[1]) for row in table(page, "Price")}}
    values |= {code(row[0]): number(row[1 + load]) for row in table(page, "Input")}
    values |= changed
    for row in table(page, "Follows"):
        name = code(row[0])
        values[name] = changed[name] if name in changed else calculate(code(row[1]), values)
    return values


def amounts(page: str, load: int, change: Change | None = None) -> dict[str, float]:
    """Compute each part of the bill."""
    values = known(page, load, change)
    return {row[0]: calculate(code(row[1]), values) for row in table(page, "Part") if "`" in row[1]}


def total(page: str, load: int, change: Change | None = None) -> float:
    """Compute the bill."""
    return sum(amounts(page, load, change).values())


def change_of(page: str, load: int, cell: str) -> dict[str, float]:
    """Compute what a row of advice replaces: `a = 1` `b = c + d`."""
    pairs = [pair.split(" = ") for pair in re.findall(r"`(\w+ = [^`]+)`", cell)]
    assert pairs, cell
    values = known(page, load)
    assert set() == {name for name, _ in pairs} - values.keys()
    return {name: calculate(formula, values) for name, formula in pairs}


def saved(page: str, load: int, row: Row) -> int:
    """Compute what a row of advice saves, or adds, in dollars."""
    sign = 1 if row in table(page, "Turn") else -1
    return round(sign * (total(page, load) - total(page, load, change_of(page, load, row[3]))))


def advice(page: str) -> list[Row]:
    """Give the rows of both tables of advice."""
    return [*table(page, "Turn"), *table(page, "Raise")]


def alternatives(page: str) -> list[Row]:
    """Give the rows of parts that would come instead of others."""
    return table(page, "Instead")


def wrong_amounts(page: str) -> list[str]:
    """Say which amounts of a page do not follow from its tables."""
    wrong = []
    for load in LOADS:
        computed = amounts(page, load) | {"**Total**": total(page, load)}
        shown = {row[0]: number(row[2 + load]) for row in table(page, "Part")}
        wrong += [f"{part} at {load}" for part in computed if round(computed[part], 2) != shown.get(part)]
        values = known(page, load)
        for row in alternatives(page):
            if round(calculate(code(row[1]), values), 2) != number(row[2 + load]):
                wrong.append(f"{row[0]} at {load}")
        for row in advice(page):
            if saved(page, load, row) != number(row[4 + load]):
                wrong.append(f"{row[0]} at {load}")
    return wrong


def test_every_amount_follows() -> None:
    """Parts, totals, alternatives, and what each piece of advice saves, to the cent or the dollar."""
    assert [] == wrong_amounts(PAGE)


@pytest.mark.parametrize("price", [code(row[0]) for row in table(PAGE, "Price")])
def test_another_price_would_be_seen(price: str) -> None:
    """No price is there for nothing: each moves an amount."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{price}` |")]
    _, name, _, *rest = line.split("|")
    assert wrong_amounts(PAGE.replace(line, "|".join(("", name, " 977 ", *rest))))


def test_every_name_of_a_formula_is_told() -> None:
    """It is a price, an input, follows from them, or is a parameter of the template with a number for a default."""
    formulas = [code(row[1]) for first in ("Follows", "Part", "Instead") for row in table(PAGE, first) if row[1]]
    used = set().union(*map(names, formulas))
    assert len(used) > 40
    assert set() == used - known(PAGE, 0).keys()
    assert {name for name in used if name[0].isupper()} == used & PARAMETERS.keys()


def test_another_default_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template's new default makes the page wrong until it is computed anew."""
    for parameter in (
        "WarehouseBaseCapacity",
        "MaxWorkers",
        "ShardCount",
        "DatabaseAllocatedStorage",
        "BinlogRetentionHours",
    ):
        monkeypatch.setitem(DEFAULTS, parameter, DEFAULTS[parameter] + 1)
        assert wrong_amounts(PAGE), parameter
        monkeypatch.undo()


@pytest.fixture
def default_freshness(tmp_path: Path) -> str:
    """What a pipeline has that says nothing of it."""
    (tmp_path / "select.sql").write_text("select o.id from orders as o")
    (tmp_path / "pipeline.yaml").write_text("target: public.orders\nkeys: [id]\n")
    return f"{load_definition(tmp_path).freshness_s:.0f}s"


def test_advice_names_parameters_with_their_defaults(default_freshness: str) -> None:
    """The parameter is the template's, its default is the one shown, and the template takes the other value."""
    assert len(advice(PAGE)) > 8
    for parameter, default, instead, *_ in advice(PAGE):
        name = code(parameter)
        if name == "freshness":
            assert code(default) == default_freshness
            continue
        assert name in PARAMETERS, name
        shown = code(default) if "`" in default else ""
        assert shown == str(PARAMETERS[name]["Default"]), name
        if "`" in instead:
            check_parameter(name, code(instead), PARAMETERS)


def test_every_parameter_of_the_text_exists() -> None:
    """A word in code that is written like a parameter is one."""
    words = set(re.findall(r"`([A-Z][A-Za-z]*[a-z][A-Z]\w*)`", PAGE))
    assert len(words) > 10
    assert set() == words - PARAMETERS.keys()


def test_prices_are_those_of_the_defaults() -> None:
    """The instance classes of the price table are the templates', and so is the worker's size."""
    told = {code(row[0]): row[2] for row in table(PAGE, "Price")}
    assert f"`{PARAMETERS['DmsInstanceClass']['Default']}`" in told["dms"]
    assert f"`{PARAMETERS['DatabaseInstanceClass']['Default']}`" in told["rds"]
    assert {"G.1X": 1.0}[PARAMETERS["WorkerType"]["Default"]] == known(PAGE, 0)["dpu"]
    assert ("endpoints", "false") == (PARAMETERS["EgressMode"]["Default"], PARAMETERS["DatabaseMultiAZ"]["Default"])
    assert 24 < PARAMETERS["StreamRetentionHours"]["Default"] <= 168
    assert re.search(r"As of \d{4}-\d{2}, us-east-1", PAGE)


def test_things_are_counted() -> None:
    """Endpoints, alarms, secrets and metrics are as many as the templates and the job have."""
    values = known(PAGE, 0)
    endpoints = [e for _, _, e in resources("AWS::EC2::VPCEndpoint") if e["VpcEndpointType"] == "Interface"]
    assert len(endpoints) == values["endpoints"]
    assert {1} == {len(endpoint["SubnetIds"]) for endpoint in endpoints}
    assert len(list(resources("AWS::CloudWatch::Alarm"))) == values["alarms"]
    assert len(list(resources("AWS::SecretsManager::Secret"))) == values["secrets"]
    assert len(METRICS) - 1 + len(STEPS) == values["metrics"]
    (dashboard,) = resources("AWS::CloudWatch::Dashboard")
    assert all(f'"Step", "{step}"' in str(dashboard) for step in STEPS)
    assert 1 == len(list(resources("AWS::KMS::Key")))
    shells = [
        job["MaxCapacity"] for _, _, job in resources("AWS::Glue::Job") if job["Command"].get("Name") == "pythonshell"
    ]
    assert {1 / 16} == set(shells)


def test_the_pipelines_freshness_is_the_default(default_freshness: str) -> None:
    """The page reckons with what a pipeline gets that says nothing."""
    assert {default_freshness} == {f"{known(PAGE, load)['freshness']:.0f}s" for load in LOADS}


def test_loads_are_the_columns() -> None:
    """1, 100 and 1,000 changes a second."""
    assert [1, 100, 1000] == [known(PAGE, load)["changes"] for load in LOADS]


def fill(page: str) -> str:
    """Give the page with its amounts computed anew."""
    lines = page.splitlines()

    def put(row: Row, first: int, cells: Sequence[str]) -> None:
        for number_of_line, line in enumerate(lines):
            if [cell.strip() for cell in line.strip("|").split("|")][:first] == row[:first]:
                lines[number_of_line] = "| " + " | ".join([*row[:first], *cells, *row[first + 3 :]]) + " |"

    for row in table(page, "Part"):
        sums = [amounts(page, load) | {"**Total**": total(page, load)} for load in LOADS]
        mark = "**" if "*" in row[0] else ""
        put(row, 2, [f"{mark}{each[row[0]]:,.2f}{mark}" for each in sums])
    for row in alternatives(page):
        put(row, 2, [f"{calculate(code(row[1]), known(page, load)):,.2f}" for load in LOADS])
    for row in advice(page):
        put(row, 4, [f"{saved(page, load, row):,}" for load in LOADS])
    return "\n".join(lines) + "\n"


def test_filling_the_page_changes_nothing() -> None:
    """After another price or default, `python -m tests.docs.test_cost_page` writes the amounts anew."""
    assert fill(PAGE) == PAGE


if __name__ == "__main__":
    (ROOT / "docs" / "cost.md").write_text(fill(PAGE), encoding="utf-8")
