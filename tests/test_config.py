"""Every mistake in a config is reported, at once, with its line and how to fix it."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from medkit.config.experiment import Training, load_config, same_experiment
from medkit.core import registry
from medkit.core.checking import check
from medkit.core.errors import ConfigError, MedkitError
from medkit.core.groups import ParameterGroup, groups_of
from medkit.core.registry import signature_model, with_groups

GOOD = """\
name: trial
seed: 3
dataset: breast_cancer
task: binary
model: {name: mlp, hidden_units: [8]}
training:
  epochs: 2
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "trial.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def refused(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text), overrides)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_a_model_must_answer_as_the_task_asks(tmp_path, monkeypatch):
    from medkit.tasks.binary import Binary

    monkeypatch.setattr(Binary, "answers", "pixel")
    with pytest.raises(ConfigError, match="'mlp' gives one answer per sample; task 'binary' needs"):
        load_config(write(tmp_path, GOOD))


def test_settings_that_need_positives_are_refused_for_other_tasks(tmp_path):
    text = GOOD + "calibration: platt\nevaluation: {prevalence: 0.1}\n"
    load_config(write(tmp_path, text))
    said = refused(tmp_path, text, "task=regression")
    assert "calibration: recalibrates probabilities; task 'regression' has none" in said
    assert "evaluation.prevalence: is the share of positives; task 'regression' has none" in said
    said = refused(tmp_path, text, "task=multiclass")
    assert "1 problem" in said
    assert "evaluation.prevalence: is the share of positives; task 'multiclass' has none" in said


@pytest.mark.parametrize("weights", ["balanced", "{low: 2}"])
def test_class_weights_are_refused_where_classes_do_not_exclude_each_other(tmp_path, weights):
    text = GOOD + f"  class_weight: {weights}\n"
    load_config(write(tmp_path, text))
    for task in ("regression", "multilabel", "forecasting"):
        said = refused(tmp_path, text, f"task={task}")
        assert (
            "training.class_weight: weights mutually exclusive classes; "
            f"task '{task}' has none: remove it" in said
        )


def test_a_monitor_is_understood_as_keras_names_it(tmp_path):
    text = GOOD + "  early_stopping: {monitor: val_auroc}\n"
    assert load_config(write(tmp_path, text)).training.early_stopping.monitor == "auroc"
    said = refused(tmp_path, text.replace("auroc", "aurok"))
    assert "task 'binary' does not watch 'aurok'; did you mean 'auroc'?" in said


@pytest.mark.parametrize(
    ("target", "task", "fits"),
    [
        ("risk", "binary", True),
        ("risk", "regression", False),
        ("systolic_pressure", "regression", True),
        ("systolic_pressure", "multiclass", False),
    ],
)
def test_a_task_learns_what_the_targets_of_a_synthetic_dataset_are(tmp_path, target, task, fits):
    text = GOOD.replace("breast_cancer", f"{{name: synthetic_vitals, target: {target}}}")
    if fits:
        load_config(write(tmp_path, text), [f"task={task}"])
    else:
        said = refused(tmp_path, text, f"task={task}")
        assert f"'{task}' cannot learn the targets of 'synthetic_vitals'" in said


def test_defaults_are_written_out(tmp_path):
    experiment = load_config(write(tmp_path, GOOD))
    assert experiment.model.parameters["hidden_units"] == (8,)
    assert experiment.model.parameters["activation"] == "relu"
    assert experiment.training.epochs == 2
    assert experiment.plain["training"]["optimizer"]["learning_rate"] == 0.001
    again = write(tmp_path, experiment.to_yaml())
    assert load_config(again).plain == experiment.plain


def test_all_problems_at_once_with_lines(tmp_path):
    text = refused(
        tmp_path,
        """\
        name: trial
        dataset: {name: breast_cancr}
        task: binary
        model:
          name: mlp
          hidden_unit: [8]
          dropout: 1.5
        training:
          batch_size: 0
          epochs: "3"
        """,
    )
    assert text.splitlines()[0].endswith("trial.yaml: 5 problems")
    assert (
        "line 2   dataset.name: no dataset called 'breast_cancr'; did you mean 'breast_cancer'?"
        in text
    )
    assert (
        "line 6   model.hidden_unit: not a parameter of 'mlp'; did you mean 'hidden_units'?" in text
    )
    assert "line 7   model.dropout: must be" in text
    assert "line 9   training.batch_size: must be 1 or more; got 0" in text
    assert "line 10  training.epochs: must be a whole number; got '3'" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("trainin: {epochs: 3}", "trainin: not a section of a config; did you mean 'training'?"),
        ("seed: -1", "seed: must be 0 or more; got -1"),
        ("seed: true", "seed: must be a whole number; got true"),
        ("backend: torchh", "backend: must be 'tensorflow', 'jax' or 'torch'; got 'torchh'"),
        ("task: binari", "task.name: no task called 'binari'; did you mean 'binary'?"),
        ("model: {hidden_units: [3]}", "model: must be a name, or a mapping with 'name'"),
        (
            "model: lstm",
            "model.name: 'lstm' cannot take tabular data ('breast_cancer'); these can:",
        ),
        (
            "model: {name: mlp, activation: rleu}",
            "Keras has no activation 'rleu'; did you mean 'relu'?",
        ),
        ("model: {name: mlp, output_activation: tanh}", "not a parameter of 'mlp'"),
        (
            "split: {by: sight}",
            "split.by: must be 'subject', 'time', 'site', 'column' or 'fold'; got 'sight'",
        ),
        ("split: {by: site}", "split.train_sites: is required with 'by: site'"),
        ("split: {by: column}", "split.column: is required with 'by: column'"),
        ("split: {valid: 0.6, test: 0.4}", "split: valid 0.6 and test 0.4 leave too little"),
        ("split: {test: 1.5}", "split.test: must be below 1; got 1.5"),
        ("training: {optimizer: adm}", "no optimizer called 'adm'; did you mean 'adam'?"),
        (
            "training: {optimizer: {name: sgd, momentun: 0.9}}",
            "training.optimizer.momentun: not a setting of 'sgd'; did you mean 'momentum'?",
        ),
        (
            "training: {learning_rate_schedule: cosin}",
            "no learning rate schedule called 'cosin'; did you mean 'cosine'?",
        ),
        (
            "training: {early_stopping: {monitor: aurok}}",
            "task 'binary' does not watch 'aurok'; did you mean 'auroc'?",
        ),
        (
            "task: forecasting",
            "task.name: 'forecasting' cannot learn the targets of 'breast_cancer'; these can: "
            "binary, multiclass",
        ),
        ("task: regression", "task.name: 'regression' cannot learn the targets of 'breast_cancer'"),
        ("task: multilabel", "task.name: 'multilabel' cannot learn the targets of 'breast_cancer'"),
        (
            "task: {name: survival, cuts: [30, 90], horizon: 100}",
            "task: horizon 100 lies beyond the last cut, 90, and nothing is predicted for it: set "
            "it to 90 or less, or name later cuts",
        ),
        ("preprocessing: {missing: forward_fill}", "preprocessing.missing: must be"),
        ("preprocessing: {name: image}", "'breast_cancer' yields tabular; leave the name out"),
        ("dataset: {name: table}", "dataset.path: is required"),
        ("dataset: null", "dataset: is required"),
        ("name: ../escape", "name: "),
    ],
)
def test_one_message_per_mistake(tmp_path, change, message):
    key = change.partition(":")[0]
    kept = [line for line in GOOD.splitlines() if not line.startswith((f"{key}:", "  "))]
    kept = [line for line in kept if line != "training:"]
    assert message in refused(tmp_path, "\n".join([*kept, change]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "must be a mapping of settings such as 'model: mlp'; got a list"),
        ("", "got nothing"),
        ("model:\n\tname: mlp\n", "line 2   a tab; YAML is indented with spaces"),
        ("seed: 1\nseed: 2\n", "line 2   seed: stands twice (first on line 1); keep one of them"),
        ("model: {name: mlp, name: cnn}\n", "stands twice"),
        ("model: [\n", "not valid YAML"),
    ],
)
def test_yaml_that_is_no_config(tmp_path, text, message):
    assert message in refused(tmp_path, text)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_merge_keys_are_understood(tmp_path):
    text = GOOD.replace("training:\n", "training:\n  <<: {batch_size: 16}\n")
    assert load_config(write(tmp_path, text)).training.batch_size == 16


def test_overrides(tmp_path):
    path = write(tmp_path, GOOD)
    experiment = load_config(
        path,
        [
            "training.epochs=7",
            "model.dropout=0.5",
            "training.early_stopping=null",
            "task.threshold=f1",
        ],
    )
    assert experiment.training.epochs == 7
    assert experiment.training.early_stopping is None
    assert experiment.model.parameters["dropout"] == 0.5
    assert load_config(path, ["model={name: mlp, l2: 1e-3}"]).model.parameters["l2"] == 0.001
    assert "--set takes PATH=VALUE" in refused(tmp_path, GOOD, "training.epochs")
    assert "must be 1 or more" in refused(tmp_path, GOOD, "training.epochs=0")
    assert "'seed' is 3, not a mapping" in refused(tmp_path, GOOD, "seed.x=1")


def test_variables_expand_and_stay_unexpanded_in_the_run(tmp_path, monkeypatch):
    text = GOOD.replace(
        "breast_cancer", "{name: table, path: '${MEDKIT_X:-here}/t.csv', target: y}"
    )
    experiment = load_config(write(tmp_path, text))
    assert experiment.dataset.parameters["path"] == tmp_path / "here" / "t.csv"
    monkeypatch.setenv("MEDKIT_X", "/elsewhere")
    experiment = load_config(write(tmp_path, text))
    assert experiment.dataset.parameters["path"] == Path("/elsewhere/t.csv")
    assert experiment.plain["dataset"]["path"] == "${MEDKIT_X:-here}/t.csv"
    message = refused(tmp_path, text.replace(":-here", "").replace("_X", "_UNSET"))
    assert "line 3   dataset.path: the environment variable MEDKIT_UNSET is not set" in message


def test_a_resumed_config_may_not_add_leave_out_or_change_a_section(tmp_path):
    before = load_config(write(tmp_path, GOOD))
    same_experiment(load_config(write(tmp_path, GOOD + "description: other words\n")), before)
    longer = replace(before, plain={**before.plain, "another": {"units": [8]}})
    for given, other in ((longer, before), (before, longer)):
        with pytest.raises(ConfigError, match="another: differs from the interrupted run"):
            same_experiment(given, other)
    changed = load_config(write(tmp_path, GOOD), ["model.dropout=0.5", "seed=4"])
    with pytest.raises(ConfigError, match=r"model: differs[\s\S]*seed: differs"):
        same_experiment(changed, before)


def test_relative_paths(tmp_path, monkeypatch):
    text = GOOD.replace("breast_cancer", "{name: table, path: t.csv, target: y}")
    (tmp_path / "below").mkdir()
    path = write(tmp_path / "below", text)
    assert load_config(path).dataset.parameters["path"] == tmp_path / "below" / "t.csv"
    above = write(tmp_path / "below", "folder: ..\n" + text)
    assert load_config(above).dataset.parameters["path"] == tmp_path / "t.csv"
    # On the command line, people mean the folder they stand in.
    monkeypatch.chdir(tmp_path)
    experiment = load_config(path, ["dataset.path=other.csv"])
    assert experiment.dataset.parameters["path"] == tmp_path / "other.csv"


TABLE = GOOD.replace(
    "dataset: breast_cancer\n",
    """\
dataset:
  name: table
  path: visits.csv
  target: died
  columns: {subject: patient}
""",
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("columns: {target: died}",
         "line 7   dataset.columns.target: not a parameter of the group columns, it stands beside "
         "it: write 'target: ...' a level higher"),
        ("columns: {separator: x}",
         "line 7   dataset.columns.separator: not a parameter of the group columns; known: "),
        ("columns: {subjekt: patient}",
         "line 7   dataset.columns.subjekt: not a parameter of the group columns; did you mean "
         "'subject'?"),
        ("subject: patient",
         "line 7   dataset.subject: is in the group columns: write columns: {subject: ...}"),
        ("target_above: 3",
         "line 7   dataset.target_above: is in the group target: write target: {above: ...}"),
        ("unit: {sbp: mmHg}",
         "line 7   dataset.unit: not a parameter of 'table'; did you mean 'values: {units: ...}'?"),
        ("source: {timeout: -1}", "line 7   dataset.source.timeout: must be above 0; got -1"),
        ("source: visits.sqlite",
         "line 7   dataset.source: must be a mapping; got 'visits.sqlite'"),
        ("values: {ranges: {sbp: [300, 40]}}",
         "line 7   dataset.values: ranges.sbp: 300 is above 40"),
        ("values: {outside: clipp}",
         "line 7   dataset.values.outside: must be 'missing', 'clip', 'keep' or 'fail'; got "
         "'clipp'; did you mean 'clip'?"),
        ("source: {url: 'sqlite:///a.sqlite'}",
         "line 7   dataset.source.url: cannot be combined with path: give one of them"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_group_is_named_with_its_path(tmp_path, change, message):
    text = TABLE.replace("  columns: {subject: patient}\n", f"  {change}\n")
    assert message in refused(tmp_path, text)


@pytest.mark.parametrize("name", ["stepp", "step", "stepp_hours"])
def test_the_nearest_name_of_the_same_group_goes_before_those_of_others(tmp_path, name):
    changed = f"labels: b.csv\n  window: {{{name}: 1}}"
    text = TABLE.replace("name: table", "name: events")
    said = refused(tmp_path, text.replace("columns: {subject: patient}", changed))
    known = f"dataset.window.{name}: not a parameter of the group window; did you mean"
    assert f"{known} 'step_hours'?" in said


def test_a_tab_within_a_text_is_a_tab(tmp_path):
    text = TABLE + "description: |\n  one\n  \ttwo\n  thr\tee\n"
    assert load_config(write(tmp_path, text)).header.description == "one\n\ttwo\nthr\tee\n"
    assert "a tab; YAML is indented with spaces" in refused(tmp_path, TABLE + "split:\n\tby: x\n")


def test_a_plain_value_is_short_for_a_group(tmp_path):
    experiment = load_config(write(tmp_path, TABLE))
    assert experiment.dataset.parameters["target"].column == "died"
    assert experiment.plain["dataset"]["target"] == {"column": "died", "above": None}
    several = load_config(write(tmp_path, TABLE.replace("target: died", "target: [died, ill]")))
    assert several.dataset.parameters["target"].columns == ("died", "ill")
    # A group of which nothing but comments is written has its defaults.
    bare = load_config(write(tmp_path, TABLE.replace("{subject: patient}", "")))
    assert bare.dataset.parameters["columns"].subject is None


class Two(ParameterGroup):
    """Two parameters."""

    one: int = 1
    """The first."""
    two: int = 2
    """The second."""


def test_a_group_in_part_keeps_what_its_signature_gives_the_rest():
    @with_groups
    def factory(*, pair: Two = Two(two=5)) -> tuple[int, int]:  # noqa: B008
        """A pair.

        Args:
            pair: Two numbers.
        """
        return pair.one, pair.two

    assert factory(pair={"one": 3}) == (3, 5)
    found, _ = check(signature_model(factory), {"pair": {"one": 3}}, "a parameter")
    assert (found.pair.one, found.pair.two) == (3, 5)
    with pytest.raises(ConfigError, match=r"pair\.three: not a parameter of the group pair"):
        factory(pair={"three": 3})


def test_groups_of_different_kinds_have_different_names():
    # In the JSON Schema a group goes by its name, whichever data set it is of.
    kinds = {}
    for name in registry.datasets.names():
        for group in groups_of(registry.datasets.schema(name)).values():
            assert kinds.setdefault(group.__name__, group) is group


def test_overrides_within_groups(tmp_path):
    path = write(tmp_path, TABLE)
    found = load_config(path, ["dataset.target.above=4", "dataset.source.decimal=','"])
    target = found.dataset.parameters["target"]
    assert (target.column, target.above) == ("died", 4)
    assert found.dataset.parameters["source"].decimal == ","
    assert "line 7   dataset.columns.sight: not a parameter of the group columns; did you mean" in (
        refused(tmp_path, TABLE, "dataset.columns.sight=ward")
    )


def test_short_forms_within_a_joined_data_set(tmp_path, monkeypatch):
    joined = """\
dataset:
  name: joined
  key: sample
  labels: {name: table, path: labels.csv, target: died}
  inputs:
    vitals: {name: events, path: events.csv, labels: "${MEDKIT_X}/stays.csv"}
"""
    text = GOOD.replace("dataset: breast_cancer\n", joined)
    text = text.replace("{name: mlp, hidden_units: [8]}", "gru")
    monkeypatch.setenv("MEDKIT_X", "/elsewhere")
    found = load_config(write(tmp_path, text), ["dataset.labels.target.above=3"])
    assert found.dataset.parameters["labels"]["target"].above == 3
    vitals = found.dataset.parameters["inputs"]["vitals"]
    assert vitals["labels"].path == Path("/elsewhere/stays.csv")
    plain = found.plain["dataset"]["inputs"]["vitals"]
    assert plain["labels"]["path"] == "${MEDKIT_X}/stays.csv"


def test_paths_and_variables_within_groups(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDKIT_X", "known")
    dictionary = "values: {dictionary: '${MEDKIT_X}/d.yaml'}"
    (tmp_path / "below").mkdir()
    path = write(tmp_path / "below", TABLE.replace("columns: {subject: patient}", dictionary))
    experiment = load_config(path)
    found = experiment.dataset.parameters["values"].dictionary
    assert found == tmp_path / "below" / "known" / "d.yaml"
    assert experiment.plain["dataset"]["values"]["dictionary"] == "${MEDKIT_X}/d.yaml"
    monkeypatch.chdir(tmp_path)
    experiment = load_config(path, ["dataset.values.dictionary=here.yaml"])
    assert experiment.dataset.parameters["values"].dictionary == tmp_path / "here.yaml"
    assert experiment.plain["dataset"]["values"]["dictionary"] == "../here.yaml"
    monkeypatch.delenv("MEDKIT_X")
    with pytest.raises(ConfigError, match=r"line 7   dataset\.values\.dictionary: the environment"):
        load_config(path)


def test_a_variable_may_be_empty(tmp_path, monkeypatch):
    text = GOOD + "description: 'a${MEDKIT_X}b${MEDKIT_X:-c}'\n"
    monkeypatch.setenv("MEDKIT_X", "")
    # As in a shell, a default stands for what is unset or empty.
    assert load_config(write(tmp_path, text)).header.description == "abc"


def test_registered_names_are_functions_of_their_packages():
    import medkit.datasets
    from medkit.datasets import events, table

    assert callable(events)
    assert callable(table)
    for name in registry.datasets.names():
        assert getattr(medkit.datasets, name) is registry.datasets.get(name).factory


def test_code_is_refused_unless_allowed(tmp_path):
    text = refused(tmp_path, GOOD.replace("name: mlp", "name: 'os:getcwd'"))
    assert (
        "'os:getcwd' names code to run; it is not allowed unless you pass --allow-code os" in text
    )


def test_training_settings_from_keywords():
    assert Training.of(optimizer="sgd").optimizer.parameters["learning_rate"] == 0.01
    with pytest.raises(MedkitError, match="did you mean 'epochs'"):
        Training.of(epoch=3)
