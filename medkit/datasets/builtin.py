"""Real data that come with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, Feature, RawInput, Source
from medkit.datasets.synthetic.shared import age_band

DIABETES_UNITS = {
    "age": "years", "bmi": "kg/m²", "bp": "mmHg", "s1": "mg/dL", "s2": "mg/dL", "s3": "mg/dL",
    "s5": "ln(mg/dL)", "s6": "mg/dL",
}  # fmt: skip


@datasets.register(yields="tabular", targets=("yes_no", "class"), embedded=True, reader="table")
def breast_cancer() -> Cohort:
    """Wisconsin breast cancer: 569 masses, 30 measurements of cell nuclei, malignant or benign.

    Mean, standard error and worst value of ten properties of the nuclei in a fine-needle
    aspirate; scikit-learn gives no units. The target is the text ``malignant`` (212, the
    positive class: the last in alphabetical order) or ``benign`` (357). There is no column of
    patients: each row is taken as a patient of its own, as in the original, where every row has
    an id of its own.

    Source: Street, Wolberg, Mangasarian (1993), https://doi.org/10.1117/12.148698.

    Returns:
        A cohort of 569 samples with one ``tabular`` input of 30 numeric columns.
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    classes = np.array(["malignant", "benign"], dtype=object)
    return whole_table(
        data.data,
        classes[data.target.to_numpy()],
        ("diagnosis",),
        "malignant (positive) or benign mass, by biopsy",
        "scikit-learn's copy of the Wisconsin diagnostic data; no units and no patient column "
        "are given: each row is taken as one patient",
    )


@datasets.register(yields="tabular", targets=("number",), embedded=True, reader="table")
def diabetes() -> Cohort:
    """Diabetes progression after one year: 442 patients, 10 baseline variables.

    Age (years), sex (codes 1 and 2, whose meaning is not documented), body mass index (kg/m²),
    average blood pressure (mmHg), and from the serum: s1 total cholesterol, s2 LDL, s3 HDL and
    s6 glucose (mg/dL), s4 total cholesterol / HDL, s5 possibly the logarithm of triglycerides.
    Unlike scikit-learn's default the values are not scaled. Units of the serum measurements are
    not printed in the source; mg/dL is what their ranges say. The target is a score of disease
    progression from 25 to 346, without a unit. One row is one patient.

    Source: Efron, Hastie, Johnstone, Tibshirani (2004), https://doi.org/10.1214/009053604000000067.

    Returns:
        A cohort of 442 samples with one ``tabular`` input of 9 numeric columns and ``sex``;
        attributes ``sex`` and ``age_band``.
    """
    from sklearn.datasets import load_diabetes

    data = load_diabetes(as_frame=True, scaled=False)
    values = data.data.astype("float64")
    values["sex"] = [str(int(code)) for code in data.data["sex"]]
    values["sex"] = values["sex"].astype(object)
    return whole_table(
        values,
        data.target.to_numpy(dtype="float64"),
        ("progression",),
        "quantitative measure of disease progression one year after baseline",
        "scikit-learn's copy, not scaled; units of serum values are inferred from their ranges; "
        "the codes of sex (1, 2) are not documented",
        DIABETES_UNITS,
        {"sex": values["sex"].to_numpy(), "age_band": age_band(values["age"].to_numpy())},
    )


def whole_table(
    table: pd.DataFrame,
    targets: np.ndarray,
    names: tuple[str, ...],
    label: str,
    note: str = "",
    units: dict[str, str] | None = None,
    attributes: dict[str, Any] | None = None,
) -> Cohort:
    """A cohort of all rows: text columns are categories; ``attributes`` are for subgroups."""
    index = pd.RangeIndex(1, len(table) + 1, name="row")
    features = tuple(
        Feature(column, "categorical" if table[column].dtype == object else "numeric",
                (units or {}).get(column))
        for column in table.columns
    )  # fmt: skip
    return Cohort(
        samples=pd.DataFrame(attributes or {}, index=index),
        inputs={"tabular": RawInput("tabular", table.set_axis(index), features)},
        targets=targets,
        source=Source(rows_read=len(table), label=label, notes=(note,) if note else ()),
        target_names=names,
    )
