"""What a case of a bad input is, and the small files that cases change."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

Content = str | bytes | Callable[[Path], object]


class Case(NamedTuple):
    """A command that must be refused.

    Args:
        name: What is bad about it.
        words: What stderr must hold.
        config: Written to ``case.yaml``; ``{folder}`` is the case's folder.
        files: More files by name: their content, or a function that makes the file.
        command: The arguments of medkit; ``{folder}`` as above.
        status: The exit status.
        environment: Variables set for it.
        kept: Files that must be as they were; no other file may appear beside the named ones.
    """

    name: str
    words: str | tuple[str, ...]
    config: str | None = None
    files: Mapping[str, Content] = {}
    command: str = "audit -c case.yaml"
    status: int = 1
    environment: Mapping[str, str] = {}


def visits(rows: int = 60) -> str:
    """A small table: patient, age, sbp, died."""
    draw = random.Random(1)
    lines = [
        f"p{number},{draw.randint(20, 90)},{draw.randint(90, 180)},{number % 2}"
        for number in range(rows)
    ]
    return "patient,age,sbp,died\n" + "\n".join(lines) + "\n"


def config(dataset: str, rest: str = "", model: str = "mlp", task: str = "binary") -> str:
    """A config of a dataset section written as flow YAML, and of further lines."""
    return f"name: case\ndataset: {dataset}\ntask: {task}\nmodel: {model}\n{rest}"
