"""One sheet of an Excel workbook as a frame."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd
from medkit.core.limits import check_zip
from medkit.core.values import BLANK
from medkit.readers.values import numbers_if_all

EXCEL = (".xlsx", ".xlsm")


@dataclass(frozen=True)
class Sheet:
    """The cells below a sheet's first row, which has the names of the columns."""

    names: list[str]
    cells: pd.DataFrame

    def frame(self, text: Collection[str | None] = ()) -> pd.DataFrame:
        """The rows as a frame, empty cells missing; ``text``: columns kept as they are."""
        columns = {name: self.cells[i] for i, name in enumerate(self.names)}
        return pd.DataFrame(
            {
                name: cells if name in text else numbers_if_all(cells.infer_objects())
                for name, cells in columns.items()
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
    if importlib.util.find_spec("openpyxl") is None:
        raise DataError(
            "Excel files need the package openpyxl, which is not installed",
            place=str(path),
            hint="pip install 'keras-medkit[excel]', or save the sheet as CSV.",
        )
    check_zip(path)
    try:
        found = pd.read_excel(
            path, sheet_name=None, header=None, dtype=object, keep_default_na=False,
            na_values=list(BLANK), engine="openpyxl",
        )  # fmt: skip
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError) as error:
        raise DataError(
            "not a readable Excel workbook",
            place=str(path),
            hint="Is it protected by a password, or an older .xls file? Save it as .xlsx or CSV.",
        ) from error
    if sheet is not None and sheet not in found:
        raise DataError(
            f"no sheet called '{sheet}'{did_you_mean(sheet, found)}",
            place=str(path),
            hint=f"It has: {', '.join(found)}.",
        )
    # As in a text file, blank lines are no rows.
    filled = {
        name: cells.dropna(how="all").reset_index(drop=True)
        for name, cells in found.items()
        if sheet in (None, name)
    }
    filled = {name: cells for name, cells in filled.items() if len(cells)}
    if not filled:
        raise DataError("the sheet is empty" if sheet else "every sheet is empty", place=str(path))
    if len(filled) > 1:
        raise DataError(
            f"has {len(filled)} sheets with data: {', '.join(filled)}",
            place=str(path),
            hint=f'Name one in the dataset section: source.sheet: "{next(iter(filled))}".',
        )
    ((name, cells),) = filled.items()
    _refuse_uncomputed(path, name)
    names = ["" if pd.isna(cell) else str(cell).strip() for cell in cells.iloc[0]]
    if "" in names:
        raise DataError(
            f"column {names.index('') + 1} has no name in the sheet's first row",
            place=str(path),
            hint="One row of names, then one row a sample; no title above, no merged cells.",
        )
    return Sheet(names, cells.iloc[1:].reset_index(drop=True))


def _refuse_uncomputed(path: Path, sheet: str) -> None:
    """Formulas written by a program have no value until Excel has opened the file once.

    No reader of values says so: the cells would pass for missing ones.
    """
    import openpyxl

    with zipfile.ZipFile(path) as archive:
        parts = [n for n in archive.namelist() if n.startswith("xl/worksheets/")]
        if not any(b"<f" in archive.read(name) for name in parts):
            return
    both = [
        openpyxl.load_workbook(path, read_only=True, data_only=computed)[sheet]
        for computed in (True, False)
    ]
    for each in both:
        each.reset_dimensions()  # many programs write a wrong size into the file
    count = sum(
        value is None and str(given).startswith("=")
        for row, written in zip(*(each.values for each in both), strict=False)
        for value, given in zip(row, written, strict=False)
    )
    if count:
        raise DataError(
            f"{count} formulas of sheet '{sheet}' have no computed value",
            place=str(path),
            hint="Open it in Excel or LibreOffice and save it, or replace formulas by values.",
        )
