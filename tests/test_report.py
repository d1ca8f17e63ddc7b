"""The report: one page that needs nothing else and says when the network is not worth it."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from medkit.cohort import Cohort, Feature, RawInput, Source
from medkit.config import Evaluation
from medkit.evaluation import evaluate_run
from medkit.registry import tasks
from medkit.report import ReportInputs, write_report
from medkit.report.figures import (
    calibration_points,
    draw,
    recall_precision_points,
    roc_points,
    thinned,
)
from medkit.report.page import verdict

ROWS = {"train": slice(0, 160), "valid": slice(160, 220), "test": slice(220, 300)}


def example(kind, **more):
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
    p = p + 120 if kind == "regression" else p
    parts = {}
    for name, rows in ROWS.items():
        frame = pd.DataFrame({"sex": np.where(x[rows, 1] > 0, "F", "M")})
        frame.loc[:2, "sex"] = "X"
        cohort = Cohort(frame, {"t": RawInput("tabular", frame)}, targets[rows])
        parts[name] = SimpleNamespace(cohort=cohort, x=x[rows], y=y[rows])
    outputs = {name: p[rows] for name, rows in ROWS.items()}
    settings = Evaluation(bootstrap=50, subgroups=("sex",))
    threshold = task.choose_threshold(parts["valid"].y, outputs["valid"])
    flat = SimpleNamespace(summarize=pd.DataFrame)
    metrics = evaluate_run(task, flat, parts, outputs, threshold, settings, 0)
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
        "predictions": {name: (parts[name].y, outputs[name]) for name in parts},
        "source": Source({"data.csv": "ab" * 32}, 305, label="malignant by biopsy"),
        "features": (Feature("heart rate", unit="bpm", low=20, high=300), Feature("sex")),
        "environment": {
            "python": "3.12", "backend": "jax", "git_commit": None, "versions": {"keras": "3.15"},
            "data_sha256": {}, "stages": {"fit": {"seconds": 1.5, "peak_memory_mib": 900}},
        },
        "config": "name: example  # <script>alert(1)</script>\n",
        "model": "mlp",
    }  # fmt: skip
    return ReportInputs(**(given | more))


def page(tmp_path, inputs):
    path = tmp_path / "report.html"
    write_report(path, inputs)
    return path.read_text(encoding="utf-8")


class Structure(HTMLParser):
    """Checks that elements nest, ids differ, and nothing is loaded."""

    empty = ("meta", "br", "link", "img")

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []
        self.loaded, self.scopes, self.labels = [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in self.empty:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        elif tag in ("script", "link", "img", "iframe", "object"):
            self.loaded.append(tag)
        elif "src" in given:
            self.loaded.append(given["src"])
        elif given.get("href", given.get("xlink:href", "#"))[0] != "#":
            self.loaded.append(given)
        if tag == "th":
            self.scopes.append(given.get("scope"))
        if tag == "svg":
            self.labels.append((given.get("role"), given.get("aria-label")))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.empty:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass", "multilabel"])
def test_page_is_whole_and_self_contained(kind, tmp_path):
    text = page(tmp_path, example(kind))
    assert text.startswith("<!DOCTYPE html>")
    assert len(text) < 2_000_000
    found = Structure()
    found.feed(text)
    assert found.open == []
    assert found.loaded == []
    assert len(found.ids) == len(set(found.ids))
    assert all(link[1:] in found.ids for link in found.links)
    assert set(found.scopes) <= {"row", "col"}
    assert len(found.labels) >= 3
    assert all(role == "img" and label for role, label in found.labels)
    urls = set(re.findall(r"https?://[^\"\s<]+", text))
    assert urls <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "url(http" not in text
    assert "@import" not in text
    assert f"{kind} &lt;example&gt;" in text
    assert "<script" not in text
    assert "<effusion>" not in text


def test_numbers_are_those_of_the_metrics(tmp_path):
    inputs = example("binary")
    text = " ".join(page(tmp_path, inputs).split())
    auroc = inputs.metrics["test"]["metrics"]["auroc"]
    shown = f"{auroc['value']:.3f} ({auroc['low']:.3f} to {auroc['high']:.3f})"
    assert text.count(shown) >= 2
    baseline = inputs.metrics["baselines"]["logistic_regression"]["metrics"]["auroc"]["value"]
    assert f'<span class="value">{baseline:.3f}</span>' in text
    assert "On 80 test samples of 80 subjects" in text
    assert "The network does not beat" in text
    assert "Note: no subject column: every row is treated as its own patient." in text
    assert "missing target: 5" in text
    assert "not shown: fewer than 10 subjects" in text
    assert "20 to 300" in text
    assert "bpm" in text
    assert "malignant by biopsy" in text


def test_confusion_matrix_counts_the_test_rows(tmp_path):
    inputs = example("binary")
    text = page(tmp_path, inputs)
    y, p = inputs.predictions["test"]
    threshold = inputs.metrics["test"]["threshold"]
    hits = int(((p >= threshold) & (y == 1)).sum())
    row = text[text.index('<th scope="row">malignant</th>') :]
    assert re.search(rf">{hits}<small>", row[: row.index("</tr>")])


def test_intervals_that_are_no_percentiles_say_so(tmp_path):
    inputs = example("binary")
    test = inputs.metrics["test"]["metrics"]
    plain = page(tmp_path, inputs)
    assert "Wilson" not in plain
    assert "the same in all resamples" not in plain
    test["specificity"] = {"value": 1.0, "low": 0.932, "high": 1.0, "method": "wilson"}
    test["auroc"] = {"value": 1.0, "low": 1.0, "high": 1.0, "degenerate": True}
    text = " ".join(page(tmp_path, inputs).split())
    assert "1.000 (0.932 to 1.000, Wilson)" in text
    assert "1.000 (the same in all resamples)" in text
    assert "<strong>1.000</strong> (the same in all resamples)." in text
    assert "1.000 to 1.000" not in text
    assert "Wilson: no resample moves a proportion of 0 or 1, so its interval is Wilson" in text
    assert "the bootstrap cannot tell how far this number would move" in text


def test_absent_classes_are_said(tmp_path):
    inputs = example("binary")
    inputs.metrics["test"]["notes"] = ["no positives among 80 rows: undefined are AUROC, AUPRC"]
    text = page(tmp_path, inputs)
    assert "Test part: no positives among 80 rows: undefined are AUROC, AUPRC." in text
    assert "Learning: AUPRC" in text
    inputs.metrics["valid"]["metrics"]["auprc"]["value"] = None
    text = page(tmp_path, inputs)
    assert "Learning: AUPRC" not in text
    assert "Learning: loss" in text


def test_same_inputs_same_bytes(tmp_path):
    assert page(tmp_path, example("binary")) == page(tmp_path, example("binary"))


def test_a_bare_run_still_has_a_page(tmp_path):
    inputs = example("binary")
    metrics = {"test": inputs.metrics["test"]}
    text = page(tmp_path, ReportInputs("bare", inputs.task, metrics, {}, {}))
    assert "No baseline was computed" in text
    assert "Too few epochs to draw a curve." in text


def test_undefined_values_and_long_runs(tmp_path):
    inputs = example("regression")
    inputs.metrics["test"]["metrics"]["r2"] = {"value": None, "low": None, "high": None}
    many = np.random.default_rng(0).normal(size=(50_000, 1))
    epochs = np.linspace(1, 0, 5_000).tolist()
    text = page(
        tmp_path,
        example(
            "regression",
            metrics=inputs.metrics,
            predictions={"test": (many, many * 0.9)},
            history={"loss": epochs, "val_loss": epochs},
            features=[Feature(f"f{i}") for i in range(5_000)],
        ),
    )
    assert "undefined" in text
    assert "800 of 50000 rows, at random." in text
    assert "5000 input variables, the first 200 shown" in text
    assert len(text) < 500_000


def difference(value, low, high, metric="auroc"):
    return {"baselines": {"gradient_boosting": {
        "difference": {"metric": metric, "value": value, "low": low, "high": high}}}}  # fmt: skip


@pytest.mark.parametrize(
    ("metrics", "main", "level", "text"),
    [
        ({}, "auroc", "none", "No baseline was computed"),
        (difference(None, None, None), "auroc", "none", "AUROC is undefined on the test part"),
        (difference(0.05, 0.01, 0.09), "auroc", "good",
         "The network is ahead of gradient boosting, the best baseline, by 0.050 in AUROC "
         "(interval of the paired difference 0.010 to 0.090)."),
        (difference(0.05, -0.01, 0.1), "auroc", "unsure", "that may be chance"),
        (difference(0.05, None, None), "auroc", "unsure", "0.050 in AUROC (no interval)"),
        (difference(-0.05, -0.1, 0.01), "auroc", "bad",
         "The network does not beat gradient boosting: it is behind by 0.050 in AUROC"),
        (difference(0.0, 0.0, 0.0), "auroc", "bad", "it is level with it"),
        (difference(-2.0, -3.0, -1.0, "mae"), "mae", "good", "by 2.00 in MAE (interval of the "
         "paired difference 1.000 to 3.00)"),
        (difference(2.0, 1.0, 3.0, "mae"), "mae", "bad", "behind by 2.00 in MAE (interval of "
         "the paired difference −3.00 to −1.000)"),
    ],
)  # fmt: skip
def test_verdict(metrics, main, level, text):
    found = verdict(metrics, main)
    assert found["level"] == level
    assert text in found["text"]


def test_verdict_names_the_hardest_baseline():
    metrics = difference(0.05, 0.01, 0.09)
    metrics["baselines"]["logistic_regression"] = {
        "difference": {"metric": "auroc", "value": -0.01, "low": -0.02, "high": 0.01}
    }
    assert "does not beat logistic regression" in verdict(metrics, "auroc")["text"]


def test_curves_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    y = (random.random(200) < 0.3).astype(float)
    p = np.round(np.clip(random.normal(0.3 + 0.3 * y, 0.2), 0, 1), 2)  # with ties
    alarms, hits = roc_points(y, p)
    expected = roc_curve(y, p, drop_intermediate=False)
    assert np.allclose(alarms, expected[0])
    assert np.allclose(hits, expected[1])
    recall, precision = recall_precision_points(y, p)
    expected = precision_recall_curve(y, p)
    assert np.allclose(recall, expected[1][-2::-1])
    assert np.allclose(precision, expected[0][-2::-1])


def test_calibration_points():
    p = np.repeat([0.2, 0.8], 100)
    y = np.concatenate([np.arange(100) < 20, np.arange(100) < 80]).astype(float)
    predicted, share, low, high = calibration_points(y, p, bins=2)
    assert np.allclose(predicted, [0.2, 0.8])
    assert np.allclose(share, [0.2, 0.8])
    assert low == pytest.approx([0.1334, 0.7112], abs=1e-3)
    assert high == pytest.approx([0.2888, 0.8666], abs=1e-3)


def test_thinning_keeps_the_ends():
    (kept,) = thinned(np.arange(10_000), most=100)
    assert (kept[0], kept[-1], len(kept)) == (0, 9_999, 100)


def test_alternative_text_is_escaped():
    figure = draw("x", "t", "c", 'a "quoted" <text>', lambda axes: axes.plot([0, 1], [0, 1]))
    assert 'aria-label="a &quot;quoted&quot; &lt;text&gt;"' in figure.svg
    assert 'id="x-' in figure.svg
