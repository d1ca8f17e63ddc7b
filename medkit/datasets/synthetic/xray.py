"""Synthetic chest radiographs: lungs, ribs, heart, and opacities to be found."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, RawInput
from medkit.datasets.synthetic.shared import (
    admission_times,
    binary_scores,
    class_scores,
    draw_people,
    drawn_cohort,
    sigmoid,
)

Answer = Literal["opacity", "location", "findings"]
Target = Literal[Answer, "mask"]

LOCATIONS = ("none", "left", "right", "both")
CHANCES = np.array([0.60, 0.15, 0.15, 0.10])
# Present in the (left, right) lung, by location.
PRESENT = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
# Centre of each lung, x to the right of the image and y down, in half widths of the image. A
# radiograph is seen from the front: the patient's left lung is on the right.
LUNG_X, LUNG_Y = np.array([0.42, -0.42]), -0.05
NOISE = 14.0  # grey levels, at the reference exposure
# Opacities: radius in half image widths, strength in grey levels; a share is too faint to see.
RADIUS, STRENGTH, FAINT, FAINT_SHARE = (0.14, 0.24), (30.0, 70.0), (1.0, 6.0), 0.2
_HALF = 0.5  # of an opacity's strength: the edge of its mask
LABELS = {
    "opacity": "1 if there is an opacity in either lung",
    "location": "lungs with an opacity, of the patient: none, left, right or both",
    "findings": "an opacity in the patient's left lung; in the right lung",
    "mask": "pixels that an opacity brightens by more than half its strength",
}
NAMES = {
    "opacity": ("opacity",),
    "location": ("location",),
    "findings": ("left_opacity", "right_opacity"),
    "mask": ("opacity",),
}


class _Draw(NamedTuple):
    frame: pd.DataFrame
    images: np.ndarray
    masks: np.ndarray
    anatomy: np.ndarray
    lungs: np.ndarray
    exposure: np.ndarray
    location: np.ndarray


@datasets.register(
    yields="image",
    targets={
        "opacity": ("yes_no", "class"), "location": ("class",), "findings": ("several yes_no",),
        "mask": ("mask",),
    },
    embedded=True,
    reader="images",
)  # fmt: skip
def synthetic_xray(
    *,
    samples: Annotated[int, Field(ge=20, le=100_000)] = 1000,
    seed: Annotated[int, Field(ge=0)] = 0,
    target: Target = "opacity",
    size: Annotated[int, Field(ge=16, le=256)] = 32,
) -> Cohort:
    """Synthetic chest radiographs: whether there is an opacity, and in which lung.

    Two dark lung fields with ribs, a bright heart and mediastinum, exposure that differs by
    image and hospital, and noise. Opacities are soft bright spots in one lung or both; one in five
    is too faint to see. A patient (``subject``) has one image or several with the same
    anatomy; attributes are ``time``, ``site``, ``sex`` and ``age_band``.

    Best reachable, by an observer who knows each patient's anatomy and each image's exposure
    and weighs every place, strength and radius of an opacity (`best_score`; no reader can do
    better), at 32 pixels: AUROC 0.96 and AUPRC 0.96 for opacity, accuracy 0.86 and macro AUROC
    0.92 for location, macro AUROC 0.95 for findings.

    Args:
        samples: Number of images.
        seed: Seed of the random numbers; the same seed gives the same images.
        target: What to predict: opacity (0 or 1), location (none, left, right or both),
            findings (two labels, one a lung) or mask (the pixels of the opacities).
        size: Height and width in pixels.

    Returns:
        A cohort with one ``image`` input: uint8 (samples, size, size, 1).
    """
    drawn = _draw(samples, seed, size)
    targets: np.ndarray = (drawn.location > 0).astype(np.int64)
    if target == "location":
        targets = np.array(LOCATIONS, dtype=object)[drawn.location]
    elif target == "findings":
        targets = PRESENT[drawn.location]
    elif target == "mask":
        targets = drawn.masks
    inputs = {"image": RawInput("image", drawn.images)}
    return drawn_cohort(drawn.frame, inputs, targets, NAMES[target], LABELS[target], seed)


def best_score(
    *, samples: int = 2000, seed: int = 0, target: Answer = "opacity", size: int = 32
) -> dict[str, float]:
    """The score of an observer who knows the anatomy and the exposure: an upper bound.

    For each lung the likelihood ratio is averaged over opacities drawn from the generating
    model; rounding to whole grey levels is left out.

    Returns:
        ``auroc``, ``auprc``, ``brier`` and ``log_loss`` for opacity; ``accuracy`` and
        ``auroc_macro`` for location; ``auroc_macro`` for findings.
    """
    from sklearn.metrics import roc_auc_score

    drawn = _draw(samples, seed, size)
    gain, offset = drawn.exposure.T
    plain = (drawn.images[..., 0] - offset[:, None, None]) / gain[:, None, None] - drawn.anatomy
    ratio = _likelihood_ratios(plain, drawn.lungs, NOISE / gain)
    weights = CHANCES * np.where(PRESENT, ratio[:, None, :], 1.0).prod(axis=2)
    posterior = weights / weights.sum(axis=1, keepdims=True)
    if target == "opacity":
        return binary_scores(drawn.location > 0, 1 - posterior[:, 0])
    if target == "location":
        return class_scores(drawn.location, posterior)
    present = PRESENT[drawn.location]
    return {"auroc_macro": float(roc_auc_score(present, posterior @ PRESENT))}


def _draw(samples: int, seed: int, size: int) -> _Draw:
    random = np.random.default_rng(seed)
    people = draw_people(random, samples, again=0.15)
    subject = people.of_sample
    location = random.choice(len(LOCATIONS), size=samples, p=CHANCES)
    anatomy, lungs = _anatomy(random, len(people.age), size)
    exposure = np.stack(
        [random.normal(1.0, 0.06, samples), random.normal(0.0, 6.0, samples)], axis=1
    )
    exposure[:, 1] += np.array([-6.0, 0.0, 6.0])[people.site][subject]
    scene, masks = anatomy[subject], np.zeros((samples, size, size), np.uint8)
    for side in (0, 1):
        rows = np.flatnonzero(PRESENT[location, side])
        x, y, strength, radius = _opacities(random, len(rows))
        along_x, along_y = _profiles(x, y, radius, lungs[subject[rows], side], size)
        spots = along_y[:, :, None] * along_x[:, None, :]
        scene[rows] += strength[:, None, None] * spots
        masks[rows] |= spots > _HALF
    bright = exposure[:, :1, None] * scene + exposure[:, 1:, None]
    bright = bright + NOISE * random.normal(size=scene.shape)
    images = np.clip(np.round(bright), 0, 255).astype(np.uint8)[..., None]
    frame = people.frame("X", admission_times(random, subject))
    return _Draw(frame, images, masks, anatomy[subject], lungs[subject], exposure, location)


def _axis(size: int) -> np.ndarray:
    return (np.arange(size) + 0.5) / size * 2 - 1


def _anatomy(random: np.random.Generator, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Each patient's radiograph without disease, and (x, y, half width, half height) of lungs."""
    lungs = np.empty((count, 2, 4))
    shift = random.normal(0, 0.02, (count, 2))
    lungs[:, :, 0] = LUNG_X + shift[:, :1]
    lungs[:, :, 1] = LUNG_Y + shift[:, 1:]
    lungs[:, :, 2] = random.normal(0.30, 0.015, (count, 1))
    lungs[:, :, 3] = random.normal(0.68, 0.03, (count, 1))
    x, y = _axis(size)[None, None, :], _axis(size)[None, :, None]
    # Soft tissue, darker outwards; then air, ribs within it, and the heart over all.
    scene = 165.0 - 25.0 * np.abs(x) + 0.0 * y
    phase = random.uniform(0, 2 * np.pi, count)[:, None, None]
    ribs = np.maximum(np.sin(2 * np.pi * 3.2 * (y + 0.35 * np.abs(x)) + phase), 0.0)
    for side in (0, 1):
        inside = _ellipse(x, y, lungs[:, side], sharpness=14.0)
        scene = scene - inside * (75.0 - 16.0 * ribs)
    heart = np.stack(
        [0.10 + shift[:, 0], 0.32 + shift[:, 1], random.normal(0.30, 0.02, count),
         np.full(count, 0.30)], axis=1,
    )  # fmt: skip
    return scene + 45.0 * _ellipse(x, y, heart, sharpness=10.0), lungs


def _ellipse(x: np.ndarray, y: np.ndarray, shape: np.ndarray, sharpness: float) -> np.ndarray:
    """Nearly 1 inside, nearly 0 outside; ``shape`` (count, 4): centre and half axes."""
    across, down, width, height = (shape[:, k, None, None] for k in range(4))
    distance = np.hypot((x - across) / width, (y - down) / height)
    return sigmoid(sharpness * (1 - distance))


def _opacities(random: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
    """Places in the unit disc of a lung, strengths in grey levels and radii of opacities."""
    angle = random.uniform(0, 2 * np.pi, count)
    distance = 0.8 * np.sqrt(random.random(count))
    faint = random.random(count) < FAINT_SHARE
    strength = np.where(faint, random.uniform(*FAINT, count), random.uniform(*STRENGTH, count))
    radius = random.uniform(*RADIUS, count)
    return distance * np.cos(angle), distance * np.sin(angle), strength, radius


def _profiles(
    x: np.ndarray, y: np.ndarray, radius: np.ndarray, lung: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of round Gaussian spots, (spots, size) each."""
    across, down, width, height = np.moveaxis(lung, -1, 0)
    axis = _axis(size)
    along_x = np.exp(-0.5 * ((axis - (across + x * width)[:, None]) / radius[:, None]) ** 2)
    along_y = np.exp(-0.5 * ((axis - (down + y * height)[:, None]) / radius[:, None]) ** 2)
    return along_x, along_y


def _likelihood_ratios(plain: np.ndarray, lungs: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(samples, 2): the chance of an image with an opacity in a lung against without."""
    draws = _opacities(np.random.default_rng(0), 400)
    x, y, strength, radius = draws
    ratios = np.empty((len(plain), 2))
    for row, image in enumerate(plain):
        for side in (0, 1):
            lung = np.broadcast_to(lungs[row, side], (len(x), 4))
            along_x, along_y = _profiles(x, y, radius, lung, len(image))
            match = ((along_y @ image) * along_x).sum(axis=1)
            energy = (along_x**2).sum(axis=1) * (along_y**2).sum(axis=1)
            logs = (strength * match - 0.5 * strength**2 * energy) / noise[row] ** 2
            ratios[row, side] = np.exp(np.minimum(logs, 300.0)).mean()
    return ratios
