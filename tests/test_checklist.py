"""TRIPOD+AI, PROBAST+AI, the model card and the sample size: what the run fills, and what not."""

import html
import re

import numpy as np
import pytest
import statsmodels.api as sm
import yaml
from report_example import example, full

from medkit.core.registry import tasks
from medkit.data.cohort import Source
from medkit.evaluation.sample_size import (
    binary_criteria,
    candidate_parameters,
    continuous_criteria,
    cox_snell_r2,
    largest_r2,
    sample_size,
)
from medkit.modalities.image import Image
from medkit.modalities.series import Series
from medkit.modalities.tabular import Tabular
from medkit.report import ReportInputs, write_model_card
from medkit.report.checklists import facts
from medkit.report.checklists.checklist import counts, tripod_ai
from medkit.report.checklists.model_card import model_card, model_card_text
from medkit.report.checklists.probast import signals
from medkit.report.figures import learned

KINDS = ["binary", "regression", "multiclass", "multilabel"]
# Which items no run can fill, and which need a declared field (the field's own list).
BY_AUTHORS = {"1", "2", "3a", "3b", "3c", "4", "5a", "6a", "6b", "6c", "8b", "8c", "9a", "9c", "17",
              "18a", "18b", "18c", "18d", "18e", "19", "25", "26", "27a", "27b", "27c"}  # fmt: skip
FROM_RUN = {"7", "11", "12a", "12b", "12c", "12e", "12g", "13", "15", "16", "20b", "20c", "21",
            "22", "23a"}  # fmt: skip


def items(inputs):
    return {item.number: item for item in tripod_ai(inputs)}


# TRIPOD+AI.


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_run_fills_what_a_run_can_fill(kind):
    found = items(full(kind))
    assert len(found) == 52
    assert {number for number, item in found.items() if item.status == "authors"} >= BY_AUTHORS
    assert all(found[number].status != "authors" for number in FROM_RUN)
    assert all(found[number].text for number in FROM_RUN)
    assert all(found[number].text == "" for number in BY_AUTHORS)
    assert sum(counts(list(found.values())).values()) == 52


def test_items_are_the_statements():
    numbers = [item.number for item in tripod_ai(full("binary"))]
    main = list(dict.fromkeys(re.sub("[a-z]", "", number) for number in numbers))
    assert main == [str(i) for i in range(1, 28)]
    letters = {each: "".join(n[-1] for n in numbers if re.fullmatch(f"{each}[a-z]", n))
               for each in ("3", "5", "6", "8", "9", "12", "18", "20", "23", "27")}  # fmt: skip
    assert letters == {
        "3": "abc", "5": "ab", "6": "abc", "8": "abc", "9": "abc", "12": "abcdefg",
        "18": "abcdef", "20": "abc", "23": "ab", "27": "abc",
    }  # fmt: skip


def test_items_say_what_the_run_did():
    found = items(full("binary"))
    assert "filled with the training median, and an indicator" in found["11"].text
    assert "missing target: 5" in found["11"].text
    assert "at random by subject" in found["12a"].text
    assert "20 % for validation and 25 % for the test" in found["12a"].text
    assert "mlp (hidden units 64 × 32, dropout 0.2) with 4,187 trainable weights" in (
        found["12c"].text
    )
    assert "the epoch chosen by validation AUPRC" in found["12c"].text
    assert "1,000 bootstrap resamples of subjects" in found["12c"].text
    assert "Outputs were recalibrated: platt scaling" in found["12f"].text
    assert "Class weights in the loss (balanced)" in found["13"].text
    assert "where sensitivity + specificity − 1 was highest" in found["15"].text
    assert "305 samples were read and 5 dropped (missing target: 5)" in found["20a"].text
    assert "Brier score 0.200 before, 0.200 after." in found["24"].text
    assert "By subgroup: sex." in found["23a"].text
    assert found["14"].status == "partly"
    assert "malignant by biopsy" in found["8a"].text.lower()


def test_a_bare_run_claims_nothing_it_did_not_do():
    inputs = example("binary")
    bare = ReportInputs("bare", inputs.task, {"test": inputs.metrics["test"]}, {}, {})
    found = items(bare)
    for number in ("5b", "8a", "9b", "10", "11", "12b", "12d", "14", "18f", "20b", "20c", "23b"):
        assert found[number].status == "authors", number
    for word in ("median", "recalibrated:", "leakage", "bootstrap", "Table 1 of this page"):
        assert not any(word in item.text for item in found.values()), word


@pytest.mark.parametrize(
    ("setting", "number", "said"),
    [
        ("split: {by: site}", "12d", "tested at sites it was not trained on"),
        ("split: {by: time}", "5b", "The samples have times."),
        ("task: {fixed_threshold: 0.3}", "15", "the threshold 0.3 was set beforehand"),
        ("training: {class_weight: null}", "13", "No resampling and no class weights."),
        ("calibration: none", "12f", "The model was not updated or recalibrated."),
        ("evaluation: {bootstrap: 0}", "12e", "No intervals were computed."),
    ],
)
def test_settings_change_what_is_said(setting, number, said):
    assert said in items(example("binary", config=setting))[number].text


def test_each_input_says_what_became_of_its_gaps():
    both = {"vitals": Series().preparation(), "static": Tabular(missing="median").preparation()}

    def said(preparation):
        text = items(example("binary", preparation=preparation))["11"].text
        return text.removesuffix(" Dropped for want of a value: missing target: 5.")

    assert said(both) == (
        "Vitals: missing values were filled with the last measured one (before the first: the "
        "training mean), and an indicator says that a value was missing; static: missing values "
        "were filled with the training median, and an indicator says that a value was missing; "
        "what fills them was learned on the training part alone and lies in the model."
    )
    assert (
        said({"image": Image().preparation()})
        == "Images are whole or absent: nothing had to be filled."
    )
    dropped = {"tabular": Tabular(missing="drop").preparation()}
    assert said(dropped) == "Rows with a missing value were dropped."


def test_what_is_not_set_is_not_told():
    series = example("binary", preparation={"vitals": Series(clip=None).preparation()})
    text = facts.handling(series)
    assert text.startswith("Preprocessing of time series (missing forward_fill, constant 0, ")
    assert "logarithm" not in text
    assert "clip" not in text
    logarithm = Series(logarithm=["lactate"]).preparation()
    assert "logarithm lactate)" in facts.handling(example("binary", preparation={"v": logarithm}))


def test_what_the_data_set_says_stands_with_the_data():
    source = Source({"data.csv": "ab" * 32}, 305, notes=("5 records at 360 Hz",))
    given = example("binary", source=source)
    flow = {**given.metrics.get("flow", {}), "notes": ["5 records at 360 Hz", "no subject column"]}
    card = model_card_text(
        example("binary", source=source, metrics={**given.metrics, "flow": flow})
    )
    division, data = (
        next(line for line in card.splitlines() if line.startswith(f"- **{term}:**"))
        for term in ("Division", "Source")
    )
    assert "no subject column" in division.lower()
    assert "360 Hz" not in division
    assert "360 Hz" in data


# PROBAST+AI.


def levels(inputs):
    return {signal.asks: signal.level for signal in signals(inputs)}


@pytest.mark.parametrize("kind", KINDS)
def test_signals_of_a_full_run(kind):
    found = signals(full(kind))
    assert len(found) == 12
    assert all(signal.text for signal in found)
    assert {signal.word for signal in found} <= {
        "no concern seen", "look closer", "concern", "not clear from the run"
    }  # fmt: skip


def test_signals_read_the_run():
    inputs = full("binary")
    inputs.metrics["sample_size"] |= {"events": 12, "events_per_parameter": 4.0, "parameters": 3}
    found = {signal.asks: signal for signal in signals(inputs)}
    few = found["Were there enough events for each candidate parameter?"]
    assert (few.level, few.word) == ("bad", "concern")
    assert few.text.startswith("12 patients with the rarer outcome for 3 candidate parameters")
    apart = found["Are training, tuning and evaluation apart?"]
    assert apart.level == "bad"
    assert "12 of 80 test rows are copies" in apart.text
    assert found["Are calibration and discrimination both reported?"].level == "good"
    test = found["Does the test part hold enough events to evaluate?"]
    assert test.level == "unsure"
    fewest = min(inputs.metrics["test"]["subjects_with"].values())
    assert test.text.startswith(f"{fewest} test patients with the rarest outcome")


def test_no_sample_size_is_good_for_a_model_that_explains_nothing():
    """R² of 0 or less was dropped, and the size then passed on an assumption."""
    y = (np.arange(20_000) % 4 == 0).astype(float)[:, None]
    inputs = full("binary")
    asks = "Was the sample large enough by the criteria of Riley et al.?"
    for p, level in ((np.where(y == 1, 0.7, 0.1), "good"), (np.full(y.shape, 0.4), "unsure")):
        inputs.metrics["sample_size"] = sample_size(binary_task(), y, ["a"], (y, p))
        assert levels(inputs)[asks] == level
    text = next(each.text for each in signals(inputs) if each.asks == asks)
    assert "not estimable: Cox and Snell's R² on the test part is" in text
    assert "no sample size is known to suffice" in text


def test_sample_size_counts_patients():
    """862 rows of 240 patients are 240, and 262 events of 95 are 95."""
    random = np.random.default_rng(0)
    subjects = np.sort(random.integers(0, 240, 862))
    y = (subjects < 95).astype(float)[:, None]
    found = sample_size(
        binary_task(), y, list("abcdefgh"), (y, np.clip(y, 0.2, 0.6)), None, subjects
    )
    assert (found["n"], found["rows"]) == (len(np.unique(subjects)), 862)
    assert found["events"] == len(np.unique(subjects[subjects < 95]))
    assert found["events_per_parameter"] == found["events"] / 8
    for each in found["assumptions"]:
        assert each["met"] == (found["n"] >= each["needed"])
    assert any(found["n"] < each["needed"] <= 862 for each in found["assumptions"])


def with_settings(kind="binary", **changed):
    """The example with sections of its config changed."""
    document = yaml.safe_load(full(kind).config)
    for section, settings in changed.items():
        given = document.get(section) or {}
        given = given if isinstance(given, dict) else {"name": given}
        document[section] = given | settings if isinstance(settings, dict) else settings
    return full(kind, config=yaml.safe_dump(document))


@pytest.mark.parametrize("settings", [{"loss": "focal"}, {"label_smoothing": 0.1}])
def test_losses_that_shift_probabilities_are_looked_at(settings):
    asks = "If classes were reweighted, were probabilities set right afterwards?"
    none = {"training": {"class_weight": None}, "calibration": "none"}
    assert levels(with_settings(**none))[asks] == "good"
    inputs = with_settings(**none, task=settings)
    assert levels(inputs)[asks] == "unsure"
    assert "probabilities" in facts.imbalance(inputs)
    fitted = with_settings(**(none | {"calibration": "platt"}), task=settings)
    assert levels(fitted)[asks] == "good"
    assert "recalibrated by platt" in facts.imbalance(fitted)


def test_optimism_is_read_off_the_gate_and_the_numbers():
    asks = "Was optimism accounted for?"
    inputs = full("binary")
    main = inputs.leading.name
    copies = {"name": "duplicates", "severity": "fail", "what": "3 rows are copies", "waived": "so"}
    people = {**copies, "name": "returning_subjects"}
    for findings, level in (([], "good"), ([copies], "bad"), ([people], "bad"),
                            ([{**copies, "severity": "warn"}], "unsure")):  # fmt: skip
        inputs.metrics["leakage"] = {"checked": ["duplicates"], "findings": findings}
        assert levels(inputs)[asks] == level
    del inputs.metrics["leakage"]
    assert levels(inputs)[asks] == "unknown"
    test = inputs.metrics["test"]["metrics"][main] = {"value": 0.8, "low": 0.7, "high": 0.85}
    for trained, said in ((0.99, "better in training than chance explains, it overfits"),
                          (0.84, "no better in training than chance explains")):  # fmt: skip
        inputs.metrics["train"] = {"metrics": {main: {"value": trained}}}
        assert facts.optimism(inputs).endswith(f"{said}.")
    elsewhere = with_settings(split={"by": "site"})
    elsewhere.metrics["test"]["metrics"][main] = dict(test)
    elsewhere.metrics["train"] = {"metrics": {main: {"value": 0.99}}}
    assert facts.optimism(elsewhere).endswith("it overfits, or the patients of other sites differ.")
    test |= {"low": None, "high": None}
    assert "without an interval, whether it overfits is not known" in facts.optimism(inputs)


def test_a_site_split_alone_does_not_tell_how_sites_differ():
    def heterogeneity(inputs):
        return [each.status for each in tripod_ai(inputs) if each.number in ("12d", "23b")]

    assert heterogeneity(full("binary")) == ["authors", "authors"]
    split = with_settings(split={"by": "site"})
    assert heterogeneity(split) == ["partly", "partly"]
    group = {"n": 40, "subjects": 40, "positives": 9, "metrics": {"auroc": {"value": 0.8}}}
    split.metrics["subgroups"]["site"] = {"a": group, "b": {"suppressed": "few"}}
    assert heterogeneity(split) == ["partly", "partly"]
    split.metrics["subgroups"]["site"]["b"] = group
    assert heterogeneity(split) == ["filled", "filled"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"threshold": "youden"}, "where sensitivity + specificity − 1 was highest"),
        (
            {"threshold": "sensitivity", "at_least": 0.9},
            "the most specific with a sensitivity of at least 0.9",
        ),
        (
            {"threshold": "specificity", "at_least": 0.8},
            "the most sensitive with a specificity of at least 0.8",
        ),
        (
            {"threshold": "cost", "cost_ratio": 5},
            "at which costs were least, one missed event as much as 5 false alarms",
        ),
    ],
)
def test_every_rule_of_the_threshold_is_named(settings, said):
    assert said in facts.output(with_settings(task={"name": "binary", **settings}))


def test_what_a_learning_curve_shows_is_said():
    turning = {"loss": [0.6, 0.4, 0.2], "val_loss": [0.6, 0.5, 0.7]}
    assert learned(turning, "loss", False) == (
        "On validation it was best in epoch 2 of 3 (0.5), and 0.7 in the last, with 0.2 in "
        "training."
    )
    lost = {"loss": [0.6, 0.4, 0.2], "val_loss": [0.6, 0.5, float("nan")]}
    assert learned(lost, "loss", False).endswith("(0.5); in the last it was undefined.")
    assert "the last: a longer training may go further" in learned(
        {"loss": [0.6, 0.5], "val_loss": [0.6, 0.55]}, "loss", False
    )
    noisy = learned({"auroc": [0.7, 0.8, 0.9], "val_auroc": [0.7, 0.801, 0.8]}, "auroc", True)
    assert noisy.endswith("with 0.9 in training.")
    assert "Only training was measured" in learned({"loss": [0.6, 0.5]}, "loss", False)


def test_signals_of_a_copied_target_and_of_no_gate():
    inputs = full("binary")
    asks = "Are the predictors kept out of the outcome's definition?"
    assert levels(inputs)[asks] == "good"
    copied = {"name": "copied_target", "severity": "fail", "what": "x is the outcome",
              "waived": None}  # fmt: skip
    inputs.metrics["leakage"] = {"checked": ["copied_target"], "findings": [copied]}
    assert levels(inputs)[asks] == "bad"
    del inputs.metrics["leakage"]
    assert levels(inputs)[asks] == "unknown"
    assert levels(inputs)["Are training, tuning and evaluation apart?"] == "unsure"


def test_reweighting_without_recalibration_is_a_signal():
    asks = "If classes were reweighted, were probabilities set right afterwards?"
    weighted = "training: {class_weight: balanced}\ncalibration: "
    assert levels(example("binary", config=weighted + "none"))[asks] == "unsure"
    assert levels(example("binary", config=weighted + "platt"))[asks] == "good"


# The model card.


@pytest.mark.parametrize("kind", KINDS)
def test_model_card_has_mitchells_sections(kind, tmp_path):
    inputs = full(kind)
    assert [section.title for section in model_card(inputs)] == [
        "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
        "Quantitative analyses", "Ethical considerations", "Caveats and recommendations",
    ]  # fmt: skip
    write_model_card(tmp_path / "MODEL_CARD.md", inputs)
    text = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert text == model_card_text(inputs)
    assert text.startswith(f"# Model card: {kind} &lt;example>\n")
    assert text.count("*to be written by the authors*") >= 8
    assert "<both kept>" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


def test_model_card_has_the_numbers():
    inputs = full("binary")
    auroc = inputs.metrics["test"]["metrics"]["auroc"]
    line = f"| AUROC | {auroc['value']:.3f} | {auroc['low']:.3f} to {auroc['high']:.3f} |"
    assert line in model_card_text(inputs)
    assert "duplicates waived: twins &lt;both kept>." in model_card_text(inputs).lower()


def test_a_users_text_has_no_power_in_the_card():
    text = model_card_text(example("binary", description="[x](http://y) | *b* <b>\n# top"))
    assert "\\[x](http&#58;//y) \\| \\*b\\* &lt;b> # top" in text
    assert "\n# top" not in text


@pytest.mark.parametrize("text", [
    "![seen](http://evil.example/x.png)", "<img src=http://evil.example/x.png>",
    "[here](javascript:alert(1))", "<script>alert(1)</script>", "see http://evil.example/x",
    "see https://evil.example", "see www.evil.example", "me@evil.example",
    "[x]: http://evil.example", "# heading", "> quote", "- list", "+ list", "1. list", "1) list",
    "---", "===", "~~~", "    code", "a\r\n# heading", "a\u2028# heading", "| a | b |\n|---|---|",
    "~~gone~~", "&lt;b&gt;", "\\<b>", "*b* _i_ `c`",
])  # fmt: skip
def test_no_text_of_a_config_is_a_link_or_a_block_of_its_own(text):
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    card = model_card_text(example("binary", name=text, description=text))
    shown = markdown.render("\n\n".join(card.split("\n\n")[:2]))
    assert re.fullmatch(r"<h1>Model card: [^<>]*</h1>\n<p>[^<>]*</p>\n", shown), shown
    assert html.unescape(re.search("<p>(.*)</p>", shown)[1]) == " ".join(text.split())
    # GitHub makes links of these wherever they stand.
    assert not re.search(r"://|\bwww\.|\w@\w", card.split("After Mitchell")[0])


# Sample size: the published worked examples of the method's authors.


def needed(criteria):
    return [each["needed"] for each in criteria]


def test_binary_example_of_the_authors_package():
    # pmsampsize(type = "b", csrsquared = 0.288, parameters = 24, prevalence = 0.174): 662 rows.
    risk, _, shrinkage, optimism = needed(binary_criteria(24, 0.174, 0.288))
    assert (shrinkage, optimism, risk) == (623, 662, 221)


def test_binary_example_of_the_paper():
    # Riley et al., BMJ 2020;368:m441: pre-eclampsia, prevalence 0.05, 30 parameters, R² 0.05.
    risk, mean_error, shrinkage, _ = needed(binary_criteria(30, 0.05, 0.05))
    assert (risk, mean_error, shrinkage) == (73, 544, 5249)


def test_continuous_example_of_the_authors_package():
    # pmsampsize(type = "c", rsquared = 0.2, parameters = 25, intercept = 1.9, sd = 0.6): 918 rows.
    shrinkage, optimism, residual, mean = needed(continuous_criteria(25, 0.2, 1.9, 0.6))
    assert (shrinkage, optimism, residual) == (918, 401, 259)
    assert mean <= 918


def test_criteria_are_met_at_what_is_needed_and_not_below():
    r2, parameters = 0.12, 17
    n = needed(binary_criteria(parameters, 0.3, r2))[2]

    def shrinkage(n):  # Riley et al. 2019: S = 1 + P / (n ln(1 - R² / S)), solved for S
        s = np.linspace(0.5, 0.9999, 200_001)
        return s[np.argmin(np.abs(1 + parameters / (n * np.log(1 - r2 / s)) - s))]

    assert shrinkage(n) >= 0.9 - 1e-5
    assert shrinkage(n - 5) < 0.9


def test_many_parameters_leave_the_mean_error_out():
    criteria = binary_criteria(31, 0.2, 0.1)
    assert criteria[1]["needed"] is None
    assert criteria[1]["note"] == "its formula holds up to 30 parameters"


def test_a_mean_near_zero_has_no_relative_margin():
    criteria = continuous_criteria(5, 0.3, 0.01, 1.0)
    assert criteria[3]["needed"] is None
    assert "too near 0" in criteria[3]["note"]


def test_cox_snell_r2_agrees_with_statsmodels():
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 2))
    y = (random.random(400) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    fitted = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial()).fit()
    expected = fitted.pseudo_rsquared(kind="cs")
    assert cox_snell_r2(y, fitted.predict()) == pytest.approx(expected, abs=1e-9)
    assert cox_snell_r2(np.zeros(5), np.full(5, 0.1)) is None
    assert cox_snell_r2(y, np.full(400, np.nan)) is None
    # A perfect model reaches the largest value there is.
    assert cox_snell_r2(y, y) == pytest.approx(largest_r2(y.mean()), abs=1e-5)


def test_candidate_parameters_count_one_category_less():
    assert candidate_parameters(["age", "sex = F", "sex = M", "site = A", "bp"]) == 4
    assert candidate_parameters([]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_sample_size_of_a_run(kind):
    inputs = full(kind)
    found = inputs.metrics["sample_size"]
    assert found["parameters"] == 2
    assert found["n"] == 160
    y = inputs.predictions["train"][0]
    if kind == "binary":
        events = int(min(y.sum(), 160 - y.sum()))
    elif kind == "multiclass":
        events = int(np.bincount(y.ravel().astype(int)).min())
    elif kind == "multilabel":
        events = int(np.minimum(y.sum(axis=0), 160 - y.sum(axis=0)).min())
    else:
        events = None
    assert found["events"] == events
    assert found["events_per_parameter"] == (160 if events is None else events) / 2
    assert found["assumptions"]
    for each in found["assumptions"]:
        rows = [criterion["needed"] for criterion in each["criteria"] if criterion["needed"]]
        if each["r2"] <= 0:  # the example's outputs are noise
            assert (each["needed"], each["met"]) == (None, None)
            assert "no sample size is known to suffice" in each["note"]
            continue
        assert each["needed"] == max(rows)
        assert each["met"] == (max(rows) <= 160)


def binary_task():
    return tasks.build("binary", positive=1).fit(np.array([0, 1]))


@pytest.mark.parametrize(
    ("y", "columns", "reason"),
    [
        (np.zeros((20, 1)), ["a"], "one class only among the training rows"),
        (np.eye(2)[:, :1], [], "no candidate predictors are named"),
    ],
)
def test_sample_size_that_cannot_be_computed_says_why(y, columns, reason):
    found = sample_size(binary_task(), y, columns, (y, y))
    assert found["not_estimable"] == reason
    assert found["assumptions"] == []


def test_a_model_that_explains_nothing_has_no_sample_size():
    y = (np.arange(100) % 4 == 0).astype(float)[:, None]
    found = sample_size(binary_task(), y, ["a"], (y, np.full((100, 1), 0.9)))
    usual, reached = found["assumptions"]
    assert usual["nagelkerke_r2"] == pytest.approx(0.15)
    assert (reached["needed"], reached["met"], reached["criteria"]) == (None, None, [])
    assert "not estimable: Cox and Snell's R² on the test part is" in reached["note"]
    number = tasks.build("regression").fit(np.arange(10.0)[:, None], [])
    values = np.arange(10.0)[:, None]
    found = sample_size(number, values, ["a"], (values, values[::-1]))
    assert "for a model that explains nothing" in found["not_estimable"]
    found = sample_size(number, values, ["a"], (np.ones((3, 1)), np.ones((3, 1))))
    assert found["not_estimable"] == "the R² on the test part is undefined"
