"""Descriptions and units of codes, where a MEDS extract brings them: ``metadata/codes.parquet``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medkit.core.lazy import pd
from medkit.readers.engines import arrow_types

# The standard names code, description and parent_codes; a unit is an addition some extracts make.
_UNITS = ("unit", "units", "unit_of_measure")


def described_codes(path: Path) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Description by code and unit by code, of those that have one; empty where there is no table.

    Args:
        path: The extract's folder, or its ``data`` folder.
    """
    found = [folder / "metadata" / "codes.parquet" for folder in (path, path.parent)]
    file = next((each for each in found if each.is_file()), None)
    if file is None:
        return {}, {}
    types = arrow_types(file)
    if types.get("code") != "text":
        return {}, {}
    wanted = [name for name in ("description", *_UNITS) if types.get(name) == "text"]
    table = pd.read_parquet(file, columns=["code", *wanted]).dropna(subset=["code"])
    reported: dict[str, dict[str, str]] = {}
    for name in wanted:
        pairs = zip(table["code"], table[name].fillna(""), strict=True)
        reported[name] = {str(code): str(text).strip() for code, text in pairs if str(text).strip()}
    unit = next((name for name in wanted if name in _UNITS), "")
    return reported.get("description", {}), reported.get(unit, {})


def shown(codes: Sequence[str], descriptions: Mapping[str, str]) -> str:
    """``LAB//50971 (Potassium), VITAL//HR``."""
    texts = ((code, descriptions.get(code)) for code in codes)
    return ", ".join(f"{code} ({text})" if text else code for code, text in texts)
