"""Arrays of Python objects that hold nothing but texts, such as a column of pandas: read without unpickling.

NumPy stores such an array as a pickle. A pickle is a program; this walks over its instructions (Python's
``pickletools``) and carries out those alone that put together texts, numbers, bytes, tuples and lists. A class or a
function that it names is noted as a name and never looked up.
"""

from __future__ import annotations

import pickletools
from io import BytesIO
from typing import Any

import numpy as np

_CONSTANTS = {
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
}
_SINGLES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
_OPAQUE = object()
"""What a name stands for, and what a call would give."""


def object_texts(pickled: bytes) -> np.ndarray:
    """The texts (N,) of a pickled array of objects; `ValueError` where it holds anything else."""
    try:
        states = _states(pickled)
    except (IndexError, KeyError, TypeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"it is damaged ({type(error).__name__})") from None
    # The state of an array: version, shape, type, Fortran order, values. That of its type comes before.
    lists = [state[4] for state in states if isinstance(state, tuple) and len(state) == 5]
    values = lists[-1] if lists else None
    if not isinstance(values, list) or not all(isinstance(value, str | bytes) for value in values):
        raise ValueError("it holds something else than texts")
    texts = [value if isinstance(value, str) else value.decode("utf-8", "replace") for value in values]
    if sum(map(len, texts)) < max(map(len, texts), default=0) * len(texts) // 100:
        raise ValueError("its texts are of too different lengths")
    return np.array(texts, dtype=np.str_)


def _states(pickled: bytes) -> list[Any]:
    """What the pickle gives to objects as their states, in its order."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    states = []

    def above_mark() -> list[Any]:
        at = len(stack) - 1
        while stack[at] is not _MARK:
            at -= 1
        taken = stack[at + 1 :]
        del stack[at:]
        return taken

    for code, argument, _ in pickletools.genops(BytesIO(pickled)):
        name = code.name
        if name in _CONSTANTS:
            stack.append(argument)
        elif name in _SINGLES:
            stack.append(_SINGLES[name])
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(above_mark()))
        elif name == "LIST":
            stack.append(above_mark())
        elif name in ("APPEND", "APPENDS"):
            values = [stack.pop()] if name == "APPEND" else above_mark()
            stack[-1].extend(values)
        elif name == "GLOBAL":
            stack.append(_OPAQUE)
        elif name in ("STACK_GLOBAL", "REDUCE"):
            stack[-2:] = [_OPAQUE]
        elif name == "BUILD":
            states.append(stack.pop())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "STOP":
            return states
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it holds something else than texts ({name})")
    raise ValueError("it is cut short")
