"""``.csv`` and ``.parquet``: one image a row, its features in numbered columns or in one column of lists."""

from __future__ import annotations

import contextlib
import csv
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from vibench.errors import UsageError, cited
from vibench.files.reading import is_utf16, read_bytes
from vibench.scoring.foreign.keys import known_key
from vibench.scoring.foreign.named import Budget, Named

LARGEST_TABLE = 4 << 30
"""Bytes: features of the largest data set as decimal numbers are one to two."""
_MOST_COLUMNS = 100_000
_LONGEST_LINE = 16 << 20
_NUMBERED = re.compile(r"(.*?)[_.\-]?([0-9]{1,6})")
_LIST = re.compile(r"\s*[\[(](.*)[\])]\s*", re.DOTALL)
_INSTALL = "pip install 'vibench[formats]'"


def read_csv(path: Path) -> Named:
    """The columns of a table of text, with a line of names above it or without; `UsageError` where it is none."""
    import pandas as pd

    try:
        content = read_bytes(path, LARGEST_TABLE)
        if is_utf16(content):
            content = content.decode("utf-16").encode()
        first = content[:_LONGEST_LINE].splitlines()[0].decode("utf-8-sig")
        separator = max(",;\t", key=first.count)
        spaced = separator not in first and len(first.split()) > 2
        cells = first.split() if spaced else next(csv.reader([first], delimiter=separator))
        if len(cells) > _MOST_COLUMNS:
            raise ValueError(f"it has {len(cells)} columns")
        if b"\0" in content:
            raise ValueError("it is no text")
        # pandas makes a column of each, however empty.
        Budget(len(content)).spend(len(cells) * 8 * (content.count(b"\n") + 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = pd.read_csv(
                BytesIO(content),
                sep=r"\s+" if spaced else separator,
                header=0 if _is_head(cells) else None,
                index_col=False,
                encoding="utf-8-sig",
                low_memory=False,
                skipinitialspace=True,
            )
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    except IndexError:
        raise UsageError(f"{path}: is an empty file; write it again.") from None
    except Exception as error:  # pandas and csv raise a dozen types
        said = " ".join(str(error).split())[:200]
        raise UsageError(f"{path}: is no readable table ({said}); write it again.") from None
    named = Named()
    columns: dict[str, np.ndarray] = {}
    for number, name in enumerate(frame.columns):
        column = frame.iloc[:, number]
        if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy()
        else:
            values = column.fillna("").astype(str).to_numpy(dtype=object)
        _add(named, columns, str(name), values, path)
    return _with_features(named, columns, path)


def read_parquet(path: Path) -> Named:
    """The columns of a Parquet file; `UsageError` where it is damaged or pyarrow is missing."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(f"{path}: is a Parquet file, which pyarrow reads: {_INSTALL}, or write a .csv.") from None
    named = Named()
    columns: dict[str, np.ndarray] = {}
    try:
        with pq.ParquetFile(path) as file:
            budget = Budget(path.stat().st_size)
            budget.spend(8 * file.metadata.num_rows * max(1, file.metadata.num_columns))
            if file.metadata.num_columns > _MOST_COLUMNS:
                raise ValueError(f"it has {file.metadata.num_columns} columns")
            table = file.read()
        budget.spend(table.nbytes)
        for name, chunked in zip(table.column_names, table.columns, strict=True):
            column = chunked.combine_chunks()
            if isinstance(column, pa.ChunkedArray):
                column = pa.concat_arrays(column.chunks) if column.num_chunks else column.type
            if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or _fixed(pa, column.type):
                flat = column.flatten().to_numpy(zero_copy_only=False)
                if len(column) == 0 or len(flat) % len(column) or column.null_count:
                    raise ValueError(f"the lists of its column {name} are of different lengths")
                named.add(name, flat.reshape(len(column), -1))
            else:
                _add(named, columns, name, column.to_numpy(zero_copy_only=False), path)
    except UsageError:
        raise
    except Exception as error:  # pyarrow raises almost anything on damaged bytes
        said = " ".join(str(error).split())[:200]
        raise UsageError(f"{path}: is no readable Parquet file ({said}); write it again.") from None
    return _with_features(named, columns, path)


def _fixed(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _is_head(cells: list[str]) -> bool:
    """Whether the first line names the columns: it holds no number, or a name that is known, or counts from 0."""
    words = [cell.strip() for cell in cells]
    if any(known_key(word) for word in words):
        return True
    if [word for word in words if word] == list(map(str, range(len([word for word in words if word])))):
        return len(words) > 1
    return not any(map(_is_number, words)) and not any("/" in word or "\\" in word for word in words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _add(named: Named, columns: dict[str, np.ndarray], name: str, values: np.ndarray, path: Path) -> None:
    """Keep a column: texts as texts, lists that were written as texts as rows of numbers."""
    if values.dtype.kind != "O":
        columns[name] = values
        return
    texts = ["" if value is None else value.decode() if isinstance(value, bytes) else str(value) for value in values]
    lists = [_LIST.fullmatch(text) for text in texts]
    if texts and all(lists):
        inner = [found[1] for found in lists if found is not None]
        if any("..." in text for text in inner):
            raise UsageError(
                f"{path}: the lists in its column {name} were cut ('...') when they were written; write one column per "
                "number."
            )
        with contextlib.suppress(ValueError):  # words may stand in brackets, too
            rows = [np.array(text.replace(",", " ").split(), dtype=np.float64) for text in inner]
            if len({len(row) for row in rows}) == 1:
                named.add(name, np.stack(rows))
                return
    if 4 * max(map(len, texts), default=0) * len(texts) > 100 * max(1 << 20, sum(map(len, texts))):
        named.unread[name] = "texts of too different lengths"
        return
    columns[name] = np.array(texts, dtype=np.str_)


def _with_features(named: Named, columns: Mapping[str, np.ndarray], path: Path) -> Named:
    """Columns that are numbered through, ``f0, f1, ...`` or ``0, 1, ...``, put together to one array."""
    groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, values in columns.items():
        match = _NUMBERED.fullmatch(name.strip())
        if match is not None and values.dtype.kind in "fiu":
            groups[match[1]].append((int(match[2]), name))
    taken = set()
    for prefix, members in groups.items():
        members.sort()
        numbers = [number for number, _ in members]
        if len(members) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            wanted = [columns[name] for _, name in members]
            odd = [name for (_, name), values in zip(members, wanted, strict=True) if _may_be_label(values)]
            if not prefix and 0 < len(odd) < len(members):
                raise UsageError(
                    f"{path}: column {cited(odd)} of {len(members)} numbered columns hold whole numbers, which may be "
                    "labels and no features; give the table a first line of names, such as path,pid,f0,f1."
                )
            kind = np.float32 if all(values.dtype == np.float32 for values in wanted) else np.float64
            named.add(
                prefix or f"{numbers[0]}-{numbers[-1]}", np.stack([values.astype(kind) for values in wanted], axis=1)
            )
            taken |= {name for _, name in members}
    for name, values in columns.items():
        if name not in taken:
            named.add(name, values)
    return named


def _may_be_label(values: np.ndarray) -> bool:
    """Whether a column holds nothing but whole numbers; one of zeros and ones is a feature that is off."""
    return values.dtype.kind in "iu" and not bool(np.isin(values, (0, 1)).all())
