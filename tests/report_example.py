"""A run to write reports of, with every block that a run may have."""

import numpy as np
import pandas as pd

from medkit.config.experiment import Evaluation
from medkit.core.registry import tasks
from medkit.data.cohort import Feature, Source
from medkit.evaluation.groups.subgroups import subgroup_metrics
from medkit.evaluation.notes import with_notes
from medkit.evaluation.part_metrics import measure
from medkit.evaluation.rows import EvaluatedRows
from medkit.evaluation.sample_size import sample_size
from medkit.modalities.tabular import Tabular
from medkit.report import ReportInputs

ROWS = {"train": slice(0, 160), "valid": slice(160, 220), "test": slice(220, 300)}
CONFIG = """\
name: example  # <script>alert(1)</script>
seed: 7
calibration: platt
dataset: {name: table, target: {column: died}}
preprocessing: {name: tabular, missing: median, indicators: true, standardize: true}
task: {name: binary, threshold: youden, fixed_threshold: null}
split: {by: subject, valid: 0.2, test: 0.25}
model: {name: mlp, hidden_units: [64, 32], dropout: 0.2}
training:
  epochs: 100
  optimizer: {name: adam, learning_rate: 0.001}
  early_stopping: {monitor: auprc, patience: 20}
  class_weight: balanced
evaluation: {bootstrap: 1000, confidence: 0.95, subgroups: [sex], prevalence: 0.1}
"""


def example(kind, **more):
    """Inputs of a report, with the metrics that every run has; ``metrics`` may be added to."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 4))
    noisy = x + random.normal(size=x.shape)
    targets = {
        "binary": np.where(noisy[:, 0] > 0.5, "malignant", "benign"),
        "regression": 120 + 10 * noisy[:, :1],
        "multiclass": np.array(["N", "EI", "IE"])[np.digitize(noisy[:, 0], [-0.7, 0.7])],
        "multilabel": (noisy[:, :3] > 0.3).astype(int),
    }[kind]
    names = {"multilabel": ["edema", "<effusion>", "mass"], "regression": ["pressure (mmHg)"]}
    task = tasks.build(kind, **({"positive": "malignant"} if kind == "binary" else {}))
    task.fit(targets, names.get(kind, []))
    y = task.encode(targets)
    p = random.dirichlet(np.ones(max(task.num_outputs, 2)), size=300)[:, : task.num_outputs]
    p = 120 + 9 * x[:, :1] if kind == "regression" else p
    settings = Evaluation(bootstrap=50, subgroups=("sex",))
    threshold = task.choose_threshold(y[ROWS["valid"]], p[ROWS["valid"]])
    subjects = np.arange(300)
    metrics = {}
    for name, rows in ROWS.items():
        found, _ = measure(
            EvaluatedRows(task, y[rows], p[rows], subjects[rows], threshold, settings, 0)
        )
        metrics[name] = with_notes(found, task)
    rows = ROWS["test"]
    samples = pd.DataFrame({"sex": np.where(x[rows, 1] > 0, "F", "M")})
    samples.loc[:2, "sex"] = "X"
    metrics["subgroups"] = subgroup_metrics(
        EvaluatedRows(task, y[rows], p[rows], subjects[rows], threshold, settings, 0, samples)
    )
    worse, _ = measure(
        EvaluatedRows(task, y[rows], p[::-1][rows], subjects[rows], threshold, settings, 0)
    )
    main = next(iter(metrics["test"]["metrics"]))
    metrics["baselines"] = {
        "gradient_boosting": {
            **worse,
            "difference": {"metric": main, "value": -0.01, "low": -0.05, "high": 0.02},
        }
    }
    metrics["flow"] = {
        "rows_read": 305,
        "dropped": {"missing target": 5},
        "parts": {},
        "notes": ["no subject column: every row is treated as its own patient"],
    }
    curve = np.linspace(1, 0.2, 12).tolist()
    given = {
        "name": f"{kind} <example>",
        "task": task,
        "metrics": metrics,
        "history": {"loss": curve, "val_loss": curve, "auprc": curve, "val_auprc": curve},
        "predictions": {name: (y[rows], p[rows]) for name, rows in ROWS.items()},
        "source": Source({"data.csv": "ab" * 32}, 305, label="malignant by biopsy"),
        "features": (Feature("heart rate", unit="bpm", low=20, high=300), Feature("sex")),
        "environment": {
            "python": "3.12", "backend": "jax", "git_commit": None, "versions": {"keras": "3.15"},
            "data_sha256": {}, "stages": {"fit": {"seconds": 1.5, "peak_memory_mib": 900}},
        },
        "preparation": {"tabular": Tabular().preparation()},
        "config": CONFIG,
        "model": "mlp",
    }  # fmt: skip
    return ReportInputs(**(given | more))


def full(kind, **more):
    """The same with every optional block, in the shapes that their modules describe."""
    inputs = example(kind, **more)
    metrics, test = inputs.metrics, inputs.metrics["test"]
    metrics["table_one"] = TABLE_ONE
    metrics["leakage"] = LEAKAGE
    metrics["explanations"] = {**EXPLANATIONS}
    names = [each.name for outcome in inputs.outcomes for each in outcome.one_by_one()]
    if kind == "regression":
        test["calibration"] = {"kind": kind, "per_output": {names[0]: AGREEMENT}}
    else:
        several = {"multilabel": "per_label", "multiclass": "per_class"}.get(kind)

        def each(block):
            return {several: dict.fromkeys(names, block)} if several else block

        block = each(BLOCK) | ({"top_label": BLOCK} if kind == "multiclass" else {})
        state = {"kind": "platt", "asked": "platt", "rows": 60, "warning": "few <events>"}
        test["calibration"] = {"kind": kind, **block, "before": block, "recalibration": state}
        test["decisions"] = {"kind": kind, **each(
            {"curve": POINTS["curve"]} if kind == "multiclass" else POINTS)}  # fmt: skip
    test["uncertainty"] = uncertainty(kind)
    metrics["fairness"] = {"sex": {"reference": "F", "tests": 2, "suppressed": {"X": "too few"}, **(
        {"gaps": GAPS} if kind == "binary" else {"per_label": {"edema": GAPS}})}}  # fmt: skip
    for baseline in metrics["baselines"].values():
        main = next(iter(test["metrics"]))
        baseline["comparison"] = {
            "metrics": {main: {"difference": -0.01, "low": -0.05, "high": 0.02, "p": 0.4}},
            "mcnemar": {"only_a": 3, "only_b": 5, "method": "mid-p", "p": 0.0004},
        }
    y, p = inputs.predictions["train"][0], inputs.predictions["test"]
    metrics["sample_size"] = sample_size(inputs.task, y, ["age", "sex = F", "sex = M"], p, 4187)
    hashed = {name: [f"{name}{i:012d}" for i in range(len(y))]
              for name, (y, _) in inputs.predictions.items()}  # fmt: skip
    object.__setattr__(inputs, "hashed", hashed)
    object.__setattr__(inputs, "weights", 4187)
    return inputs


def measured(value, spread=0.1):
    return {"value": value, "low": value - spread, "high": value + spread}


NONE = {"value": None, "low": None, "high": None, "not_estimable": "only 3 <events>"}
POINT = {
    "sensitivity": measured(0.8), "specificity": measured(0.9), "ppv": measured(0.7),
    "npv": measured(0.9), "alerts_per_100": measured(30.0, 5), "net_benefit": measured(0.2),
    "at_prevalence": {"prevalence": 0.1, "ppv": measured(0.4), "npv": measured(0.95),
                      "alerts_per_100": measured(12.0, 2)},
}  # fmt: skip
POINTS = {
    "resamples": 1000,
    "curve": {
        "thresholds": [0.1, 0.5, 0.9], "model": [0.3, 0.2, None], "low": [0.2, 0.1, None],
        "high": [0.4, 0.3, None], "treat_all": [0.2, -0.3, -4.0], "treat_none": [0.0, 0.0, 0.0],
        "useful": [[0.1, 0.5]],
    },
    "operating_points": [
        {"name": "in_use", "rule": "in use", "threshold": 0.4, **POINT},
        {"name": "youden", "rule": "…", "threshold": 0.4, **POINT},
        {"name": "sensitivity_0.9", "rule": "…", "threshold": 0.2,
         **{**POINT, "npv": NONE}},
        {"name": "specificity_0.9", "rule": "…", "threshold": None, "not_estimable": "too few"},
    ],
    "notes": ["few events"],
}  # fmt: skip
CURVE = {"predicted": [0.1, 0.5, 0.9], "observed": [0.2, 0.4, None], "low": [0.1, 0.3, None],
         "high": [0.3, 0.5, None]}  # fmt: skip
BLOCK = {
    "n": 80, "subjects": 80, "positives": 30, "resamples": 1000,
    "metrics": {
        "in_the_large": measured(0.1), "observed_expected": measured(1.1), "intercept": NONE,
        "slope": measured(0.7), "brier": measured(0.2), "ece": measured(0.15),
    },
    "bins": [{"n": 40, "predicted": 0.2, "observed": 0.25, "low": 0.1, "high": 0.4},
             {"n": 40, "predicted": 0.8, "observed": 0.7, "low": 0.6, "high": 0.9}],
    "curve": CURVE,
    "histogram": {"edges": np.linspace(0, 1, 21).tolist(), "positives": [1] * 20,
                  "negatives": [3] * 20},
    "notes": ["the slope is unsure"],
}  # fmt: skip
AGREEMENT = {
    "metrics": {"bias": measured(0.5), "sd": measured(11.0), "lower_limit": measured(-21.0),
                "upper_limit": measured(22.0), "slope": measured(0.9), "intercept": NONE},
    "curve": {each: [110, 120, 130] for each in ("predicted", "observed", "low", "high")},
}  # fmt: skip
GAPS = {
    "M": {
        "equal_opportunity": {**measured(-0.12), "p": 0.01, "p_holm": 0.02},
        "predictive_parity": {**NONE, "p": None, "p_holm": None},
    }
}
TABLE_ONE = {
    "parts": {name: {"n": n, "subjects": n} for name, n in (("train", 160), ("test", 80))},
    "minimum_group": 10,
    "rows": [
        {"name": "heart rate", "role": "input", "kind": "numeric", "unit": "bpm",
         "parts": {
             "train": {"n": 150, "missing": 10, "mean": 80.25, "sd": 9.8, "median": 79.0,
                       "q1": 72.0, "q3": 88.0},
             "test": {"n": 7, "missing": None, "suppressed": "fewer than 10 subjects"}}},
        {"name": "sex", "role": "attribute", "kind": "categorical", "unit": None,
         "parts": {"train": {"n": 160, "missing": 0, "counts": {"F": 40, "M": 120}},
                   "test": {"n": 80, "missing": 0, "counts": {"F": None, "M": 72}}}},
    ],
    "notes": ["the first 100 of 300 input features are shown"],
}  # fmt: skip
LEAKAGE = {
    "checked": ["subject_overlap", "duplicates", "copied_target", "predictive_feature"],
    "findings": [
        {"name": "same_period", "severity": "warn", "what": "train and test are of one period",
         "where": "train and test", "count": 1, "why": "practice changes",
         "remedy": "Split by time.", "waived": None},
        {"name": "duplicates", "severity": "fail", "what": "12 of 80 test rows are copies",
         "where": "train and test", "count": 12, "why": "they are remembered",
         "remedy": "Drop them.", "waived": "twins <both kept>"},
    ],
    "notes": ["200 of 300 rows were looked at"],
}  # fmt: skip
EXPLANATIONS = {
    "importance": {
        "metric": "auroc", "value": 0.9, "rows": 80, "repeats": 5, "method": "permutation",
        "features": [{"name": "age", "unit": "years", "mean": 0.1, "sd": 0.01, "low": 0.05,
                      "high": 0.2},
                     {"name": "sex <f>", "unit": None, "mean": -0.01, "sd": None, "low": None,
                      "high": None}],
    },
    "dependence": [
        {"feature": "age", "unit": "years", "kind": "numeric", "output": None,
         "grid": [20.0, 50.0, 80.0], "partial": [0.1, 0.2, 0.6], "ale": [-0.2, 0.0, 0.2]},
        {"feature": "sex <f>", "unit": None, "kind": "categorical", "output": "N",
         "grid": ["F", "M"], "partial": [0.2, 0.3], "ale": None,
         "note": "no effects of categories"},
    ],
}  # fmt: skip


def uncertainty(kind):
    group = {"n": 80, "subjects": 80, "coverage": measured(0.88, 0.05)}
    if kind == "regression":
        entropy = {"not_estimable": "one network's number does not say how certain it is"}
        output = {"quantile": 19.1, "overall": {**group, "width": 38.2}, "expected": None}
        return {"entropy": entropy, "abstention": entropy, "conformal": {
            "method": "absolute_residual", "coverage": 0.9, "note": "calibrated on validation",
            "calibration": {"part": "valid", "n": 60, "subjects": 60},
            "outputs": {"target": output}}}  # fmt: skip
    group |= {"size": measured(1.2), "empty": measured(0.0, 0.0), "single": measured(0.8),
              "full": measured(0.2)}  # fmt: skip
    spread = {"mean": measured(0.4), "quartiles": [0.2, 0.4, 0.5],
              "correct": {"n": 60, "mean": measured(0.3)},
              "incorrect": {"n": 20, "mean": measured(0.5)}, "auroc": measured(0.7)}  # fmt: skip
    return {
        "conformal": {
            "method": "lac", "coverage": 0.9, "note": "calibrated on validation",
            "calibration": {"part": "valid", "n": 60, "subjects": 60},
            "outputs": {"target": {
                "quantile": 0.3, "overall": group, "expected": {"low": 0.83, "high": 0.96},
                "by_class": {"malignant": group},
                "subgroups": {"sex": {"X": {"suppressed": "fewer than 10 subjects"}}}}},
        },
        "entropy": {"unit": "nats", "maximum": 0.693, "network": {"predictive_entropy": spread},
                    "ensemble": {"count": 5, "mutual_information": spread},
                    "monte_carlo_dropout": {"count": 20, "not_estimable": "no dropout layer"}},
        "abstention": {
            "certainty": "largest probability", "source": "network", "metric": "error",
            "curve": {"retained": [1.0, 0.5, 0.1],
                      **{name: {"value": [0.2, 0.1, 0.0], "low": [0.1, 0.0, None],
                                "high": [0.3, 0.2, None]}
                         for name in ("error", "sensitivity", "specificity")}},
            "aurc": measured(0.1), "oracle": measured(0.05, 0.01), "excess": measured(0.05, 0.01),
        },
    }  # fmt: skip
