"""The report: one page that needs nothing else and says when the network is not worth it."""

import copy
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from report_example import BLOCK, NONE, example, full
from sklearn.metrics import confusion_matrix, roc_auc_score

import medkit.report
from medkit.data.cohort import Feature
from medkit.report import ReportInputs, write_report
from medkit.report.drawing import draw, plottable, thinned
from medkit.report.figures import plot_roc
from medkit.report.section import _registered, filled, section
from medkit.report.sections._slider import slider_data
from medkit.report.sections.results import _BLOCKS
from medkit.report.sections.rows import flow_diagram
from medkit.report.sections.summary import verdict
from medkit.report.templates import p_value, percent, sentence
from medkit.tasks.outcomes import Outcome
from medkit.tasks.scores.metrics import BINARY, REGRESSION

KINDS = ["binary", "regression", "multiclass", "multilabel"]
METRICS = {each.name: each for each in (*BINARY, *REGRESSION)}


def page(tmp_path, inputs):
    path = tmp_path / "report.html"
    write_report(path, inputs)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def undrawn(monkeypatch):
    """Figures without their content, for tests of the words about them: drawing costs most."""

    def blank(figure, buffer, **_):
        buffer.write('<svg viewBox="0 0 1 1">\n</svg>')

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", blank)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The words of a binary run with every block."""
    return words(page(tmp_path_factory.mktemp("whole"), full("binary")))


def words(text):
    """The page's text, without elements and with single spaces."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


class Structure(HTMLParser):
    """Checks that elements nest, ids differ, and nothing is loaded."""

    empty = ("meta", "br", "link", "img", "input")

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.levels = [], [], [], []
        self.loaded, self.scopes, self.labels, self.regions = [], [], [], []
        self.scripts, self.fields, self.described, self.language = [], [], [], None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in self.empty:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "html":
            self.language = given.get("lang")
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "script":
            self.scripts.append(given.get("type"))
        if tag in ("input", "select"):
            self.fields.append(given["id"])
        if tag == "label":
            self.described.append(given["for"])
        if tag == "a":
            self.links.append(given["href"])
        elif tag in ("link", "img", "iframe", "object") or "src" in given:
            self.loaded.append(tag)
        elif given.get("href", given.get("xlink:href", "#"))[0] != "#":
            self.loaded.append(given)
        if tag == "th":
            self.scopes.append(given.get("scope"))
        if tag == "svg":
            self.labels.append((given.get("role"), given.get("aria-label")))
        if given.get("class", "").startswith("scroll"):
            self.regions.append((given.get("tabindex"), given.get("aria-label")))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.empty:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", [example, full])
def test_page_is_whole_and_self_contained(made, kind, tmp_path):
    text = page(tmp_path, made(kind))
    assert text.startswith("<!DOCTYPE html>")
    assert len(text) < 2_000_000
    found = Structure()
    found.feed(text)
    assert found.open == []
    assert found.loaded == []
    assert found.language == "en"
    assert len(found.ids) == len(set(found.ids))
    assert all(link[1:] in found.ids for link in found.links)
    assert set(found.scopes) <= {"row", "col", "rowgroup"}
    assert len(found.labels) >= 3
    assert all(role == "img" and label for role, label in found.labels)
    assert all(index == "0" and label for index, label in found.regions)
    assert found.levels[0] == 1
    assert found.levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(found.levels, found.levels[1:], strict=False))
    assert set(found.fields) == set(found.described)
    assert found.scripts == (["application/json", None] if kind in ("binary", "multilabel") else [])
    urls = set(re.findall(r"https?://[^\"\s<]+", text))
    assert urls <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "url(http" not in text
    assert "@import" not in text
    assert f"{kind} &lt;example&gt;" in text
    for foreign in ("<effusion>", "<events>", "<both kept>", "<f>", "alert(1)</script>"):
        assert foreign not in text


def test_numbers_are_those_of_the_metrics(undrawn, tmp_path):
    inputs = example("binary")
    text = " ".join(page(tmp_path, inputs).split())
    auroc = inputs.metrics["test"]["metrics"]["auroc"]
    shown = f"{auroc['value']:.3f} ({auroc['low']:.3f} to {auroc['high']:.3f})"
    assert text.count(shown) >= 2
    baseline = inputs.metrics["baselines"]["gradient_boosting"]["metrics"]["auroc"]["value"]
    assert f'<span class="value">{baseline:.3f}</span>' in text
    assert "On 80 test samples of 80 subjects" in text
    assert "The network does not beat" in text
    assert "Note: no subject column: every row is treated as its own patient." in text
    assert "missing target: 5" in text
    assert "not shown: fewer than 10 subjects" in text
    assert "20 to 300" in text
    assert "bpm" in text
    assert "malignant by biopsy" in text


def test_plain_words_count_the_test_rows(undrawn, tmp_path):
    inputs = full("binary")
    y, p = (each.ravel() for each in inputs.predictions["test"])
    (_, false), (missed, hits) = confusion_matrix(y, p >= inputs.metrics["test"]["threshold"])
    text = words(page(tmp_path, inputs))
    assert f"it finds {hits} of {hits + missed} positives" in text
    assert f"raises {false} false alarms among" in text
    assert "Its probabilities are too extreme: too near 0 and 1 (calibration slope 0.700" in text
    assert "made to hold the outcome of 90 % of patients, held it for 88.0 %" in text
    inputs = full("regression")
    mae = inputs.metrics["test"]["metrics"]["mae"]["value"]
    assert f"a prediction is {mae:.2f} away" in words(page(tmp_path, inputs))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.5, 0.9, "are too extreme"), (1.1, 1.5, "are too timid"), (0.8, 1.2, "Nothing says that"),
     (None, None, None)],
)  # fmt: skip
def test_slope_in_words(low, high, said, undrawn, tmp_path):
    inputs = full("binary")
    slope = {"value": 1.0, "low": low, "high": high}
    block = {**BLOCK, "metrics": {**BLOCK["metrics"], "slope": slope}}
    inputs.metrics["test"]["calibration"] = {"kind": "binary", **block}
    text = words(page(tmp_path, inputs))
    assert ("probabilities are" in text) == (said is not None)
    assert said is None or said in text


def test_multiclass_confusion_counts_the_test_rows(undrawn, tmp_path):
    inputs = example("multiclass")
    y, p = inputs.predictions["test"]
    counts = confusion_matrix(y.ravel(), p.argmax(axis=1))
    text = page(tmp_path, inputs)
    for i, name in enumerate(inputs.task.classes_):
        row = text[text.index(f'<th scope="row">{name}</th><td style') :]
        found = re.findall(r">(\d+)<small>", row[: row.index("</tr>")])
        assert [int(each) for each in found] == counts[i].tolist()


def test_intervals_that_are_no_percentiles_say_so(undrawn, tmp_path):
    inputs = example("binary")
    test = inputs.metrics["test"]["metrics"]
    for other in ("subgroups", "valid", "train"):
        del inputs.metrics[other]
    for described in (inputs.metrics["test"], *inputs.metrics["baselines"].values()):
        described["metrics"]["auroc"].pop("delong", None)
    plain = page(tmp_path, inputs)
    assert "Wilson: no resample" not in plain
    assert "the same in all resamples" not in plain
    assert "DeLong" not in plain
    test["specificity"] = {"value": 1.0, "low": 0.932, "high": 1.0, "method": "wilson"}
    test["auroc"] = {"value": 1.0, "low": 1.0, "high": 1.0, "degenerate": True}
    text = words(page(tmp_path, inputs))
    assert "1.000 (0.932 to 1.000, Wilson)" in text
    assert text.count("1.000 (the same in all resamples)") >= 1
    assert "the network reached AUROC 1.000 (the same in all resamples)." in text
    assert "1.000 to 1.000" not in text
    assert "Wilson: no resample moves a proportion of 0 or 1, so its interval is Wilson" in text
    assert "the bootstrap cannot tell how far this number would move" in text
    test["auroc"] = {"value": 0.9, "low": 0.8, "high": 0.95, "delong": {"low": 0.81, "high": 0.96}}
    text = words(page(tmp_path, inputs))
    assert "0.900 (0.800 to 0.950) DeLong 0.810 to 0.960" in text
    assert "DeLong: interval of the AUROC from DeLong's variance" in text.replace("&#39;", "'")


def test_absent_classes_are_said(undrawn, tmp_path):
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
    assert page(tmp_path, full("binary")) == page(tmp_path, full("binary"))


def test_a_bare_run_still_has_a_page(tmp_path):
    inputs = example("binary")
    metrics = {"test": inputs.metrics["test"]}
    text = page(tmp_path, ReportInputs("bare", inputs.task, metrics, {}, {}))
    assert "No baseline was computed" in text
    assert "Too few epochs to draw a curve." in text
    for absent in ("table-one", "leakage", "thresholds", "calibration", "uncertainty",
                   "subgroups", "explanations", "errors", "inputs"):  # fmt: skip
        assert f'href="#{absent}"' not in text


@pytest.mark.parametrize("block", ["table_one", "leakage", "explanations", "fairness", "flow",
                                   "sample_size", "subgroups", "baselines"])  # fmt: skip
def test_every_block_may_be_absent_or_empty(block, whole, undrawn, tmp_path):
    inputs = full("binary")
    inputs.metrics[block] = {}
    assert len(words(page(tmp_path, inputs))) < len(whole)
    del inputs.metrics[block]
    assert len(words(page(tmp_path, inputs))) < len(whole)


@pytest.mark.parametrize("block", ["calibration", "decisions", "uncertainty"])
def test_what_cannot_be_estimated_is_said(block, undrawn, tmp_path):
    inputs = full("binary")
    inputs.metrics["test"][block] = {"kind": "binary", "not_estimable": "there are <no> rows"}
    if block == "uncertainty":
        inputs.metrics["test"][block] = {
            name: {"not_estimable": "there are <no> rows"}
            for name in ("conformal", "entropy", "abstention")
        }
    assert "here are &lt;no&gt; rows" in page(tmp_path, inputs)


def test_a_part_of_one_class_has_a_page(tmp_path):
    inputs = full("binary")
    y, p = inputs.predictions["test"]
    inputs = replace(inputs, predictions={**inputs.predictions, "test": (np.zeros_like(y), p)})
    test = inputs.metrics["test"]
    test["metrics"]["auroc"] = {"value": None, "low": None, "high": None}
    test["positives"], test["calibration"] = 0, {"kind": "binary", **BLOCK, "curve": None}
    inputs.metrics["subgroups"]["sex"]["F"]["metrics"]["auroc"] = NONE
    text = page(tmp_path, inputs)
    assert 'id="slider"' not in text
    assert "undefined" in text
    assert "not estimable" in text


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


def test_waived_findings_are_in_front(whole):
    text = whole
    summary = text[: text.index("From rows to parts")]
    assert "Leakage finding waived (duplicates): 12 of 80 test rows are copies." in summary
    assert "Reason given: twins &lt;both kept&gt;." in summary
    gate = text[text.index("Looked for, before training") :]
    assert gate.index("Waived findings") < gate.index("Findings that were not waived")
    assert "Same period warning train and test" in gate
    assert "200 of 300 rows were looked at." in text
    assert "The leakage gate warns: train and test are of one period." in summary


def test_table_one_keeps_small_cells_back(whole):
    text = whole
    assert "heart rate (bpm) 80.25 ± 9.80; 79.00 [72.00, 88.00] fewer than 10 subjects" in text
    assert "F 40 (25.0 %) few" in text
    assert "M 120 (75.0 %) 72 (90.0 %)" in text
    assert "missing 10 (6.2 %) few" in text


def test_table_one_is_cut_where_it_is_long(undrawn, tmp_path):
    inputs = full("binary")
    row = inputs.metrics["table_one"]["rows"][0]
    rows = [{**row, "name": f"input {i}"} for i in range(60)]
    inputs.metrics["table_one"] = {**inputs.metrics["table_one"], "rows": rows}
    text = words(page(tmp_path, inputs))
    assert "input 39 (bpm)" in text
    assert "input 40 (bpm)" not in text
    assert "Inputs: 40 of 60 are shown here; the others are in metrics.json." in text


def test_operating_points_with_one_threshold_share_a_row(whole):
    text = whole
    assert "in use, Youden: 0.400 0.800 (0.700 to 0.900)" in text
    assert "PPV at prevalence 10.0 %" in text
    assert "sensitivity 0.9: 0.200" in text
    assert "specificity 0.9 not estimable: too few" in text
    said = "At thresholds 0.1 to 0.5 the network is better than treating all and none beyond chance"
    assert said in text


def test_gaps_and_paired_tests(whole):
    text = whole
    assert "M − F −0.120 (−0.220 to −0.020), p 0.020" in text
    assert "not estimable: only 3 &lt;events&gt;" in text
    assert "sex, X: not shown (too few)." in text.replace("Sex, X", "sex, X")
    assert "−0.010 (−0.050 to 0.020) 0.400" in text
    assert "3 against 5 rows right alone, p below 0.001" in text


def test_recalibration_before_and_after(whole, undrawn, tmp_path):
    assert "Recalibration, fitted on 60 validation rows: platt ." in whole
    assert "few &lt;events&gt;" in whole
    assert "Measure Ideal Before recalibration After" in whole
    inputs = full("binary")
    del inputs.metrics["test"]["calibration"]["before"]
    assert "Measure Ideal Value" in words(page(tmp_path, inputs))


@pytest.mark.parametrize("method", ["slope", "refit"])
def test_an_updated_model_is_not_told_as_one_developed_here(method, undrawn, tmp_path):
    inputs = full("binary")
    before = inputs.metrics["valid"]
    inputs.metrics["recalibration"] = {
        "method": method, "parent": "run-1", "rows": 160, "before": before, "notes": [],
    }  # fmt: skip
    if method == "refit":
        del inputs.metrics["test"]["calibration"]["before"]
    text = words(page(tmp_path, inputs))
    told = {"slope": "a new intercept and slope of its outputs", "refit": "further training of"}
    assert "The model was developed on other data, in run run-1, and updated for these" in text
    assert f"{told[method]}" in text
    assert "was not updated" not in text
    assert "fitted on 60 validation rows" not in text
    assert "learned on the rows that the model was first developed on" in text
    values = (
        f"{each['metrics']['auroc']['value']:.3f}" for each in (before, inputs.metrics["test"])
    )
    was, now = values
    assert re.search(rf"Before and after the update .* AUROC {was} \(.*?\) {now} \(", text)
    assert (f"{was} " in text.split("Results of updating")[1]) == (method == "refit")
    assert (
        "were recalibrated by" in text if method == "slope" else "See the calibration, or" in text
    )


def test_spread_of_measured_numbers_is_not_told_by_right_and_wrong(undrawn, tmp_path):
    inputs = full("regression")
    spread = {"mean": {"value": 4.25, "low": 4.0, "high": 4.5}, "quartiles": [3.0, 4.0, 5.0]}
    inputs.metrics["test"]["uncertainty"]["entropy"] = {
        "unit": "the target's",
        "ensemble": {"count": 5, "standard_deviation": {"pressure": spread}},
    }
    text = words(page(tmp_path, inputs))
    assert "Measure All Ensemble of 5: standard deviation, pressure 4.25 (4.00 to 4.50)" in text
    assert "AUROC of being wrong" not in text
    assert "Measure All Right Wrong AUROC of being wrong" in words(page(tmp_path, full("binary")))


@pytest.mark.parametrize("kind", KINDS)
def test_largest_errors_are_named_by_hash(kind, undrawn, tmp_path):
    inputs = full(kind)
    y, p = inputs.predictions["test"]
    if kind == "multiclass":
        worst = p[np.arange(len(p)), y.ravel().astype(int)].argmin()
    else:
        worst = np.unravel_index(np.abs(y - p).argmax(), p.shape)[0]
    text = page(tmp_path, inputs)
    errors = text[text.index('id="errors"') :]
    assert re.search(r'<th scope="row">(\w+)</th>', errors).group(1) == f"test{worst:012d}"
    assert errors[: errors.index("</section>")].count("<tr>") == 11


# Sections register themselves, by kind of outcome.


def test_an_unknown_kind_is_not_taken_for_yes_or_no(undrawn, tmp_path):
    inputs = full("binary")
    assert "What a threshold does" in words(page(tmp_path, inputs))
    reason, blocks = {"not_estimable": "nothing is known of boxes"}, _BLOCKS[:3]
    inputs.metrics["test"] |= {name: dict(reason) for name in blocks}
    inputs.task.outcome = "boxes"
    text = words(page(tmp_path, inputs))
    reasons = "; ".join(f"{name}: nothing is known of boxes" for name in blocks)
    drawn = "figures: outcomes of kind boxes cannot be drawn"
    assert f"Not estimable: {reasons}; {drawn}." in text
    assert "AUROC 0." in text  # its metrics still stand in the tables
    for known in ("What a threshold does", "ROC curve", "Calibration curve", "Largest errors",
                  "Its prediction sets", "At its threshold"):  # fmt: skip
        assert known not in text


def test_a_section_is_one_file_and_stands_where_it_says(tmp_path, monkeypatch):
    inputs = example("binary")
    names = [each.name for each, _ in filled(inputs)]
    assert names.index("results") < names.index("thresholds") < names.index("card")
    assert "forecast" not in names
    assert [each.name for each, _ in filled(inputs, external=True)] == ["thresholds", "subgroups"]
    monkeypatch.setattr("medkit.report.section._registered", dict(_registered))

    @section("boxes", "Boxes", 55, kinds=("yes_no",))
    def boxes(inputs):
        return {"text": inputs.name}

    now = filled(inputs)
    place = names.index("results") + 1
    assert [each.name for each, _ in now] == [*names[:place], "boxes", *names[place:]]
    assert now[place][0].template == "boxes.html.j2"  # beside the file with the section
    assert now[place][1] == {"text": "binary <example>"}
    with pytest.raises(ValueError, match="section 'results' is registered twice"):
        section("results", "Results", 1)(boxes)


# The slider.


@pytest.mark.parametrize("rows", [30, 20_000])
def test_slider_counts_every_threshold(rows):
    random = np.random.default_rng(1)
    y = (random.random((rows, 1)) < 0.2).astype(float)
    p = np.clip(0.3 * y + 0.7 * random.random((rows, 1)), 0, 1)
    (found,) = slider_data([Outcome("died", "yes_no", y[:, 0], p[:, 0], 0.4242)])["outcomes"]
    at = np.array(found["thresholds"])
    assert len(at) <= 200
    assert (np.diff(at) > 0).all()
    assert at[found["start"]] == 0.4242
    for t, tp, fp in zip(at, found["tp"], found["fp"], strict=True):
        expected = confusion_matrix(y.ravel(), p.ravel() >= t, labels=[0, 1])
        assert (fp, tp) == tuple(expected[:, 1])
    assert found["positives"] == y.sum()
    assert found["prevalence"] == y.mean()
    if rows == 30:
        assert set(p.ravel()) <= set(at)


def test_slider_leaves_out_what_it_cannot_show():
    y = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]], float)
    p = np.array([[0.2, 0.5, np.nan], [0.5, 0.5, 0.5], [0.9, 0.5, 0.5]])
    names = ("a", "one class", "not finite")
    given = [Outcome(name, "yes_no", *both) for name, *both in zip(names, y.T, p.T, strict=True)]
    found = slider_data(given, 0.1)
    assert [each["name"] for each in found["outcomes"]] == ["a"]
    assert found["outcomes"][0]["prevalence"] == 0.1
    assert found["outcomes"][0]["thresholds"] == [0.0, 0.2, 0.5, 0.9, 1.0]
    assert slider_data(given[1:2]) is None


def test_slider_says_the_threshold_in_use_without_scripts(undrawn, tmp_path):
    inputs = full("binary")
    y, p = (each.ravel() for each in inputs.predictions["test"])
    (rest, false), (missed, hits) = confusion_matrix(y, p >= inputs.metrics["test"]["threshold"])
    text = page(tmp_path, inputs)
    for name, n in (("tp", hits), ("fn", missed), ("fp", false), ("tn", rest)):
        assert f'id="slider-{name}">{n}<' in text
    sensitivity, specificity = hits / (hits + missed), rest / (rest + false)
    ppv = sensitivity * 0.1 / (sensitivity * 0.1 + (1 - specificity) * 0.9)
    assert f'id="slider-ppv">{100 * ppv:.1f}\xa0%<' in text
    assert "<noscript>" in text


# Drawing.


def test_flow_diagram_says_why_rows_were_dropped():
    dropped = {f"reason {i}": 1 for i in range(15)}
    parts = [("Training", ["10 samples"]), ("Test", ["5 <samples>"])]
    svg = flow_diagram({"rows_read": 30, "dropped": dropped}, parts).svg
    assert "30 samples read" in svg
    assert "15 dropped" in svg
    assert "15 samples used" in svg
    assert "reason 11: 1" in svg
    assert "and 3 other reasons" in svg
    assert "5 &lt;samples&gt;" in svg
    assert svg.count("<polyline") == 4
    assert flow_diagram({}, parts).svg.count("<polyline") == 0
    assert flow_diagram({}, []) is None


def contrast(one, other):
    """WCAG 2's contrast ratio of two colours, #rrggbb."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_on_every_ground():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    folder = Path(medkit.report.__file__).parent
    style = (folder / "_style.css.j2").read_text() + (folder / "_report.css.j2").read_text()
    named = dict(re.findall(r"--(\w+): (#\w{6})", style))
    grounds = {"#ffffff", named["tint"], *re.findall(r"background: (#\w{6})", style)}
    assert len(grounds) >= 5
    # On tinted grounds stand ink, soft text and links; marks have colours of their own.
    for ground in grounds:
        for text in ("ink", "soft", "blue"):
            assert contrast(named[text], ground) >= 4.5, (text, ground)
    for level in ("good", "unsure", "bad"):
        ground = re.search(rf"\.{level}[ ,][^}}]*?background: (#\w{{6}})", style).group(1)
        text = re.search(rf"\.mark\.{level} {{ color: (#\w{{6}})", style).group(1)
        assert contrast(text, ground) >= 4.5, level


def test_small_words():
    assert p_value(None) == "–"
    assert p_value(0.0004) == "below 0.001"
    assert p_value(0.0312) == "0.031"
    assert percent(None) == "–"
    assert percent(-0.125) == "−12.5\xa0%"
    assert sentence("few rows.") == "Few rows."
    assert sentence("") == ""
    assert np.isnan(plottable([None, 1.0])[0])


def test_inputs_are_left_as_they_were(undrawn, tmp_path):
    inputs = full("binary")
    before = copy.deepcopy(inputs.metrics)
    page(tmp_path, inputs)
    assert inputs.metrics == before


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
         "the paired difference 1.000 to 3.00)"),
    ],
)  # fmt: skip
def test_verdict(metrics, main, level, text):
    found = verdict(metrics, METRICS[main])
    assert found["level"] == level
    assert text in found["text"]


def test_verdict_names_the_hardest_baseline():
    metrics = difference(0.05, 0.01, 0.09)
    metrics["baselines"]["logistic_regression"] = {
        "difference": {"metric": "auroc", "value": -0.01, "low": -0.02, "high": 0.01}
    }
    assert "does not beat logistic regression" in verdict(metrics, METRICS["auroc"])["text"]
    metrics["baselines"]["cox"] = metrics["baselines"].pop("logistic_regression")
    assert "does not beat Cox:" in verdict(metrics, METRICS["auroc"])["text"]


def test_the_area_under_the_drawn_curve_is_the_auroc():
    random = np.random.default_rng(0)
    y = (random.random(200) < 0.3).astype(float)
    p = np.round(np.clip(random.normal(0.3 + 0.3 * y, 0.2), 0, 1), 2)  # with ties
    axes = Mock()
    plot_roc(axes, [("network", y, p, None)])
    alarms, hits = axes.plot.call_args.args
    assert (alarms[0], hits[0], alarms[-1], hits[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(hits, alarms) == pytest.approx(roc_auc_score(y, p))


def test_thinning_keeps_the_ends():
    (kept,) = thinned(np.arange(10_000), most=100)
    assert (kept[0], kept[-1], len(kept)) == (0, 9_999, 100)


@pytest.mark.parametrize("name", ["$x", "$\\frac{", "a $x$ b", "<b>&amp;"])
def test_a_name_in_a_figure_is_text(name):
    figure = draw("f", name, name, name, lambda axes: axes.set_title(name))
    assert f">{html.escape(name, quote=False)}</text>" in figure.svg


def test_alternative_text_is_escaped():
    figure = draw("x", "t", "c", 'a "quoted" <text>', lambda axes: axes.plot([0, 1], [0, 1]))
    assert 'aria-label="a &quot;quoted&quot; &lt;text&gt;"' in figure.svg
    assert 'id="x-' in figure.svg
