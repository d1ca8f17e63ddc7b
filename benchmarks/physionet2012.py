"""Every model family on PhysioNet 2012, set A: five random 80/10/10 splits by stay, all reported.

Each run is a `medkit train` of configs/physionet2012_summary_mlp.yaml, as it is or with another
model, by seeds 1 to 5: a seed makes the split and the weights. Families for series read the hourly
grid; those for tables read its summaries by variable (`Series.summarize`: mean, min, max, first,
last, standard deviation, count; of the logarithm where the config says so), on the same splits,
which the script checks. The baselines are medkit's own, on summaries of the same training stays.
Settings were chosen by cross-validation within the training and validation stays of seed 1, never
on a test part; the test stays of the other seeds are among those.

Runs that are finished are not repeated, so that the script can be stopped and started again, or be
started twice with other --families.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "physionet2012_summary_mlp.yaml"
SEEDS = (1, 2, 3, 4, 5)
OWN = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["preprocessing"]
SINCE_TOO = {"indicators": True, "time_since": True}
SINCE = ["preprocessing.indicators=true", "preprocessing.time_since=true"]


def training(epochs: int, rate: float = 1e-3, batch: int = 64, ensemble: int = 1) -> str:
    """All epochs under a falling rate: 400 stays choose no epoch well."""
    return (
        f"training={{epochs: {epochs}, batch_size: {batch}, early_stopping: null, "
        f"optimizer: {{name: adam, learning_rate: {rate}, clipnorm: 1.0}}, "
        f"learning_rate_schedule: {{name: cosine, warmup_epochs: 1}}, ensemble: {ensemble}}}"
    )


def series(model: str, settings: str, preprocessing: Sequence[str] = SINCE) -> list[str]:
    """Overrides for a model that reads the grid."""
    return [f"model={model}", settings, *preprocessing]


def table(model: str, settings: str, inputs: str = "") -> list[str]:
    """Overrides for a model that reads the summaries."""
    columns = f"{{id: stay, subject: stay{inputs}}}"
    data = f"{{name: table, path: SUMMARIES, target: died, columns: {columns}}}"
    return [f"dataset={data}", f"model={model}", settings, "preprocessing={missing: mean}"]


RECURRENT = "units: [32], bidirectional: true, pooling: mean, dropout: 0.5, recurrent_dropout: 0.5"
# The first, which also carries the baselines, is the recommended one: the config as it is.
FAMILIES: dict[str, list[str]] = {
    "summary_mlp": [],
    "summary_mlp_alone": ["training.ensemble=1"],  # one network, as all below
    "gru": series(f"{{name: gru, {RECURRENT}}}", training(15, 3e-3)),
    # Age, sex, height, weight and kind of unit as a second input.
    "gru_static": series(
        f"{{name: gru, {RECURRENT}}}",
        training(15, 3e-3),
        [
            f"preprocessing={json.dumps({'series': OWN | SINCE_TOO})}",
            "dataset.static.features=[Age, Gender, Height, ICUType, Weight]",
            "dataset.static.categorical=[Gender, ICUType]",
        ],
    ),
    "lstm": series(f"{{name: lstm, {RECURRENT}}}", training(15, 3e-3)),
    "simple_rnn": series(f"{{name: simple_rnn, {RECURRENT}}}", training(15)),
    "grud": series(
        "{name: grud, units: 32, pooling: mean, dropout: 0.5, recurrent_dropout: 0.3}",
        training(15, 3e-3),
        (),
    ),
    "tcn": series(
        "{name: tcn, filters: [32, 32, 32], pooling: mean, dropout: 0.5, l2: 1.0e-3}", training(15)
    ),
    "cnn": series(
        "{name: cnn, filters: [32, 32], summary: mean, dense_units: [], dropout: 0.5, l2: 1.0e-3}",
        training(15),
    ),
    "transformer": series(
        "{name: transformer, num_blocks: 1, summary: mean, dropout: 0.3, l2: 1.0e-3}", training(12)
    ),
    "attention": series(
        "{name: attention, num_blocks: 1, num_heads: 4, dropout: 0.3, l2: 3.0e-3}", training(12)
    ),
    "strats": series(
        "{name: strats, units: 48, num_blocks: 1, num_heads: 4, dropout: 0.2}",
        training(10, 3e-3, 32),
        ["dataset.form=triplets", "preprocessing={most_events: 256}"],
    ),
    "mlp": table(
        "{name: mlp, hidden_units: [64], activation: silu, dropout: 0.5, l2: 3.0e-3}", training(20)
    ),
    "residual_mlp": table(
        "{name: residual_mlp, width: 32, num_blocks: 1, hidden_dropout: 0.5, l2: 3.0e-3}",
        training(15),
    ),
    "tabm": table(
        "{name: tabm, hidden_units: [64], members: 16, embedding: piecewise_linear, "
        "embedding_width: 2, embedding_pieces: 8, dropout: 0.5, l2: 1.0e-3}",
        training(30),
    ),
    # Attention among all 276 summaries costs their square: the means only.
    "ft_transformer": table(
        "{name: ft_transformer, num_blocks: 1, num_heads: 4, feed_forward_units: 32, "
        "residual_dropout: 0.2}",
        training(8),
        ", inputs: COLUMNS",
    ),
}


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "physionet2012")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--table", action="store_true", help="print what is there, train nothing")
    given = parser.parse_args()
    if not given.table:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        summaries = summarized(given.out)
        # By seed first: a table of whole splits is there early.
        for seed in given.seeds:
            for family in given.families:
                if finished(given.out, family, seed) is None:
                    trained(given.out, family, seed, summaries)
    print_table(given.out)


def finished(out: Path, family: str, seed: int) -> Path | None:
    """The finished run of a family and seed, if there is one."""
    found = sorted((out / family / f"seed-{seed}").glob("*/*/MANIFEST.json"))
    return found[-1].parent if found else None


def trained(out: Path, family: str, seed: int, summaries: Path) -> None:
    """One run; what nobody reads here (explanations, most resamples) is left out."""
    import keras

    from medkit.workflows.train import train

    overrides = written_out(FAMILIES[family], summaries)
    first = family == next(iter(FAMILIES))
    run = train(
        CONFIG,
        overrides=[
            *overrides,
            f"seed={seed}",
            f"name=physionet2012-{family.replace('_', '-')}",
            "split={by: subject, valid: 0.1, test: 0.1}",
            f"evaluation={{bootstrap: 20, explanations: false, baselines: {str(first).lower()}}}",
        ],
        out=out / family / f"seed-{seed}",
    )
    keras.backend.clear_session()
    values = run.metrics["test"]["metrics"]
    print(f"{family} seed {seed}: {values['auroc']['value']:.3f}", flush=True)


def summarized(out: Path) -> Path:
    """One row a stay, written once: nothing in it is learned from other stays."""
    import numpy as np
    import pandas as pd

    from medkit.config.experiment import load_config
    from medkit.data.splits import split
    from medkit.modalities.series import Series
    from medkit.workflows.prepare import read

    path = out.absolute() / "summaries.parquet"
    if path.exists():
        return path
    config = load_config(CONFIG, ["split={by: subject, valid: 0.1, test: 0.1}"])
    cohort = read(config.dataset)
    modality = Series().fit(cohort.inputs["series"])  # only for the names of the channels
    values = np.array(modality.encode(cohort.inputs["series"]))  # not the cohort's own
    for name in config.preprocessing["series"].parameters["logarithm"]:
        position = modality.names.index(name)
        values[:, :, position] = np.log1p(np.maximum(values[:, :, position], 0))
    rows = modality.summarize(values)
    rows = rows.loc[:, rows.nunique() > 1]
    rows.insert(0, "stay", cohort.samples.index.astype(str))
    rows["died"] = cohort.targets.astype(int)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(path)
    frame = read(load_config(CONFIG, written_out(FAMILIES["mlp"], path)).dataset)
    for seed in SEEDS:
        parts = [
            pd.Series(split(each, config.split, seed).parts, each.samples.index.astype(str))
            for each in (cohort, frame)
        ]
        if not parts[0].sort_index().equals(parts[1].sort_index()):
            path.unlink()
            raise SystemExit("the table's splits are not those of the series")
    return path


def written_out(overrides: Sequence[str], summaries: Path) -> list[str]:
    """Overrides with the table's path and its columns of means."""
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(summaries).names
    columns = [name for name in names if name.endswith(" mean")]
    return [
        each.replace("SUMMARIES", str(summaries)).replace("COLUMNS", str(columns))
        for each in overrides
    ]


def facts(run: Path) -> dict[str, Any]:
    """Scores, seconds an epoch and parameters of one run."""
    metrics = json.loads((run / "metrics.json").read_text())
    stages = json.loads((run / "environment.json").read_text())["stages"]
    epochs = len((run / "history.csv").read_text().splitlines()) - 1
    size = re.search(r"([\d,]+) parameters", (run / "log.txt").read_text())
    return {
        "auroc": metrics["test"]["metrics"]["auroc"]["value"],
        "auprc": metrics["test"]["metrics"]["auprc"]["value"],
        "seconds": stages["fit"]["seconds"] / epochs,
        "parameters": int(size.group(1).replace(",", "")) if size else None,
        "baselines": {
            name: {key: each["metrics"][key]["value"] for key in ("auroc", "auprc")}
            for name, each in metrics.get("baselines", {}).items()
        },
    }


def print_table(out: Path) -> None:
    """Mean ± standard deviation over the splits; Markdown."""
    print("| model | splits | AUROC | each | AUPRC | seconds an epoch | parameters |")
    print("|---|---|---|---|---|---|---|")
    baselines: dict[str, list[dict[str, float]]] = {}
    for family in FAMILIES:
        runs = [finished(out, family, seed) for seed in SEEDS]
        found = [facts(run) for run in runs if run is not None]
        if not found:
            continue
        for each in found:
            for name, scores in each["baselines"].items():
                baselines.setdefault(name, []).append(scores)
        seconds = statistics.median(each["seconds"] for each in found)
        row(f"`{family}`", found, f"{seconds:.1f}", f"{found[0]['parameters']:,}")
    for name in ("logistic_regression", "gradient_boosting"):
        if name in baselines:
            row(f"{name.replace('_', ' ')} (baseline)", baselines[name], "", "")


def row(name: str, found: Sequence[dict[str, Any]], seconds: str, parameters: str) -> None:
    """One line of the table."""
    each = ", ".join(f"{one['auroc']:.3f}" for one in found)
    print(
        f"| {name} | {len(found)} | {spread(found, 'auroc')} | {each} | {spread(found, 'auprc')} "
        f"| {seconds} | {parameters} |"
    )


def spread(found: Sequence[dict[str, Any]], key: str) -> str:
    """Mean ± standard deviation."""
    values = [one[key] for one in found]
    wide = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{wide}"


if __name__ == "__main__":
    main()
