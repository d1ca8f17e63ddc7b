"""Which pixels belong to a structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError, RunError
from medkit.core.files import written_whole
from medkit.core.lazy import keras
from medkit.core.registry import tasks
from medkit.tasks.outcomes import Metric, Outcome, for_each
from medkit.tasks.scores.metrics import with_each
from medkit.tasks.task import Statistics, Task, Threshold, fitted

if TYPE_CHECKING:
    import pandas

_METRICS = (
    Metric("dice", "Dice"), Metric("iou", "IoU"), Metric("recall", "pixel recall"),
    Metric("precision", "pixel precision"),
    Metric("false_alarms", "false positives among images without it", "less"),
)  # fmt: skip


@tasks.register(name="segmentation")
class Segmentation(Task):
    """The pixels of one or several structures: a probability for each pixel.

    Targets (n, height, width) or (n, height, width, structures) of 0 and 1; encoded as uint8 with
    an axis of structures. The model returns probabilities (n, height, width, structures). Dice and
    IoU are means over the images that show the structure (where it is absent they say nothing);
    recall and precision count the pixels of all images; of the images without it, ``false_alarms``
    is the share in which a pixel is marked. All follow from the sums of each image, so that
    intervals by subject look at no pixel twice.

    Args:
        loss: dice_crossentropy (soft Dice, Milletari et al., V-Net, 3DV 2016, plus cross-entropy,
            as in Isensee et al., nnU-Net, Nat. Methods 2021), dice, or binary_crossentropy.
        threshold: Probability from which on a pixel is marked.
    """

    kind: ClassVar[str] = "segmentation"
    outcome: ClassVar[str] = "mask"
    no_single_value: ClassVar[str] = "a mask is made of the same pixels as its image"
    reads: ClassVar[str] = "mask"
    answers: ClassVar[str] = "pixel"
    leading: ClassVar[str] = "dice"
    monitors: ClassVar[dict[str, str]] = {"loss": "min", "iou": "max"}
    monitor: ClassVar[str] = "loss"
    learned: ClassVar[tuple[str, ...]] = ("size_",)

    def __init__(
        self,
        *,
        loss: Literal["dice_crossentropy", "dice", "binary_crossentropy"] = "dice_crossentropy",
        threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    ):
        self.loss, self.threshold = loss, threshold
        self.size_: list[int] | None = None

    def fit(self, targets: Any, names: Sequence[str] = ()) -> Self:
        """Learn height, width and the number of structures.

        Raises:
            DataError: No masks, values other than 0 and 1, or a structure in no image.
        """
        masks = _zeros_and_ones(targets)
        count = masks.shape[3]
        self.names_ = tuple(names) if len(names) == count else _numbered(count)
        for name, present in zip(self.names_, self.events(masks).sum(axis=0), strict=True):
            if not present:
                raise DataError(
                    f"none of the {len(masks)} training masks marks a pixel",
                    place=f"target '{name}'",
                    hint="Check the masks: 1 is the structure, 0 is not.",
                )
        self.size_ = list(masks.shape[1:])
        return self

    @classmethod
    def example(cls, rows: int, random: np.random.Generator) -> np.ndarray:
        """Masks of two structures on 6 × 5 pixels."""
        return random.integers(0, 2, (rows, 6, 5, 2))

    def encode(self, targets: Any) -> np.ndarray:
        """(n, height, width, structures) uint8.

        Raises:
            DataError: Masks of another size, or values other than 0 and 1.
        """
        masks, size = _zeros_and_ones(targets), fitted(self, "size_")
        if list(masks.shape[1:]) != list(size):
            raise DataError(
                f"masks of {_written(masks.shape[1:])} were given where the training masks have "
                f"{_written(size)}",
                hint="Give all masks the size of their images.",
            )
        return masks

    @property
    def num_outputs(self) -> int:
        """The number of structures."""
        return int(fitted(self, "size_")[2])

    @property
    def output_activation(self) -> str:
        """A probability for each structure: structures may overlap."""
        return "sigmoid"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The mean over the structures, then each where there are several."""
        return for_each(_METRICS, self.names_ if len(self.names_) > 1 else ())

    def keras_loss(self) -> Any:
        """The loss of (n, height, width, structures) masks and probabilities, (n,)."""
        return {"dice": _dice_loss, "binary_crossentropy": _crossentropy}.get(self.loss, _both)

    def watch(self) -> list[Any]:
        """IoU of all pixels of a batch together, at 0.5."""
        return [keras.metrics.BinaryIoU(target_class_ids=(1,), name="iou")]

    def statistics(self, y: np.ndarray, p: np.ndarray, threshold: Threshold = None) -> Statistics:
        """Pixels (n, structures) of each image: rightly marked, wrongly marked and missed."""
        y, marked = np.asarray(y, bool), np.asarray(p) >= self._at(threshold)
        return {
            "tp": (y & marked).sum(axis=(1, 2)).astype(float),
            "fp": (~y & marked).sum(axis=(1, 2)).astype(float),
            "fn": (y & ~marked).sum(axis=(1, 2)).astype(float),
        }

    def measure(self, statistics: Statistics, weights: np.ndarray | None = None) -> dict[str, Any]:
        """The metrics; NaN where no image shows a structure, or none lacks it."""
        tp, fp, fn = (statistics[each] for each in ("tp", "fp", "fn"))
        w = np.ones((1, len(tp))) if weights is None else np.asarray(weights, float)
        there = tp + fn > 0
        dice, iou = overlaps(tp, fp, fn)
        found = {
            "dice": _ratio(w @ np.where(there, dice, 0.0), w @ there),
            "iou": _ratio(w @ np.where(there, iou, 0.0), w @ there),
            "recall": _ratio(w @ tp, w @ (tp + fn)),
            "precision": _ratio(w @ tp, w @ (tp + fp)),
            "false_alarms": _ratio(w @ (~there & (fp > 0)), w @ ~there),
        }
        together = with_each(found, self.names_ if len(self.names_) > 1 else ())
        if weights is None:
            return {name: float(each[0]) for name, each in together.items()}
        return together

    def outcomes(
        self, y: np.ndarray, p: np.ndarray | None = None, threshold: Threshold = None
    ) -> list[Outcome]:
        """A mask for each structure."""
        return [
            Outcome(name, self.outcome, np.asarray(y)[..., i],
                    None if p is None else np.asarray(p)[..., i], self._at(threshold))
            for i, name in enumerate(self.names_)
        ]  # fmt: skip

    def events(self, y: np.ndarray) -> np.ndarray:
        """(n, structures) whether an image shows it."""
        return np.asarray(np.asarray(y).any(axis=(1, 2)))

    def choose_threshold(self, y: np.ndarray, p: np.ndarray, model: str = "network") -> Threshold:
        """As set; nothing is chosen."""
        return self.threshold

    @property
    def default_threshold(self) -> Threshold:
        """As set."""
        return self.threshold

    def positives(self, y: np.ndarray) -> Any:
        """Images that show the structure; of several, structure -> images."""
        counts = [int(each) for each in self.events(y).sum(axis=0)]
        return counts[0] if len(counts) == 1 else dict(zip(self.names_, counts, strict=True))

    def target_columns(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """Pixels of each structure; the masks themselves are files (``write``)."""
        return self._pixels("target_pixels", _zeros_and_ones(targets))

    def prediction_columns(
        self, p: np.ndarray, threshold: Threshold = None
    ) -> dict[str, np.ndarray]:
        """``predicted_pixels`` of each structure; the masks themselves are files."""
        return self._pixels("predicted_pixels", np.asarray(p) >= self._at(threshold))

    @property
    def output_columns(self) -> list[str]:
        """None: the outputs are files."""
        return []

    def write(self, folder: Path, part: str, y: np.ndarray | None, p: np.ndarray) -> None:
        """``masks-<part>.npz``: ``probability`` float32 and ``truth`` uint8, rows in order."""
        arrays = {"probability": np.asarray(p, np.float32)} | ({} if y is None else {"truth": y})
        with written_whole(folder / _file(part)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def read(
        self, folder: Path, part: str, rows: pandas.DataFrame
    ) -> tuple[np.ndarray, np.ndarray]:
        """What ``write`` wrote of a part.

        Raises:
            RunError: The file has other rows than predictions.parquet.
        """
        with np.load(folder / _file(part), allow_pickle=False) as stored:
            y, p = stored["truth"], stored["probability"].astype(float)
        if len(y) != len(rows):
            text = f"{_file(part)} holds {len(y)} masks for {len(rows)} rows of the part"
            raise RunError(text, place=str(folder))
        return y, p

    def _pixels(self, name: str, masks: np.ndarray) -> dict[str, np.ndarray]:
        counts = masks.sum(axis=(1, 2)).astype(np.int64).T
        names = [name] if len(counts) == 1 else [f"{name}_{each}" for each in self.names_]
        return dict(zip(names, counts, strict=True))

    def _at(self, threshold: Threshold) -> float:
        return self.threshold if threshold is None else float(threshold)  # type: ignore[arg-type]


def overlaps(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dice (Dice, Ecology 1945) and IoU (Jaccard 1912) of counts of pixels; NaN of no pixel."""
    return _ratio(2 * tp, 2 * tp + fp + fn), _ratio(tp, tp + fp + fn)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _zeros_and_ones(targets: Any) -> np.ndarray:
    masks = np.asarray(targets)
    masks = masks[..., None] if masks.ndim == 3 else masks
    if masks.ndim != 4 or not len(masks):
        raise DataError(
            f"task segmentation needs masks (n, height, width); the targets have shape "
            f"{np.shape(targets)}",
            hint="For one answer per sample use binary, multiclass, multilabel or regression.",
        )
    wrong = ~((masks == 0) | (masks == 1)).all(axis=(1, 2, 3))
    if wrong.any():
        raise DataError(
            f"{wrong.sum()} of {len(masks)} masks hold values other than 0 and 1 "
            f"(first at row {np.flatnonzero(wrong)[0] + 1})",
            hint="Give 1 where the structure is and 0 elsewhere.",
        )
    return masks.astype(np.uint8)


def _numbered(count: int) -> tuple[str, ...]:
    return ("mask",) if count == 1 else tuple(f"mask_{i + 1}" for i in range(count))


def _written(size: Sequence[int]) -> str:
    return f"{size[0]} × {size[1]} pixels" + (f" × {size[2]}" if size[2] > 1 else "")


def _file(part: str) -> str:
    return f"masks-{part}.npz"


def _dice_loss(y: Any, p: Any) -> Any:
    # Of each image and structure; 1 in both sums keeps images without it from dividing by 0.
    y = keras.ops.cast(y, p.dtype)
    shared, both = keras.ops.sum(y * p, axis=(1, 2)), keras.ops.sum(y + p, axis=(1, 2))
    return keras.ops.mean(1.0 - (2.0 * shared + 1.0) / (both + 1.0), axis=-1)


def _crossentropy(y: Any, p: Any) -> Any:
    each = keras.losses.binary_crossentropy(keras.ops.cast(y, p.dtype), p)
    return keras.ops.mean(each, axis=(1, 2))


def _both(y: Any, p: Any) -> Any:
    return _dice_loss(y, p) + _crossentropy(y, p)
