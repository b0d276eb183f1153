"""DATA as a table: the numeric columns of a CSV or Parquet file, under the names in its header."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.cli._content import first_bytes, refuse_pickle
from pellucid.cli._failures import Refusal

MISSING = {"", "na", "nan", "null", "none", "n/a"}


@dataclass(frozen=True)
class Table:
    """Numeric columns, and the label column as text.

    Attributes:
        names: The names of the numeric columns.
        columns: Their values, in the same order.
        labels: The label of each row as text, if a label column was asked for.
        notes: What was left out.
    """

    names: list[str]
    columns: list[list[float]]
    labels: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    def tensor(self) -> Tensor:
        """Return the rows as a float tensor (N, columns)."""
        return torch.tensor(self.columns, dtype=torch.float32).T.contiguous()


def load_table(path: Path, label: str | None) -> Table:
    """Read a CSV or Parquet file.

    Raises:
        Refusal: It is none, has no numeric column or no row, lacks the label column or some values.
    """
    first_bytes(path)
    refuse_pickle(path, "a CSV or Parquet file")
    names, columns = _read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else _read_csv(path)
    if not columns or not columns[0]:
        raise Refusal(f"DATA {path} holds no row.")
    labels = None
    if label is not None:
        if label not in names:
            raise Refusal(f"--label is {label!r}, but {path} has no such column. It has: {', '.join(names[:20])}.")
        place = names.index(label)
        labels = [_as_label(value) for value in columns.pop(place)]
        names.pop(place)
    return _numeric(path, names, columns, labels)


def _numeric(path: Path, names: list[str], columns: list[list[Any]], labels: list[str] | None) -> Table:
    kept: dict[str, list[float]] = {}
    dropped = []
    for name, column in zip(names, columns, strict=True):
        numbers = [_as_number(value) for value in column]
        if any(number is None for number in numbers):
            dropped.append(name)
            continue
        values = [number for number in numbers if number is not None]
        missing = next((row for row, value in enumerate(values) if not math.isfinite(value)), None)
        if missing is not None:
            raise Refusal(
                f"Column {name!r} of {path} has no finite value in row {missing}. Fill it or leave the row out."
            )
        kept[name] = values
    if not kept:
        raise Refusal(f"DATA {path} has no numeric column.")
    notes = [f"Left out, for they hold text: {', '.join(dropped)}."] if dropped else []
    return Table(list(kept), list(kept.values()), labels, notes)


def _as_number(value: Any) -> float | None:
    """Return a number, NaN for a missing value, None for text."""
    if value is None:
        return math.nan
    if isinstance(value, bool | int | float):
        return float(value)
    text = str(value).strip()
    if text.lower() in MISSING:
        return math.nan
    if text.lower() in {"true", "false"}:
        return float(text.lower() == "true")
    try:
        return float(text)
    except ValueError:
        return None


def _as_label(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value).strip()


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise Refusal(f"DATA {path} is no readable UTF-8 text, as a CSV file is.") from None
    if "\0" in text:
        raise Refusal(f"DATA {path} is no CSV file: it holds binary data.")
    start = text.partition("\n")[0]
    delimiter = max(",;\t", key=start.count)
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]
    except csv.Error as error:
        raise Refusal(f"DATA {path} cannot be read as CSV: {error}.") from None
    if not rows:
        raise Refusal(f"DATA {path} holds no row.")
    uneven = next((number for number, row in enumerate(rows, 1) if len(row) != len(rows[0])), None)
    if uneven is not None:
        raise Refusal(f"Line {uneven} of {path} has {len(rows[uneven - 1])} fields, but the first has {len(rows[0])}.")
    headless = all(_as_number(cell) is not None for cell in rows[0])
    names = [f"column {index}" for index in range(len(rows[0]))] if headless else [cell.strip() for cell in rows[0]]
    body = rows if headless else rows[1:]
    _refuse_doubles(path, names)
    return names, [list(column) for column in zip(*body, strict=True)]


def _read_parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415  (an extra)
    except ImportError:
        raise Refusal("Parquet files need pyarrow. Install it with: pip install 'pellucid[tables]'.") from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise Refusal(f"DATA {path} cannot be read as Parquet: {str(error).partition(chr(10))[0]}") from None
    names = [str(name) for name in table.column_names]
    _refuse_doubles(path, names)
    return names, [column.to_pylist() for column in table.columns]


def _refuse_doubles(path: Path, names: list[str]) -> None:
    double = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if double is not None:
        raise Refusal(f"DATA {path} has two columns {double!r}. Rename one.")
