"""metrics.json is what its published schema says."""

from __future__ import annotations

import copy
import json
import logging

import jsonschema
import pytest
from pydantic import ValidationError

from medkit.cli import main
from medkit.evaluation import evaluate_part, evaluate_run, subgroup_metrics
from medkit.evaluation.calibration.calibration import calibration_of
from medkit.evaluation.decisions.decisions import decisions_of
from medkit.evaluation.groups.case_mix import table_one
from medkit.evaluation.groups.fairness import fairness_gaps
from medkit.evaluation.resampling.intervals import confidence_interval
from medkit.evaluation.resampling.paired import compare_outputs
from medkit.evaluation.results import check_metrics, metrics_adapter, metrics_schema
from medkit.evaluation.sample_size import sample_size
from medkit.evaluation.uncertainty.conformal import conformal_of
from medkit.evaluation.uncertainty.uncertainty import uncertainty_of
from medkit.workflows.assess import assess


@pytest.fixture(scope="module")
def metrics(breast_cancer_run):
    return breast_cancer_run.metrics


def test_a_run_is_as_its_schema_says(metrics):
    jsonschema.Draft202012Validator.check_schema(metrics_schema())
    jsonschema.validate(metrics, metrics_schema())


def test_other_keys_and_types_are_no_metrics(metrics):
    changed = copy.deepcopy(metrics)
    changed["test"]["metrics"]["auroc"]["hihg"] = 0.9
    with pytest.raises(ValidationError, match=r"test\.metrics\.auroc\.hihg"):
        metrics_adapter.validate_python(changed)
    with pytest.raises(jsonschema.ValidationError, match="'hihg' was unexpected"):
        jsonschema.validate(changed, metrics_schema())


def test_a_run_is_not_lost_for_what_a_plug_in_adds(metrics, caplog):
    changed = {**metrics, "mood": "good"}
    with caplog.at_level(logging.WARNING, logger="medkit"):
        check_metrics(changed)
    assert "in 1 places, such as mood: Extra inputs are not permitted" in caplog.text


@pytest.mark.parametrize(
    ("make", "made"),
    [
        (evaluate_run, "Evaluated"), (evaluate_part, "Measured"),
        (confidence_interval, "Bootstrapped"), (compare_outputs, "Comparison"),
        (calibration_of, "Calibration"), (decisions_of, "Decisions"),
        (conformal_of, "Conformal"), (uncertainty_of, "Uncertainty"),
        (fairness_gaps, "dict[str, Gaps]"), (table_one, "TableOne"),
        (subgroup_metrics, "dict[str, dict[str, GroupResult]]"),
        (sample_size, "SampleSize"), (assess, "Metrics"),
    ],
)  # fmt: skip
def test_what_is_measured_has_the_type_of_what_is_written(make, made):
    """A wrong key is mypy's to find where it is made, not the reader's."""
    assert make.__annotations__["return"] == made


def test_the_command_prints_it(capsys):
    assert main(["schema", "metrics"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(metrics_schema()))
