"""A finished run on other data: predictions for a new file, evaluation on another data set."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medkit import registry
from medkit.cohort import Cohort
from medkit.config import Component, Evaluation, Experiment, check_config, load_config
from medkit.errors import ConfigError, DataError, Problem
from medkit.evaluation import evaluate_part, subgroup_metrics
from medkit.files import written_whole
from medkit.preparation import as_trained, divide, new_data, read
from medkit.runs import Run
from medkit.yaml_file import override

if TYPE_CHECKING:
    import pandas

log = logging.getLogger("medkit")


def predict_file(run: Run, path: Path) -> pandas.DataFrame:
    """Predict for every sample of a new file (or folder), laid out as the run's own data.

    Returns:
        Column ``sample`` (the file's own sample ids), then the task's prediction columns.

    Raises:
        DataError: The file cannot be read, or lacks what the model takes.
    """
    cohort = new_data(_dataset(run), path, run.modality)
    table = run.predict(cohort.only_input)
    table.insert(0, "sample", cohort.samples.index.to_numpy())
    return table.reset_index(drop=True)


def check_output(path: Path) -> None:
    """Refuse a file that predictions cannot be written to, before anything is computed.

    Raises:
        DataError: The suffix is neither .csv nor .parquet.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(
            f"predictions are written as .csv or .parquet, not '{path.suffix}'", place=str(path)
        )


def write_predictions(table: pandas.DataFrame, path: Path) -> None:
    """Write predictions as CSV or, by the suffix, Parquet; whole or not at all."""
    check_output(path)
    with written_whole(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def evaluate_run_on(
    run: Run, config: Path | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Evaluate a run's saved model on another data set, or again on its own test part.

    Args:
        run: The run.
        config: Config whose ``dataset`` section names the data; None: the run's own config.
        overrides: Changes to it, such as ``dataset.path=other.csv``.

    Returns:
        ``n``, ``subjects``, ``positives``, ``metrics`` with intervals, ``threshold`` (the run's
        own), ``subgroups``, and ``part`` (``all``, or ``test`` for the run's own data).

    Raises:
        ConfigError, DataError: What is wrong with the config or the data.
    """
    own = config is None and not any(_root(each) == "dataset" for each in overrides)
    experiment = _other(run, config, overrides)
    dataset = experiment.dataset
    if not own:
        tags = registry.datasets.get(dataset.name).tags
        told = as_trained(tags, run.modality, dataset.parameters)
        dataset = Component(dataset.name, {**dataset.parameters, **told})
    cohort = read(dataset)
    if cohort.targets is None:
        raise DataError("the data set has no targets to evaluate against")
    seen = _seen_in_development(run, experiment, cohort)
    if own:
        if dict(cohort.source.files) != run.environment["data_sha256"]:
            raise DataError(
                "the data have changed since the run, so its test part cannot be told apart",
                hint="Put the former files back, or evaluate on all of the new data as another "
                "data set: --config, or --set dataset.path=FILE.",
            )
        # The whole of it holds the training rows; only the held-out part is an evaluation.
        cohort = divide(cohort, experiment)[0]["test"]
    elif seen:
        log.warning(
            "the run was developed on this data set: the numbers below are no external validation"
        )
    usable = run.modality.keep(cohort.only_input)
    if not usable.all():
        log.warning("%d samples dropped: missing input", int((~usable).sum()))
        cohort = cohort.take(usable)
    y = run.task.encode(cohort.targets)
    outputs = run.outputs(cohort.only_input)
    settings: Evaluation = experiment.evaluation
    result: dict[str, Any] = {"part": "test" if own else "all"}
    result["overlaps_development"] = seen and not own
    result |= evaluate_part(
        run.task, y, outputs, cohort.subjects, run.threshold, settings, experiment.seed
    )
    wanted = [each for each in settings.subgroups if each in cohort.samples]
    if wanted:
        result["subgroups"] = subgroup_metrics(
            run.task,
            y,
            outputs,
            cohort.samples,
            cohort.subjects,
            run.threshold,
            settings,
            experiment.seed,
        )
    return result


def _root(assignment: str) -> str:
    return assignment.partition("=")[0].split(".")[0].strip()


def _other(run: Run, config: Path | None, overrides: Sequence[str]) -> Experiment:
    for assignment in overrides:
        if _root(assignment) not in ("dataset", "evaluation"):
            path = assignment.partition("=")[0].strip()
            text = "a finished run keeps its settings; only dataset and evaluation may change here"
            raise ConfigError([Problem(path, text)], place=f"--set {assignment}")
    if config is not None:
        return load_config(config, overrides)
    document = copy.deepcopy(dict(run.config))
    changed = {override(document, assignment) for assignment in overrides}
    place = str(run.path / "config.yaml")
    return check_config(document, folder=run.path, place=place, changed=changed)


def _dataset(run: Run) -> Component:
    # Paths in the run's own config need not exist any more; only the reader's settings matter.
    given = dict(run.config["dataset"])
    name = given.pop("name")
    schema = registry.datasets.schema(name)
    values = schema.model_validate(given, strict=False)
    return Component(name, {each: getattr(values, each) for each in schema.model_fields})


def _seen_in_development(run: Run, experiment: Experiment, cohort: Cohort) -> bool:
    known = set(run.environment["data_sha256"].values())
    if known & set(cohort.source.files.values()):
        return True
    # Another number of samples gives an embedded dataset another fingerprint, yet the same rows.
    name = experiment.dataset.name
    embedded = registry.datasets.get(name).tags.get("embedded", False)
    return bool(embedded and name == run.config["dataset"]["name"])


__all__ = ["evaluate_run_on", "predict_file", "write_predictions", "check_output"]
