"""Masks on their images: truth and answer, and how well they agree from image to image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medkit.data.inputs import Array
from medkit.report.drawing import BLUE, GREY, INK, ORANGE, Figure, draw
from medkit.report.figures import typical
from medkit.report.inputs import ReportInputs
from medkit.report.outcome import OutcomeReport, outcome_reports
from medkit.report.section import section
from medkit.report.templates import percent, readable
from medkit.tasks.outcomes import Outcome
from medkit.tasks.segmentation import overlaps

_MOST_STRUCTURES = 4
_WORST = 10


@section("masks", "Masks", 60, kinds=("mask",), external=True)
def masks_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """Three images of each structure with truth and answer, and the Dice of all images."""
    figures: list[Figure] = []
    for number, outcome in enumerate(inputs.outcomes[:_MOST_STRUCTURES]):
        dice = _dice(outcome)
        figures += _overlays(inputs, number, outcome, dice)
        if not np.isnan(dice).all():
            figures.append(_spread(number, outcome.name, dice))
    left_out = max(len(inputs.outcomes) - _MOST_STRUCTURES, 0)
    return {"figures": figures, "left_out": left_out} if figures else None


@outcome_reports.register("mask")
class Masks(OutcomeReport):
    """The pixels of one or several structures."""

    unweighted = "Each pixel is marked or not; how the loss weighs few against many is its own."

    def errors(self, hashed: Sequence[str]) -> dict[str, Any] | None:
        """The images that show a structure and are marked worst."""
        found = [
            (float(dice), -int(outcome.y[row].sum()), hashed[row], outcome.name,
             int((outcome.p[row] >= outcome.threshold).sum()))
            for outcome in self.inputs.outcomes
            for row, dice in enumerate(_dice(outcome))
            if not np.isnan(dice)
        ]  # fmt: skip
        rows = [
            [sample, name, readable(dice), f"{-less:,}", f"{marked:,}"]
            for dice, less, sample, name, marked in sorted(found)[:_WORST]
        ]
        head = ["Sample", "Structure", "Dice", "Pixels of it", "Pixels marked"]
        caption = f"The images of {self.inputs.where} that show it and overlap least."
        return {"head": head, "rows": rows, "caption": caption}

    def words(self) -> list[str]:
        """The Dice of the middle image."""
        found = []
        for outcome in self.inputs.outcomes:
            dice = _dice(outcome)
            known = dice[~np.isnan(dice)]
            if len(known):
                found.append(
                    f"Of the {len(known):,} {self.inputs.samples} that show {outcome.name}, half "
                    f"have a Dice of {readable(float(np.median(known)))} or more; in "
                    f"{percent(float((known == 0).mean()))} no pixel of it is found."
                )
        return found

    def output(self) -> str:
        """A probability for each pixel."""
        at = self.inputs.outcomes[0].threshold if self.inputs.outcomes else 0.5
        return f"The output is a probability for each pixel; from {at:g} on a pixel is marked."

    def measures(self) -> list[str]:
        """The overlap in each image."""
        return ["the overlap in each image"]


def _dice(outcome: Outcome) -> np.ndarray:
    """(n,) Dice of each image; NaN where the structure is absent."""
    true, marked = np.asarray(outcome.y, bool), np.asarray(outcome.p) >= outcome.threshold
    counts = [each.sum(axis=(1, 2)) for each in (true & marked, ~true & marked, true & ~marked)]
    return np.where(true.any(axis=(1, 2)), overlaps(*counts)[0], np.nan)


def _overlays(
    inputs: ReportInputs, number: int, outcome: Outcome, dice: np.ndarray
) -> list[Figure]:
    images = _images(inputs, outcome.y.shape)
    if images is None:
        return []
    drawn = []
    for called, row in typical(dice, ("a poor one", "a middling one", "a good one")):
        name = inputs.sample_name(row)

        def plot(axes: Any, row: int = row) -> None:
            axes.imshow(
                np.asarray(images[row : row + 1])[0, ..., 0], cmap="gray", interpolation="nearest"
            )
            for mask, colour in ((outcome.y[row], BLUE), (outcome.p[row], ORANGE)):
                axes.contour(mask, levels=[0.5 if colour == BLUE else outcome.threshold],
                             colors=[colour], linewidths=1.6)  # fmt: skip
            axes.set_axis_off()

        true, marked = outcome.y[row].sum(), (outcome.p[row] >= outcome.threshold).sum()
        alt = (
            f"{outcome.name}, {called} ({name}): Dice {readable(float(dice[row]))}, "
            f"{int(true):,} pixels of it and {int(marked):,} marked"
        )
        caption = f"{name.capitalize()}: Dice {readable(float(dice[row]))}. Blue: truth; orange: "
        title = f"{outcome.name}: {called}"
        drawn.append(draw(f"mask{number}-{called.split()[1]}", title, f"{caption}answer.", alt,
                          plot, left=0.12))  # fmt: skip
    return drawn


def _images(inputs: ReportInputs, shape: tuple[int, ...]) -> Array | None:
    """(n, height, width, channels) the images that the masks lie on."""
    given = inputs.encoded.arrays.values() if inputs.encoded is not None else ()
    return next((each for each in given if each.ndim == 4 and each.shape[:3] == shape), None)


def _spread(number: int, name: str, dice: np.ndarray) -> Figure:
    known = np.sort(dice[~np.isnan(dice)])

    def plot(axes: Any) -> None:
        axes.hist(known, bins=np.linspace(0, 1, 21), color=BLUE)
        axes.axvline(np.median(known), color=INK, linewidth=1.0, linestyle="--")
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="Dice", ylabel="images", xlim=(0, 1))
        axes.spines["bottom"].set_color(GREY)

    quartiles = ", ".join(readable(float(each)) for each in np.quantile(known, [0.25, 0.5, 0.75]))
    alt = f"Dice of {name} in {len(known)} images; quartiles {quartiles}"
    caption = "Of the images that show it; dashed: the middle one."
    return draw(f"dice{number}", f"{name}: Dice of each image", caption, alt, plot)
