"""metrics.json is what its published schema says."""

from __future__ import annotations

import copy
import json
import logging

import jsonschema
import pytest
from pydantic import ValidationError

from medkit.cli import main
from medkit.evaluation.results import Metrics, metrics_schema, written


@pytest.fixture(scope="module")
def metrics(breast_cancer_run):
    return breast_cancer_run.metrics


def test_a_run_is_as_its_schema_says(metrics):
    jsonschema.Draft202012Validator.check_schema(metrics_schema())
    jsonschema.validate(metrics, metrics_schema())
    assert written(metrics) == metrics


def test_other_keys_and_types_are_no_metrics(metrics):
    changed = copy.deepcopy(metrics)
    changed["test"]["metrics"]["auroc"]["hihg"] = 0.9
    with pytest.raises(ValidationError, match=r"test\.metrics\.auroc\.hihg"):
        Metrics.model_validate(changed)
    with pytest.raises(jsonschema.ValidationError, match="'hihg' was unexpected"):
        jsonschema.validate(changed, metrics_schema())


def test_a_run_is_not_lost_for_what_a_plug_in_adds(metrics, caplog):
    changed = {**metrics, "mood": "good"}
    with caplog.at_level(logging.WARNING, logger="medkit"):
        assert written(changed) == changed
    assert "in 1 places, such as mood: Extra inputs are not permitted" in caplog.text


def test_the_command_prints_it(capsys):
    assert main(["schema", "metrics"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(metrics_schema()))
