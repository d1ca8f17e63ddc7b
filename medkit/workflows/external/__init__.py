"""A finished run on other data: predictions, external validation, recalibration."""

from medkit.workflows.external.evaluation import evaluate_run_on
from medkit.workflows.external.predictions import (
    check_output,
    dataset_of,
    files_of,
    predict_file,
    write_predictions,
)
from medkit.workflows.external.recalibrated import METHODS, recalibrate_run

__all__ = [
    "METHODS", "check_output", "dataset_of", "evaluate_run_on", "files_of", "predict_file",
    "recalibrate_run", "write_predictions",
]  # fmt: skip
