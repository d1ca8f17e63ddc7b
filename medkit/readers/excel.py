"""One sheet of an Excel workbook as a frame."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd
from medkit.core.values import BLANK
from medkit.readers.values import numbers_if_all

EXCEL = (".xlsx", ".xlsm")


@dataclass(frozen=True)
class Sheet:
    """The cells of one sheet, its first row the names of the columns."""

    names: list[str]
    rows: list[tuple[Any, ...]]

    def frame(self, text: Collection[str | None] = ()) -> pd.DataFrame:
        """The rows as a frame, empty cells missing; ``text``: columns kept as they are."""
        width = len(self.names)
        rows = [[*row, *[None] * width][:width] for row in self.rows]
        cells: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) or [()] * width
        return pd.DataFrame(
            {
                name: _column(each, name in text)
                for name, each in zip(self.names, cells, strict=True)
            }
        )


def read_sheet(path: Path, sheet: str | None = None) -> Sheet:
    """One sheet of a workbook.

    Args:
        path: The workbook.
        sheet: The sheet's name; None: the only one that is not empty.

    Raises:
        DataError: openpyxl is not installed, the file is no workbook, the sheet is unknown or
            one of several, the header is incomplete, or formulas have no computed value.
    """
    rows = _rows(path, sheet)
    if not rows:
        raise DataError("the sheet is empty" if sheet else "every sheet is empty", place=str(path))
    width = max(i + 1 for row in rows for i, cell in enumerate(row) if cell is not None)
    names = ["" if cell is None else str(cell).strip() for cell in rows[0]]
    names = [*names, *[""] * width][:width]
    if "" in names:
        raise DataError(
            f"column {names.index('') + 1} has no name in the sheet's first row",
            place=str(path),
            hint="One row of names, then one row a sample; no title above, no merged cells.",
        )
    return Sheet(names, rows[1:])


def _column(cells: tuple[Any, ...], text: bool) -> pd.Series:
    plain = [None if isinstance(cell, str) and cell.strip() in BLANK else cell for cell in cells]
    values = pd.Series(plain, dtype=object)
    return values if text else numbers_if_all(values.infer_objects())


def _rows(path: Path, sheet: str | None) -> list[tuple[Any, ...]]:
    """The sheet's rows that are not empty."""
    if importlib.util.find_spec("openpyxl") is None:
        raise DataError(
            "Excel files need the package openpyxl, which is not installed",
            place=str(path),
            hint="pip install 'keras-medkit[excel]', or save the sheet as CSV.",
        )
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError) as error:
        raise DataError(
            "not a readable Excel workbook",
            place=str(path),
            hint="Is it protected by a password, or an older .xls file? Save it as .xlsx or CSV.",
        ) from error
    try:
        filled = {each.title: _filled(each) for each in book.worksheets if _wanted(each, sheet)}
    finally:
        book.close()
    if sheet is not None and not filled:
        names = [each.title for each in book.worksheets]
        raise DataError(
            f"no sheet called '{sheet}'{did_you_mean(sheet, names)}",
            place=str(path),
            hint=f"It has: {', '.join(names)}.",
        )
    filled = {name: rows for name, rows in filled.items() if rows}
    if len(filled) > 1:
        raise DataError(
            f"has {len(filled)} sheets with data: {', '.join(filled)}",
            place=str(path),
            hint=f'Name one in the dataset section: source.sheet: "{next(iter(filled))}".',
        )
    for name, rows in filled.items():
        _refuse_uncomputed(path, name, rows)
        return rows
    return []


def _wanted(sheet: Any, name: str | None) -> bool:
    return name is None or sheet.title == name


def _filled(sheet: Any) -> list[tuple[Any, ...]]:
    # Many programs write a wrong size into the file.
    sheet.reset_dimensions()
    rows = (tuple(row) for row in sheet.iter_rows(values_only=True))
    # As in a text file, blank lines are no rows.
    return [row for row in rows if any(cell is not None for cell in row)]


def _refuse_uncomputed(path: Path, sheet: str, rows: list[tuple[Any, ...]]) -> None:
    """Formulas written by a program have no value until Excel has opened the file once."""
    import openpyxl

    with zipfile.ZipFile(path) as archive:
        parts = [n for n in archive.namelist() if n.startswith("xl/worksheets/")]
        if not any(b"<f" in archive.read(name) for name in parts):
            return
    book = openpyxl.load_workbook(path, read_only=True)
    given = sum(cell is not None for row in _filled(book[sheet]) for cell in row)
    book.close()
    computed = sum(cell is not None for row in rows for cell in row)
    if computed < given:
        raise DataError(
            f"{given - computed} formulas of sheet '{sheet}' have no computed value",
            place=str(path),
            hint="Open it in Excel or LibreOffice and save it, or replace formulas by values.",
        )
