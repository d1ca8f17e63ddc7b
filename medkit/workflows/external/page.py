"""What an external validation leaves in a folder: ``external.json`` and ``external.html``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from medkit.core.errors import RunError
from medkit.data.parts import Part
from medkit.evaluation.methods import methods_for
from medkit.runs.run import Run, check_written, write_json
from medkit.workflows.external.data import ExternalData

RESULT, PAGE = "external.json", "external.html"


def check_folder(folder: Path) -> None:
    """Refuse a folder that another report lies in, before anything is computed.

    Raises:
        RunError: It holds an earlier result, is a file, or belongs to a run.
    """
    check_written(folder)
    if folder.is_file() or any((folder / name).exists() for name in (RESULT, PAGE)):
        raise RunError(
            "holds an earlier report already", place=str(folder), hint="Name another folder."
        )


def write_external(
    folder: Path,
    run: Run,
    new: ExternalData,
    part: Part,
    outputs: np.ndarray,
    result: dict[str, Any],
) -> None:
    """Write the result as JSON and as a page; neither names a patient.

    Args:
        folder: Where to; made if it is not there.
        run: The run that was evaluated.
        new: The data it was evaluated on.
        part: The rows, encoded.
        outputs: (n, outputs) of the saved network for them.
        result: What ``evaluate_run_on`` returns.
    """
    from medkit.report import ReportInputs
    from medkit.report.pages.external import write_external_report

    source, settings = new.whole.source, new.experiment.evaluation
    facts = {
        "run": run.path.resolve().name,
        "name": run.config["name"],
        "model": run.config["model"]["name"],
        "task": run.task.kind,
        "dataset": new.dataset.name,
        "data_sha256": dict(source.files),
        "confidence": settings.confidence,
        "sites": list(new.sites),
    }
    write_json(folder / RESULT, {**facts, **result})
    inputs = ReportInputs(
        name=facts["name"],
        task=run.task,
        model=facts["model"],
        metrics={
            "test": result,
            **{each: result[each] for each in ("subgroups", "fairness") if each in result},
        },
        history={},
        predictions={"test": (part.y, outputs)},
        source=source,
        config=yaml.safe_dump({"evaluation": settings.model_dump(mode="json")}),
        target_names=new.whole.target_names,
        confidence=settings.confidence,
        encoded=part.inputs,
        windows=methods_for(run.task).known_course(run.encoder, part.inputs),
        away=not new.own,
    )
    write_external_report(folder / PAGE, facts, inputs)
