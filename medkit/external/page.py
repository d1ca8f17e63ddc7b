"""What an external validation leaves in a folder: ``external.json`` and ``external.html``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medkit.errors import RunError
from medkit.external.data import NewData
from medkit.runs import Run, write_json

RESULT, PAGE = "external.json", "external.html"


def check_folder(folder: Path) -> None:
    """Refuse a folder that another report lies in, before anything is computed.

    Raises:
        RunError: It holds an earlier result, or is a file.
    """
    if folder.is_file() or any((folder / name).exists() for name in (RESULT, PAGE)):
        raise RunError(
            "holds an earlier report already", place=str(folder), hint="Name another folder."
        )


def write_external(folder: Path, run: Run, new: NewData, result: dict[str, Any]) -> None:
    """Write the result as JSON and as a page; neither names a patient.

    Args:
        folder: Where to; made if it is not there.
        run: The run that was evaluated.
        new: The data it was evaluated on.
        result: What ``evaluate_run_on`` returns.
    """
    from medkit.report.external import write_external_report

    source = new.cohort.source
    facts = {
        "run": run.path.resolve().name,
        "name": run.config["name"],
        "model": run.config["model"]["name"],
        "task": run.task.kind,
        "dataset": new.dataset.name,
        "data_sha256": dict(source.files),
        "confidence": new.experiment.evaluation.confidence,
        "sites": list(new.sites),
    }
    write_json(folder / RESULT, {**facts, **result})
    write_external_report(folder / PAGE, facts, result)
