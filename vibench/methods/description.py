"""What a person wants to know of a method before using it: its switches, and what the papers print."""

from __future__ import annotations

import ast
import csv
import inspect
import textwrap
import types
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vibench.methods.recipe import recipe_dict, toml_value
from vibench.methods.recipe_file import SECTIONS, Sections
from vibench.methods.sections import Recipe

UNSET = "not set"
_TYPE_NAMES = {int: "whole number", float: "number", str: "text", bool: "true | false"}


@dataclass(frozen=True)
class Option:
    """One key of a recipe."""

    section: str
    key: str
    type: str
    """Its type in words, or its choices."""
    value: str
    """As TOML writes it; `UNSET` for a key that has no value unless it is given."""
    doc: str


@dataclass(frozen=True)
class PrintedResult:
    """One published row: what a paper prints for a method in one setting."""

    dataset: str
    setting: str
    """Search and shot, or direction."""
    metrics: dict[str, str]
    """Metric -> percent as printed; only what is printed."""
    source: str
    """Paper and table."""
    note: str


def recipe_options(recipe: Recipe) -> list[Option]:
    """Every key of a recipe but the loss weights, with its type, value and docstring."""
    tables = recipe_dict(recipe)
    options = []
    for section in SECTIONS:
        if section == "loss_weights":
            continue
        cls = type(getattr(recipe, section))
        hints, docs = get_type_hints(cls), _field_docs(cls)
        for part in fields(cls):
            doc = docs.get(part.name, "")
            value = toml_value(tables[section][part.name]) if part.name in tables[section] else UNSET
            options.append(Option(section, part.name, _type_name(hints[part.name]), value, doc))
    return options


def differences(sections: Sections) -> list[str]:
    """The keys that override tables set, as ``section.key = value``."""
    return [
        f"{section}.{key} = {toml_value(value)}" for section, table in sections.items() for key, value in table.items()
    ]


def printed_results(printed: str, folder: Path) -> list[PrintedResult]:
    """What the published tables in ``folder`` print for ``METHOD`` or ``METHOD/VARIANT``, one row per setting.

    Papers reprint one another's rows, rounded or in part; the fullest row of a setting is taken, the first of equals.
    Of several names, separated by commas, the rows follow one another.
    """
    return [row for name in printed.split(",") for row in _printed_results(name.strip(), folder)]


def _printed_results(printed: str, folder: Path) -> list[PrintedResult]:
    method, _, variant = printed.partition("/")
    fullest: dict[tuple[str, str], PrintedResult] = {}
    for name in ("results.csv", "ablations.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table):
                if (row["method"], row.get("variant") or "") != (method, variant):
                    continue
                result = _printed_result(row)
                place = (result.dataset, result.setting)
                if place not in fullest or _digits(result) > _digits(fullest[place]):
                    fullest[place] = result
    return list(fullest.values())


def _printed_result(row: dict[str, str]) -> PrintedResult:
    setting = row["direction"] or f"{row['search']} {row['shot']}-shot"
    metrics = {name: row[name] for name in ("r1", "r5", "r10", "r20", "map", "minp") if row[name]}
    return PrintedResult(row["dataset"], setting, metrics, f"{row['source']} {row['table']}", row["note"])


def _digits(result: PrintedResult) -> int:
    return sum(len(value) for value in result.metrics.values())


def _field_docs(cls: type) -> dict[str, str]:
    """Field name -> the text behind the field in the class body, base classes included."""
    docs: dict[str, str] = {}
    for part in reversed(cls.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(part))).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


def _type_name(kind: Any) -> str:
    if kind in _TYPE_NAMES:
        return _TYPE_NAMES[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " | ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(part) for part in arguments if part is not type(None))
    if origin is dict:
        return "table"
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"list of {len(arguments)} {_type_name(arguments[0])}s"
    if origin is tuple and get_origin(arguments[0]) is Literal:
        return f"list of choices from {_type_name(arguments[0])}"
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}s"
    return str(kind)
