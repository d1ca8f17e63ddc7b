"""Real data that come with scikit-learn."""

from __future__ import annotations

import numpy as np

from medkit.cohort import Cohort, Feature, RawInput, Source
from medkit.registry import datasets


@datasets.register(yields="tabular", embedded=True, reader="table")
def breast_cancer() -> Cohort:
    """Wisconsin breast cancer: 569 patients, 30 measurements of cell nuclei, malignant or benign.

    Each row is another patient. Lengths are in pixels of the digitised fine-needle aspirate.
    Target: ``malignant`` (212, the positive class) or ``benign`` (357).

    Source: Street, Wolberg, Mangasarian (1993), https://doi.org/10.1117/12.148698.
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    return _cohort(data.data, np.where(data.target == 0, "malignant", "benign"), "diagnosis",
                   "malignant against benign, by biopsy", {})  # fmt: skip


def _cohort(table, targets, name, label, units) -> Cohort:  # type: ignore[no-untyped-def]
    import pandas as pd

    features = tuple(Feature(column, unit=units.get(column)) for column in table)
    return Cohort(
        samples=pd.DataFrame(index=pd.RangeIndex(1, len(table) + 1, name="sample")),
        inputs={"tabular": RawInput("tabular", table, features)},
        targets=np.asarray(targets),
        source=Source(rows_read=len(table), label=label),
        target_names=(name,),
    )
