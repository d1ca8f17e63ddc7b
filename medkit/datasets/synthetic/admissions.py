"""Synthetic admissions: vital signs, a table, a radiograph and a note, each with some risk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.lazy import pd
from medkit.core.registry import datasets
from medkit.data.cohort import Cohort, Feature, RawInput
from medkit.datasets.synthetic import xray
from medkit.datasets.synthetic.shared import (
    Channels,
    People,
    admission_times,
    binary_scores,
    draw_people,
    drawn_cohort,
    sigmoid,
)

INPUTS = {"vitals": "series", "static": "tabular", "xray": "image", "note": "tokens"}
HOURS = 24
# The effect is that of a trend of 1 SD over the hours.
CHANNELS = Channels(
    ("heart_rate", "bpm", 20, 250, 84.0, 10.0, 10.0, 5.0, 0.8, 0, False),
    ("mean_arterial_pressure", "mmHg", 20, 180, 80.0, -8.0, 8.0, 5.0, 0.8, 0, False),
    ("respiratory_rate", "/min", 2, 70, 18.0, 1.0, 2.0, 2.0, 0.8, 0, False),
)
COLUMNS = (
    Feature("age", "numeric", "years", 18, 120),
    Feature("sex", "categorical"),
    Feature("earlier_admissions", "numeric", None, 0, 50),
)
SIZE = 24
CONCERNS = {"confused": 0.9, "breathless": 0.8, "clammy": 0.7, "worse": 0.6,
            "comfortable": -0.7, "eating": -0.6, "walking": -0.8, "better": -0.5}  # fmt: skip
CHATTER = ("family", "visited", "slept", "bed", "by", "window", "asked", "about", "tea", "nurse")
LACKING = {"xray": 0.25, "note": 0.15}
BASE = -1.3  # log-odds of an average admission


class _Draw(NamedTuple):
    frame: pd.DataFrame
    vitals: np.ndarray
    table: pd.DataFrame
    images: np.ndarray
    notes: np.ndarray
    present: dict[str, np.ndarray]
    parts: dict[str, np.ndarray]
    targets: np.ndarray


@datasets.register(yields=lambda parameters: INPUTS, targets=("yes_no", "class"), embedded=True)
def synthetic_admissions(
    *,
    samples: Annotated[int, Field(ge=20, le=100_000)] = 2000,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Cohort:
    """Synthetic admissions: four inputs, each of which holds a part of the risk of dying.

    ``vitals``: heart rate (bpm), mean arterial pressure (mmHg) and respiratory rate (/min) in 24
    hours, with gaps: risk rises if the heart gets faster and the pressure falls. ``static``: age
    (years), sex and number of earlier admissions. ``xray``: a radiograph of 24 × 24 pixels, with
    an opacity or without; one admission in four has none. ``note``: words of a nurse, some of
    which mean something; one admission in seven has none. The log-odds are the sum of the four
    parts, each a function of what its input shows. Patients have one admission or several
    (``subject``); attributes are ``time``, ``site``, ``sex`` and ``age_band``.

    Best reachable, by the true chance given what each admission has (`best_score`): AUROC 0.86;
    0.76 without the vitals, 0.84 without the table, 0.82 without the radiograph, 0.82 without the
    note.

    Args:
        samples: Number of admissions.
        seed: Seed of the random numbers; the same seed gives the same admissions.

    Returns:
        A cohort with the inputs ``vitals``, ``static``, ``xray`` and ``note``.
    """
    drawn = _draw(samples, seed)
    inputs = {
        "vitals": RawInput("series", drawn.vitals, CHANNELS.features),
        "static": RawInput("tabular", drawn.table.set_index(drawn.frame.index), COLUMNS),
        "xray": RawInput("image", drawn.images, present=drawn.present["xray"]),
        "note": RawInput("tokens", drawn.notes, present=drawn.present["note"]),
    }
    label = "1 if the patient dies in hospital"
    return drawn_cohort(drawn.frame, inputs, drawn.targets, ("died",), label, seed)


def best_score(
    *,
    samples: int = 20_000,
    seed: int = 0,
    inputs: Sequence[str] = tuple(INPUTS),
    admissions: Sequence[str] | None = None,
) -> dict[str, float]:
    """The score of the true chance given some of the inputs: nothing that sees these can do better.

    What an admission lacks, and the inputs left out, are averaged over the generating model. With
    the same ``samples`` and ``seed`` it is that of the cohort `synthetic_admissions` draws, or of
    the ``admissions`` named: on the same rows, chance moves a network's score and this one alike.

    Returns:
        ``auroc``, ``auprc``, ``brier`` and ``log_loss``.
    """
    drawn = _draw(samples, seed)
    random = np.random.default_rng(1)
    logits = np.full((samples, 400), BASE)
    for name, part in drawn.parts.items():
        known = drawn.present.get(name, np.ones(samples, dtype=bool)) & (name in inputs)
        unknown = random.choice(part, size=(samples, 400))
        logits += np.where(known[:, None], part[:, None], unknown)
    known_as = drawn.frame.index
    rows = slice(None) if admissions is None else known_as.get_indexer(pd.Index(admissions))
    return binary_scores(drawn.targets[rows], sigmoid(logits).mean(axis=1)[rows])


def _draw(samples: int, seed: int) -> _Draw:
    random = np.random.default_rng(seed)
    people = draw_people(random, samples, again=0.25)
    vitals, of_vitals = _vitals(random, samples)
    table, of_table = _table(random, people)
    images, of_images = _images(random, people)
    notes, of_notes = _notes(random, samples)
    parts = {"vitals": of_vitals, "static": of_table, "xray": of_images, "note": of_notes}
    present = {name: random.random(samples) >= share for name, share in LACKING.items()}
    chances = sigmoid(BASE + np.sum(list(parts.values()), axis=0))
    targets = (random.random(samples) < chances).astype(np.int64)
    images[~present["xray"]] = 0
    notes[~present["note"]] = ""
    frame = people.frame("A", admission_times(random, people.of_sample))
    return _Draw(frame, vitals, table, images, notes, present, parts, targets)


def _vitals(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, hours, channels) with gaps, and what heart and pressure add to the log-odds."""
    level = CHANNELS.mean + CHANNELS.between * random.normal(size=(samples, 1, len(CHANNELS)))
    trend = random.normal(size=(samples, 1, 1)) * CHANNELS.effect
    exact = level + trend * np.linspace(-0.5, 0.5, HOURS)[None, :, None]
    exact = exact + CHANNELS.within * random.normal(size=exact.shape)
    values = CHANNELS.recorded(exact)
    values[random.random(values.shape) >= CHANNELS.rate] = np.nan
    early, late = (np.nanmean(half, axis=1) for half in np.split(values, 2, axis=1))
    rise = np.nan_to_num(late - early)
    return values.astype("float32"), 0.14 * rise[:, 0] - 0.14 * rise[:, 1]


def _table(random: np.random.Generator, people: People) -> tuple[pd.DataFrame, np.ndarray]:
    subject = people.of_sample
    age, male = np.floor(people.age[subject]), people.sex[subject] == "male"
    earlier = random.poisson(1.5, len(subject)).astype(float)
    table = pd.DataFrame({"age": age, "sex": people.sex[subject], "earlier_admissions": earlier})
    return table, 0.04 * (age - 62) + 0.3 * (male - 0.5) + 0.3 * (earlier - 1.5)


def _images(random: np.random.Generator, people: People) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (n, size, size, 1), and what an opacity, strong enough to be seen, adds."""
    subject = people.of_sample
    anatomy, lungs = xray._anatomy(random, len(people.age), SIZE)
    scene, ill = anatomy[subject], random.random(len(subject)) < 0.4
    rows = np.flatnonzero(ill)
    side = random.integers(0, 2, len(rows))
    angle, distance = random.uniform(0, 2 * np.pi, len(rows)), 0.6 * random.random(len(rows))
    radius, strength = random.uniform(0.16, 0.24, len(rows)), random.uniform(70, 100, len(rows))
    along_x, along_y = xray._profiles(
        distance * np.cos(angle), distance * np.sin(angle), radius, lungs[subject[rows], side], SIZE
    )
    scene[rows] += strength[:, None, None] * along_y[:, :, None] * along_x[:, None, :]
    scene = scene + 6.0 * random.normal(size=scene.shape)
    images = np.clip(np.round(scene), 0, 255).astype(np.uint8)[..., None]
    return images, 2.2 * (ill - 0.4)


def _notes(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts of 6 to 12 words in any order, and what their words add."""
    words = np.array([*CONCERNS, *CHATTER], dtype=object)
    worth = np.array([*CONCERNS.values(), *(0.0 for _ in CHATTER)])
    drawn = [random.permutation(len(words))[: random.integers(6, 13)] for _ in range(samples)]
    texts = np.array([" ".join(words[each]) for each in drawn], dtype=object)
    return texts, np.array([worth[each].sum() for each in drawn])
