"""Survival after a heart attack, as it comes with scikit-survival."""

from __future__ import annotations

import numpy as np

from medkit.core.errors import DataError
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort
from medkit.datasets.builtin import whole_table

UNITS = {"age": "years", "bmi": "kg/m²", "diasbp": "mmHg", "sysbp": "mmHg", "hr": "bpm"}


@datasets.register(yields="tabular", targets=("time_to_event",), embedded=True, reader="table")
def whas500() -> Cohort:
    """Worcester Heart Attack Study: 500 patients, 13 variables at admission, days until death.

    Age (years), body mass index (kg/m²), blood pressure (mmHg) and heart rate (bpm) at admission,
    sex, history and kind of the infarction, complications. The length of stay is left out: at
    admission nobody knows it. 215 patients died during follow-up. One row is one patient.

    Source: Hosmer, Lemeshow and May, Applied Survival Analysis, 2008, by way of scikit-survival.

    Returns:
        A cohort of 500 samples with one ``tabular`` input; targets (500, 2), days and whether the
        patient died.

    Raises:
        DataError: scikit-survival is not installed.
    """
    try:
        from sksurv.datasets import load_whas500
    except ImportError as error:
        raise DataError(
            "comes with scikit-survival, which is not installed",
            place="dataset whas500",
            hint="pip install 'keras-medkit[survival]'",
        ) from error
    frame, outcome = load_whas500()
    frame = frame.drop(columns="los")
    texts = frame.select_dtypes("category").columns
    frame[texts] = frame[texts].astype(str).astype(object)
    return whole_table(
        frame,
        np.column_stack([outcome["lenfol"], outcome["fstat"]]).astype(float),
        ("days", "died"),
        "days until death from any cause, or censored",
        units=UNITS,
        attributes={"sex": frame["gender"].to_numpy()},
    )
