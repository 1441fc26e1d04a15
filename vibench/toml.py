"""Strict reading of TOML: a file or table becomes a frozen dataclass, or one sentence says what is wrong with it.

Types understood in a dataclass: nested dataclasses, ``int``, ``float`` (whole numbers welcome), ``str``, ``bool``,
``Literal[...]``, ``tuple[X, ...]``, ``tuple[X, Y]``, ``dict[str, X]`` and ``X | None``.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vibench.errors import UsageError, suggestion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_SCALARS = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}


def read_toml(path: Path) -> dict[str, Any]:
    """The top table of a TOML file; `UsageError` where it is absent, unreadable or no TOML."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text, as a TOML file must be.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: is not valid TOML ({error}).") from None


def parse_table(cls: type[T], table: dict[str, Any], where: str) -> T:
    """Build the dataclass ``cls`` from a TOML table.

    ``where`` begins every message, such as ``protocols/sysu-all.toml`` or ``protocols/sysu-all.toml: [query]``.
    An unknown key, a missing field, a wrong type or a value outside a ``Literal`` is a `UsageError`, and so is a
    ``ValueError`` that the dataclass raises itself in ``__post_init__``.
    """
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            known = tuple(fields)
            raise UsageError(
                f"{where}: unknown key '{key}'{suggestion(key, known)}; the known keys are {', '.join(known)}."
            )
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _value(hints[name], table[name], where, name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UsageError(f"{where}: the key '{name}' is missing and must be {_expectation(hints[name])}.")
    try:
        return cls(**values)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def _value(kind: Any, value: Any, where: str, key: str) -> Any:
    """``value`` converted to the annotated type ``kind``."""
    if kind is Any:
        return value
    wrong = UsageError(f"{where}: '{key}' must be {_expectation(kind)}, not {_shown(value)}.")
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise wrong
        return parse_table(kind, value, _inside(where, key))  # type: ignore[arg-type]
    if kind in _SCALARS:
        # bool is a subclass of int in Python, not in TOML.
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not fits:
            raise wrong
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            choices = tuple(choice for choice in arguments if isinstance(choice, str))
            near = suggestion(value, choices) if isinstance(value, str) else ""
            raise UsageError(f"{where}: '{key}' must be {_expectation(kind)}, not {_shown(value)}{near}.")
        return value
    if origin in (Union, types.UnionType):
        # TOML has no null: None is only ever a default.
        return _value(_non_none(kind), value, where, key)
    if origin is tuple:
        if not isinstance(value, list):
            raise wrong
        if arguments[-1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        if len(value) != len(arguments):
            raise wrong
        pairs = zip(arguments, value, strict=True)
        return tuple(_value(part, item, where, f"{key}[{at}]") for at, (part, item) in enumerate(pairs))
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong
        inner = _inside(where, key)
        return {name: _value(arguments[1], item, inner, name) for name, item in value.items()}
    raise TypeError(f"{where}: no rule to read '{key}' as {kind}")


def _expectation(kind: Any) -> str:
    """What a value of the annotated type is called in a message."""
    if dataclasses.is_dataclass(kind):
        return "a table"
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        choices = [_shown(choice) for choice in arguments]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if origin in (Union, types.UnionType):
        return _expectation(_non_none(kind))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list, each entry {_expectation(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}: {', '.join(_expectation(part) for part in arguments)}"
    if origin is dict:
        return f"a table, each value {_expectation(arguments[1])}"
    return str(kind)


def _non_none(kind: Any) -> Any:
    return next(part for part in get_args(kind) if part is not type(None))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _inside(where: str, key: str) -> str:
    """The place of a table inside ``where``: ``file: [a]``, then ``file: [a.b]``."""
    return f"{where[:-1]}.{key}]" if where.endswith("]") else f"{where}: [{key}]"
