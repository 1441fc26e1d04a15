"""Strict reading of TOML: a file or table becomes a frozen dataclass, or one sentence says what is wrong with it.

Types understood in a dataclass: nested dataclasses, ``int``, ``float`` (whole numbers welcome), ``str``, ``bool``,
``Literal[...]``, ``tuple[X, ...]``, ``tuple[X, Y]``, ``dict[str, X]``, ``X | Y`` and ``X | None``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vibench.errors import UsageError, suggestion
from vibench.files.reading import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

LARGEST_TOML = 1 << 20
"""Bytes of a TOML file."""
_DEEPEST = 16
_MOST_ENTRIES = 100_000
_MOST_DOTS = 500
_TOO_DEEP = "its tables and lists are nested too deeply"
_LARGEST_NUMBER = 2**64
"""No whole number that is asked for is larger; seeds have 64 bits at most."""
_LONGEST_SHOWN = 200
"""Characters of a value that a message cites."""
_SCALARS = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}


def read_toml(path: Path) -> dict[str, Any]:
    """The top table of a TOML file; `UsageError` where it is absent, unreadable or no TOML."""
    return tables_of(path, toml_text(path))


def toml_text(path: Path) -> str:
    """What a TOML file holds; `UsageError` where it is absent, unreadable, too large or no text."""
    try:
        return read_text(path, largest=LARGEST_TOML)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text, as a TOML file must be.") from None
    except ValueError as error:
        raise UsageError(f"{path}: is not valid TOML ({error}).") from None


def tables_of(path: Path, text: str) -> dict[str, Any]:
    """The top table of the TOML file ``path``, which holds ``text``; `UsageError` where that is no TOML."""
    try:
        return parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{path}: is not valid TOML ({error}).") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The top table of a TOML text; `ValueError` for whatever is none, and for what is nested too deeply."""
    # Python's reader remembers every beginning of a dotted key: one of 20,000 parts takes gigabytes.
    if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        raise ValueError(f"a line of it has more than {_MOST_DOTS} dots")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    require_tree(table)
    return table


def require_tree(value: Any) -> None:
    """`ValueError` unless nested tables and lists are of a size that can be gone through.

    A pickle can hold lists that contain themselves, and few that stand for 10^30 entries.
    """
    entries = 0
    stack = [(value, 0)]
    while stack:
        value, depth = stack.pop()
        entries += 1
        if depth > _DEEPEST or entries > _MOST_ENTRIES:
            raise ValueError(_TOO_DEEP)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        stack += [(item, depth + 1) for item in inner]


def parse_table(cls: type[T], table: dict[str, Any], where: str) -> T:
    """Build the dataclass ``cls`` from a TOML table.

    ``where`` begins every message, such as ``protocols/sysu-all.toml`` or ``protocols/sysu-all.toml: [query]``.
    An unknown key, a missing field, a wrong type or a value outside a ``Literal`` is a `UsageError`, and so is a
    ``ValueError`` that the dataclass raises itself in ``__post_init__``.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{where}: must be a table, not {shown(table)}.")
    hints, fields = _fields(cls)  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            known = tuple(fields)
            raise UsageError(
                f"{where}: unknown key {shown(str(key))}{suggestion(str(key), known)}; the known keys are "
                f"{', '.join(known)}."
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


@cache
def _fields(cls: type) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    """Type and description of every field, by its name."""
    return get_type_hints(cls), {field.name: field for field in dataclasses.fields(cls)}


def _value(kind: Any, value: Any, where: str, key: str) -> Any:
    """``value`` converted to the annotated type ``kind``."""
    if kind is Any:
        return value

    def wrong() -> UsageError:
        return UsageError(f"{where}: '{key}' must be {_expectation(kind)}, not {shown(value)}.")

    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise wrong()
        return parse_table(kind, value, _inside(where, key))  # type: ignore[arg-type]
    if kind in _SCALARS:
        # bool is a subclass of int in Python, not in TOML.
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            fits = True
        if not fits:
            raise wrong()
        if kind is str or kind is bool:
            return value
        if not abs(value) <= (_LARGEST_NUMBER if isinstance(value, int) else sys.float_info.max):
            raise UsageError(
                f"{where}: '{key}' must be {_expectation(kind)} that is finite and in range, not {shown(value)}."
            )
        return kind(value)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            choices = tuple(choice for choice in arguments if isinstance(choice, str))
            near = suggestion(value, choices) if isinstance(value, str) else ""
            raise UsageError(f"{where}: '{key}' must be {_expectation(kind)}, not {shown(value)}{near}.")
        return value
    if origin in (Union, types.UnionType):
        parts = _non_none(kind)
        if len(parts) == 1:
            return _value(parts[0], value, where, key)
        for part in parts:
            with contextlib.suppress(UsageError):
                return _value(part, value, where, key)
        raise wrong()
    if origin is tuple:
        if not isinstance(value, list):
            raise wrong()
        if arguments[-1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        if len(value) != len(arguments):
            raise wrong()
        pairs = zip(arguments, value, strict=True)
        return tuple(_value(part, item, where, f"{key}[{at}]") for at, (part, item) in enumerate(pairs))
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong()
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
        choices = [shown(choice) for choice in arguments]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if origin in (Union, types.UnionType):
        return " or ".join(map(_expectation, _non_none(kind)))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list, each entry {_expectation(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}: {', '.join(_expectation(part) for part in arguments)}"
    if origin is dict:
        return f"a table, each value {_expectation(arguments[1])}"
    return str(kind)


def _non_none(kind: Any) -> tuple[Any, ...]:
    """The members of a union that TOML can hold; it has no null, so that None is only ever a default."""
    return tuple(part for part in get_args(kind) if part is not type(None))


def shown(value: Any) -> str:
    """A value as messages cite it: of bounded length, whatever it is."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python does not write whole numbers of more than some thousand digits.
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} ..."


def _inside(where: str, key: str) -> str:
    """The place of a table inside ``where``: ``file: [a]``, then ``file: [a.b]``."""
    return f"{where[:-1]}.{key}]" if where.endswith("]") else f"{where}: [{key}]"
