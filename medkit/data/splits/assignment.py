"""The ways to divide a cohort: by subject, time, site, a given column or folds of subjects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd
from medkit.data.cohort import Cohort
from medkit.data.splits.strata import outcome_strata, shares

if TYPE_CHECKING:
    from medkit.config.experiment import Split

PARTS = ("train", "valid", "test")
DROPPED = len(PARTS)  # the code of a row in no part
NO_SUBJECT = "no subject column: every row is treated as its own patient"

_NAMES = {
    "train": 0, "training": 0, "valid": 1, "val": 1, "validation": 1, "test": 2, "testing": 2,
}  # fmt: skip


class Division:
    """What all ways to divide share: the subjects in an order of their own, notes, counts."""

    def __init__(self, cohort: Cohort, settings: Split, seed: int):
        self.cohort, self.settings = cohort, settings
        self.random = np.random.default_rng(seed)
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = []
        if "subject" not in cohort.samples:
            self.notes.append(NO_SUBJECT)
        # (n,) number of each row's subject. Subjects are numbered by a hash of their name, so
        # that neither the order of the rows nor that of the names decides who is tested.
        codes, names = pd.factorize(cohort.subjects)
        names = np.asarray(pd.Index(names).astype(str), dtype=object)
        rank = np.empty(len(names), dtype=np.int64)
        rank[np.argsort(pd.util.hash_array(names, categorize=False), kind="stable")] = np.arange(
            len(names)
        )
        self.subject = rank[codes]
        self.count = len(names)

    def drop(self, codes: np.ndarray, rows: np.ndarray, reason: str) -> None:
        """Take the rows of a mask out of their parts, and count them."""
        rows = rows & (codes != DROPPED)
        if rows.any():
            self.dropped[reason] = self.dropped.get(reason, 0) + int(rows.sum())
            codes[rows] = DROPPED

    def column(self, name: str, why: str) -> Any:
        """A column of the samples, or an error that names those there are."""
        samples = self.cohort.samples
        if name in samples:
            return samples[name]
        known = [str(each) for each in samples.columns if each != "subject"]
        near = did_you_mean(name, known)
        listed = f"; columns: {', '.join(known)}" if known else "; the samples have no attributes"
        raise DataError(
            f"{why} needs a column '{name}'{near or listed}",
            place="split",
            hint="Name it in the dataset section, so that it is kept as an attribute.",
        )

    def require_sites(self, asked: Sequence[str], present: Sequence[str], place: str) -> None:
        """Raise a DataError if a site does not occur."""
        for name in asked:
            if name not in present:
                near = did_you_mean(name, list(present)) or ";"
                text = f"no site called '{name}'{near} sites: {', '.join(present)}"
                raise DataError(text, place=place)

    def require_subjects(self, count: int, least: int, into: str, part: str) -> None:
        """Raise a DataError if there are fewer subjects than parts or folds."""
        if count < least:
            raise DataError(
                f"{count} {'subject' if count == 1 else 'subjects'} cannot be divided into {into}",
                place="split",
                hint=f"Each {part} needs one subject or more; check the subject column.",
            )

    def hold_out(self, among: np.ndarray, fractions: Mapping[int, float]) -> np.ndarray:
        """Part of each subject: (subjects,) with 0 (train) for those not held out.

        Args:
            among: (subjects,) mask of those to divide.
            fractions: Part (1 valid, 2 test) -> fraction of them.
        """
        candidates = np.flatnonzero(among)
        count = len(candidates)
        parts = "train and valid" if len(fractions) == 1 else "train, valid and test"
        self.require_subjects(count, len(fractions) + 1, parts, "part")
        # Half up, at least one; the small term keeps 0.15 x 10 from rounding down.
        wanted = {p: max(1, int(f * count + 0.5 + 1e-9)) for p, f in fractions.items()}
        if sum(wanted.values()) >= count:
            raise DataError(
                f"valid and test take all {count} subjects; the part 'train' is left without rows",
                place="split",
                hint="Make split.valid and split.test smaller.",
            )
        strata = self.strata(candidates, needed=len(fractions) + 1)
        shuffled = self.random.permutation(count)
        shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
        sizes = np.bincount(strata)
        starts = np.cumsum(sizes) - sizes
        chosen = np.zeros(self.count, dtype=np.int8)
        for part, total in sorted(wanted.items(), reverse=True):
            taken = shares(sizes, total)
            for start, share in zip(starts, taken, strict=True):
                chosen[candidates[shuffled[start : start + share]]] = part
            starts, sizes = starts + taken, sizes - taken
        return chosen

    def folds(self, among: np.ndarray, count: int) -> np.ndarray:
        """Fold of each subject: (subjects,) with 1 … ``count``, 0 for those not among them.

        Each stratum's subjects are dealt out in turn, the next stratum going on where the last
        one ended: neither the folds nor the strata in them differ by more than one subject.

        Args:
            among: (subjects,) mask of those to divide.
            count: Number of folds.
        """
        candidates = np.flatnonzero(among)
        self.require_subjects(len(candidates), count, f"{count} folds", "fold")
        strata = self.strata(candidates, needed=count)
        shuffled = self.random.permutation(len(candidates))
        shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
        fold = np.zeros(self.count, dtype=np.int64)
        fold[candidates[shuffled]] = 1 + np.arange(len(candidates)) % count
        return fold

    def strata(self, candidates: np.ndarray, needed: int) -> np.ndarray:
        """(candidates,) stratum of each, from the targets; one stratum where that cannot be."""
        one = np.zeros(len(candidates), dtype=np.int64)
        targets = self.cohort.targets
        if not self.settings.stratify or targets is None:
            return one
        labels = outcome_strata(targets, self.subject, self.count)[candidates]
        found, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        small = sizes < needed
        if small.any():
            kinds = "class or outcome" if small.sum() == 1 else "classes or outcomes"
            self.notes.append(
                f"{int(small.sum())} {kinds} with fewer than {needed} subjects could not be "
                "stratified"
            )
        # Those too rare to be in every part share one stratum.
        merged = np.where(small, 0, 1 + np.arange(len(found)))[labels]
        return np.unique(merged, return_inverse=True)[1]


def _by_subject(division: Division) -> np.ndarray:
    fractions = {1: division.settings.valid, 2: division.settings.test}
    return division.hold_out(np.ones(division.count, dtype=bool), fractions)[division.subject]


def _by_time(division: Division) -> np.ndarray:
    time = _as_numbers(division.column("time", "a split by time"))
    known = np.isfinite(time)
    first = np.full(division.count, np.inf)
    np.minimum.at(first, division.subject[known], time[known])
    ordered = np.sort(first[np.isfinite(first)])
    # Subjects that first appear at the same moment stay together: the cuts lie between moments.
    cuts = 1 + np.flatnonzero(np.diff(ordered))
    if len(cuts) < 2:
        moments = len(cuts) + bool(len(ordered))
        raise DataError(
            f"{moments} different first times cannot be divided into train, valid and test",
            place="split",
            hint="A split by time needs subjects that appear at three different times or more.",
        )
    settings = division.settings
    train = len(ordered) * (1 - settings.valid - settings.test)
    first_cut = int(np.argmin(np.abs(cuts[:-1] - train)))
    later = cuts[first_cut + 1 :]
    second = later[np.argmin(np.abs(later - len(ordered) * (1 - settings.test)))]
    valid_starts, test_starts = ordered[cuts[first_cut]], ordered[second]
    part = (first >= valid_starts).astype(np.int8) + (first >= test_starts)
    codes = part[division.subject]
    division.drop(codes, ~known, "no time")
    too_late = ((codes == 0) & (time >= valid_starts)) | ((codes == 1) & (time >= test_starts))
    division.drop(codes, too_late, "later than their subject's part")
    return codes


def _by_site(division: Division) -> np.ndarray:
    settings = division.settings
    column = division.column("site", "a split by site")
    known = column.notna().to_numpy()
    site, names = pd.factorize(column.astype(str))
    names = [str(name) for name in names]
    present = sorted({names[code] for code in np.unique(site[known])})
    division.require_sites((*settings.train_sites, *settings.test_sites), present, "split")
    if not settings.train_sites:
        raise DataError(
            f"a split by site needs split.train_sites; sites: {', '.join(present)}", place="split"
        )
    both = sorted(set(settings.train_sites) & set(settings.test_sites))
    if both:
        raise DataError(f"both a training and a test site: {', '.join(both)}", place="split")
    tested = settings.test_sites or tuple(s for s in present if s not in settings.train_sites)
    training = known & np.isin(site, [names.index(s) for s in settings.train_sites])
    testing = known & np.isin(site, [names.index(s) for s in tested])
    trained = np.bincount(division.subject[training], minlength=division.count) > 0
    codes = np.full(len(site), DROPPED, dtype=np.int8)
    held_out = division.hold_out(trained, {1: settings.valid})
    codes[training] = held_out[division.subject[training]]
    codes[testing] = 2
    division.drop(codes, testing & trained[division.subject], "subject also at a training site")
    for reason, rows in (("no site", ~known), ("other site", known & ~training & ~testing)):
        if rows.any():
            division.dropped[reason] = int(rows.sum())
    return codes


def _by_column(division: Division) -> np.ndarray:
    name = division.settings.column
    if not name:
        raise DataError("a split by column needs split.column", place="split")
    column = division.column(name, "a split by column")
    values, kinds = pd.factorize(column.astype(str).str.strip().str.lower())
    codes = np.array([_NAMES.get(str(kind), -1) for kind in kinds], dtype=np.int8)[values]
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        # The values themselves stay out of the message: the column may hold identifiers.
        raise DataError(
            f"{len(unknown)} rows of column '{name}' are neither train, valid nor test "
            f"(first at row {unknown[0] + 1})",
            place="split",
            hint="Known values: train, training, valid, val, validation, test, testing.",
        )
    pairs = np.unique(division.subject * len(PARTS) + codes) // len(PARTS)
    divided = int((np.bincount(pairs) > 1).sum())
    if divided:
        raise DataError(
            f"column '{name}' puts {divided} {'subject' if divided == 1 else 'subjects'} into more "
            "than one part",
            place="split",
            hint="Put all rows of a subject into one part; otherwise the test is not independent.",
        )
    if (codes == 0).any() and not (codes == 1).any():
        trained = np.bincount(division.subject[codes == 0], minlength=division.count) > 0
        chosen = division.hold_out(trained, {1: division.settings.valid})[division.subject]
        codes[(codes == 0) & (chosen == 1)] = 1
        division.notes.append(
            f"column '{name}' has no valid rows: {int((codes == 1).sum())} of its train rows "
            "taken for validation, by subject"
        )
    return codes


def _by_fold(division: Division) -> np.ndarray:
    settings = division.settings
    codes = np.zeros(len(division.subject), dtype=np.int8)
    if settings.sites:
        column = division.column("site", "split.sites").astype(str)
        division.require_sites(settings.sites, sorted(set(column)), "split.sites")
        division.drop(codes, ~column.isin(settings.sites).to_numpy(), "other site")
    among = np.bincount(division.subject[codes != DROPPED], minlength=division.count) > 0
    fold = division.folds(among, settings.folds)
    tested = fold == settings.fold
    chosen = division.hold_out(among & ~tested, {1: settings.valid})
    chosen[tested] = 2
    kept = codes != DROPPED
    codes[kept] = chosen[division.subject[kept]]
    return codes


WAYS: Mapping[str, Callable[[Division], np.ndarray]] = {
    "subject": _by_subject, "time": _by_time, "site": _by_site, "column": _by_column,
    "fold": _by_fold,
}  # fmt: skip


def _as_numbers(column: Any) -> np.ndarray:
    """(n,) times as float; NaN where missing. Numbers, dates, or text that is ISO 8601."""
    missing = column.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(column):
        return np.where(missing, np.nan, column.astype(float).to_numpy())
    times = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    wrong = np.flatnonzero(times.isna().to_numpy() & ~missing)
    if len(wrong):
        raise DataError(
            f"column 'time' holds neither numbers nor dates in {len(wrong)} of {len(times)} rows "
            f"(first at row {wrong[0] + 1})",
            place="split",
            hint="Write dates as 2024-05-31 or 2024-05-31T13:45 (ISO 8601), or as numbers.",
        )
    return (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy()
