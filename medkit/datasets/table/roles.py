"""What a table's columns are used for, found out from their names and values."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.datasets.table.columns import Roles
from medkit.datasets.table.times import as_time
from medkit.readers.values import is_text, numbers_if_all

log = logging.getLogger("medkit")

SUBJECT_NAME = re.compile(
    r"(^|_)(subject|patient|person|mrn|pid|participant|case)(_?(id|no|nr|number))?$"
)
# Of these no other meaning is known: what is called so is the patient, however many there are.
SURE_SUBJECT_NAME = re.compile(
    r"((^|_)(subject|patient|person|participant)_?(id|no|nr|number|identifier)|(^|_)mrn|"
    r"medical_record_(no|nr|number))$"
)
RECORD_NAME = re.compile(r"^record(_?id)?$")
ID_NAME = re.compile(r"(^|_)(id|ids|uid|uuid|mrn|record|index|row|no|nr|number|name|unnamed.*)$")
ROW_NAME = re.compile(r"^(unnamed.*|index|row(_?(no|nr|number|index))?)$")
SURE_ID_NAME = re.compile(r"(^|_)(id|ids|uid|uuid|guid|mrn|record|identifier)$")
# An id that may stand in a list of predictions: a name may not.
OWN_ID_NAME = re.compile(r"(^|_)(id|ids|uid|uuid|record|index|row|no|nr|number)$")
# From the name's beginning: the site of a tumour is none of a study.
SURE_SITE_NAME = re.compile(
    r"^(study_)?(site|hospital|cent(er|re)|institution|facility)(_?(id|name|no|nr|number|code))?$"
)
TIME_NAME = re.compile(r"(^|_)(date|time|datetime|timestamp|year|admitted|admission|visit_date)$")
SURE_TIME_NAME = re.compile(
    r"^((prediction|index|admission|admit|admitted|visit|encounter|exam|examination|sample|"
    r"sampling|study|chart)_?(date|time|datetime|timestamp)?|date|time|datetime|timestamp)$"
)
BIRTH_NAME = re.compile(r"(^|_)(dob|born|(date|year|day)_of_birth|birth_?(date|day|year))$")
GROUP_NAME = re.compile(r"^(sex|gender|race|ethnicity|ethnic_group)$")

MANY = 20


def folded(name: str) -> str:
    """``RecordID`` and ``record id`` as ``record_id``."""
    parted = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    return re.sub(r"[^a-z0-9]+", "_", parted).strip("_")


def are_dates(column: pd.Series) -> bool:
    """Whether a column's values, or nearly all of its texts, are dates."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    if not is_text(column):
        return False
    texts = column.dropna().astype("str").head(1000)
    if not texts.str.contains(r"\d[-/.:]\d", regex=True).mean() > 0.95:
        return False
    # Only whether they are dates, not which: day or month first is the same here.
    parsed = pd.to_datetime(texts, errors="coerce", format="mixed", dayfirst=True, utc=True)
    return bool(parsed.notna().mean() > 0.95)


def is_row_number(present: pd.Series, name: str) -> bool:
    """Whether numbers are different in every row and, by order or name, number the rows."""
    if len(present) < 10 or present.nunique() < len(present) or (present != present.round()).any():
        return False
    in_order = bool(present.is_monotonic_increasing and (present.diff().dropna() == 1).all())
    return in_order or bool(ID_NAME.search(folded(name)))


@dataclass
class FoundRoles:
    """Roles that columns have by their names and values.

    Attributes:
        roles: Those given and those found.
        ignored: Column -> why it is no input.
        by_name: Column -> role found for it, for the user.
    """

    roles: Roles
    ignored: dict[str, str] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, in words."""
        roles = [f"{name} ({role})" for name, role in self.by_name.items() if role != "attribute"]
        no_inputs = [f"{name} ({why})" for name, why in self.ignored.items()]
        notes = [f"roles by the columns' names: {', '.join(roles)}"] if roles else []
        return (*notes, *([f"no inputs, by name: {', '.join(no_inputs)}"] if no_inputs else []))

    def marked(self, columns: Mapping[str, str]) -> dict[str, str]:
        """Column -> role, those found by name marked as such."""
        why = {**dict.fromkeys(self.by_name, "by its name"), **self.ignored}
        return {n: f"{role}; {why[n]}" if n in why else role for n, role in columns.items()}


def candidates(
    names: Iterable[str], spoken_for: Collection[str], used: Collection[str]
) -> list[str]:
    """The columns whose role their names may tell.

    Args:
        names: All columns.
        spoken_for: Those of which the user has said what they are.
        used: Those that cannot be kept for subgroups too.
    """
    known = (SUBJECT_NAME, SURE_SUBJECT_NAME, RECORD_NAME, ROW_NAME, SURE_ID_NAME, SURE_SITE_NAME,
             SURE_TIME_NAME, BIRTH_NAME)  # fmt: skip
    return [
        name
        for name in names
        if (name not in spoken_for and any(p.search(folded(name)) for p in known))
        or (name not in used and GROUP_NAME.search(folded(name)))
    ]


def identifiers(names: Iterable[str]) -> list[str]:
    """Those of the columns that may identify: read as text, ``007`` stays ``007``."""
    known = (SUBJECT_NAME, SURE_SUBJECT_NAME, RECORD_NAME, SURE_ID_NAME)
    return [name for name in names if any(each.search(folded(name)) for each in known)]


def infer_roles(frame: pd.DataFrame, given: Roles, path: Path) -> FoundRoles:
    """Roles of the columns that the user has said nothing of; only what names say unmistakably.

    A column that identifies a patient or a row becomes the subject, the id or nothing, but never
    an input. With several columns for one role, of which each could be meant, none takes it, but
    for patients: the column with fewer of them keeps most rows together.

    Args:
        frame: The candidates' values.
        given: The roles that the user has named; these stay.
        path: For messages.
    """
    found = FoundRoles(given)
    kinds = {name: int(frame[name].nunique()) for name in frame.columns}
    unique = [n for n in kinds if kinds[n] == len(frame) >= 10]
    varied = [n for n in kinds if kinds[n] > 1]
    subjects = [n for n in varied if _is_sure_subject(n, kinds[n], frame[n])]
    ids = [n for n in varied if n not in subjects and _is_identifier(n, kinds[n], frame[n])]
    if given.subject is None and subjects:
        chosen = min(subjects, key=lambda n: kinds[n])
        # One row a patient: the patient's id is the sample's.
        role = "id" if chosen in unique and given.id is None else "subject"
        found.roles = _with(found.roles, role, chosen)
        found.by_name[chosen] = role
    own = [n for n in ids if n in unique and OWN_ID_NAME.search(folded(n))]
    if found.roles.id is None and own:
        found.roles = _with(found.roles, "id", own[0])
        found.by_name[own[0]] = "id"
    for name in (*subjects, *ids):
        if name not in found.by_name:
            found.ignored[name] = "an identifier"
    for name in varied:
        numeric = not is_text(frame[name]) or numbers_if_all(frame[name]) is not frame[name]
        settled = (*found.by_name, *found.ignored)
        if SURE_ID_NAME.search(folded(name)) and name not in settled and numeric:
            log.warning("column '%s' is called an id, but has few values: if they are codes, "
                        "columns.categorical: [%s]", name, name)  # fmt: skip
    for name in varied:
        if BIRTH_NAME.search(folded(name)) and are_dates(frame[name]):
            found.ignored[name] = "a date of birth; an age would be an input"
    rest = [n for n in varied if n not in found.by_name and n not in found.ignored]
    sites = [n for n in rest if _is_sure_site(n, kinds[n], len(frame))]
    times = [n for n in rest if _is_sure_time(frame[n], path)]
    for role, columns in (("site", sites), ("time", times)):
        if getattr(given, role) is None and len(columns) == 1:
            found.roles = _with(found.roles, role, columns[0])
            found.by_name[columns[0]] = role
    groups = tuple(n for n in rest if GROUP_NAME.search(folded(n)))
    found.roles = _with(found.roles, "attributes", (*given.attributes, *groups))
    found.by_name |= dict.fromkeys(groups, "attribute")
    return found


def _with(roles: Roles, role: str, columns: str | tuple[str, ...]) -> Roles:
    return roles.model_copy(update={role: columns})


def _is_sure_subject(name: str, kinds: int, column: pd.Series) -> bool:
    if are_dates(column):
        return False
    if SURE_SUBJECT_NAME.search(folded(name)):
        return True
    repeated = RECORD_NAME.search(folded(name)) and kinds < len(column)
    exact = folded(name) in ("patient", "subject", "participant", "pid") or bool(repeated)
    return exact and kinds > max(2, 0.05 * column.notna().sum())


def _is_identifier(name: str, kinds: int, column: pd.Series) -> bool:
    if are_dates(column):
        return False
    present = column.dropna()
    if SURE_ID_NAME.search(folded(name)) and not SURE_SITE_NAME.search(folded(name)):
        # Fewer are codes of something that many rows share: of a ward, of a drug.
        return kinds > max(MANY, 0.05 * len(present)) or kinds == len(column) >= 10
    numeric = not is_text(column) and pd.api.types.is_numeric_dtype(column)
    # Of other names the leakage gate judges, by the values.
    return bool(numeric and ROW_NAME.search(folded(name)) and is_row_number(present, name))


def _is_sure_site(name: str, kinds: int, count: int) -> bool:
    return bool(SURE_SITE_NAME.search(folded(name))) and kinds <= max(MANY, 0.05 * count)


def _is_sure_time(column: pd.Series, path: Path) -> bool:
    if not SURE_TIME_NAME.search(folded(str(column.name))) or not are_dates(column):
        return False
    try:
        as_time(column, path)
    except DataError:
        return False  # the user is asked which dates they are
    return True
