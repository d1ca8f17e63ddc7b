"""Images: a folder for each class, a manifest table, or a MedMNIST-style ``.npz``."""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.files import existing, sha256
from medkit.core.lazy import pd
from medkit.core.registry import datasets, with_groups
from medkit.data.cohort import Cohort, RawInput, Source
from medkit.datasets.images.arrays import read_arrays
from medkit.datasets.images.decode import SUFFIXES, decode_images
from medkit.datasets.images.masks import read_masks
from medkit.datasets.parameters import SampleColumns, Target
from medkit.datasets.table.columns import Roles, read_targets
from medkit.readers.tables import (
    column_names,
    fingerprint,
    fingerprints,
    is_table,
    read_table,
    require,
)
from medkit.readers.values import refuse_empty, without_sentinels

log = logging.getLogger("medkit")

Side = Annotated[int, Field(ge=1, le=8192)]

# Folder names that mean a part of the data and not a class.
PARTS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}


class ManifestColumns(SampleColumns):
    """Which of the manifest's columns holds the image's path, and whose it is."""

    image: str = "path"
    """The column with the image's path, relative to the manifest."""
    subject_pattern: str | None = None
    """For a folder: a regular expression whose first group finds the patient in an image's path,
    as in ``person(\\d+)_``."""


@datasets.register(
    yields="image",
    unlabelled={
        "labelled": False,
        "target": None,
        "mask": None,
        "columns.subject_pattern": None,
    },
    shape=("size", "channels"),
)
@with_groups
def images(
    *,
    path: Path,
    labelled: bool = True,
    columns: ManifestColumns = ManifestColumns(),
    target: Target | None = None,
    mask: str | None = None,
    missing_values: dict[str, tuple[str | int | float, ...]] | None = None,
    size: tuple[Side, Side] | None = None,
    channels: Literal[1, 3] | None = None,
) -> Cohort:
    """PNG or JPEG images in a folder for each class or named by a table, or arrays in a ``.npz``.

    Three layouts:

    - A folder: each subfolder is a class. Subfolders ``train``, ``val``, ``test`` above the
      classes become the attribute ``split``.
    - A manifest (CSV, TSV, Parquet): one image a row; paths are relative to the manifest.
    - A ``.npz`` with ``train_images``, ``train_labels``, ``val_images`` … (MedMNIST), or
      ``images`` and ``labels``; the part becomes the attribute ``split``.

    Images that cannot be read are dropped and counted.

    Args:
        path: The folder, the manifest, or the ``.npz``; without labels also a single image.
        labelled: False reads images alone, to predict for.
        columns: Which of the manifest's columns holds the image's path, and whose, when and
            where it is from.
        target: What is predicted, for a manifest.
        mask: In place of ``target``, the manifest's column with the path of each image's mask, a
            PNG file of the image's size that is 0 outside what is to be found. Rows where it is
            empty are dropped and counted.
        missing_values: Values in the manifest that mean 'missing', by column, or for all under
            ``"*"``.
        size: (height, width) in pixels to which images are resized; by default that of the
            first image.
        channels: 1 turns images grey, 3 makes them RGB; by default as the first image is.

    Returns:
        A cohort with one ``image`` input: (n, height, width, channels) of uint8, of uint16 where
        files have 16 bits a pixel, or of float32 where a ``.npz`` holds other numbers. The index
        is the image's path, or the row number.

    Raises:
        DataError: Nothing is there, no image can be read, some have 8 and some 16 bits a pixel,
            a named column is absent, a label is missing everywhere, or a ``.npz`` holds pickled
            objects.
    """
    existing(path, "file or folder")
    if path.suffix.lower() == ".npz":
        if target is not None or mask or columns.subject or columns.attributes:
            raise DataError(
                "an .npz has no columns: target, mask, subject and attributes do not apply",
                place="dataset",
            )
        return read_arrays(path, labelled, size, channels)
    if is_table(path) and path.is_file():
        if labelled and (target is None) == (mask is None):
            raise DataError(
                "a manifest needs target, the column with the label, or mask, the column with the "
                "path of a mask: one of them",
                place="dataset",
                hint=f"Its columns: {', '.join(column_names(path))}.",
            )
        return _decoded(
            path, _of_manifest(path, columns, target, mask, missing_values), size, channels
        )
    if labelled and (target is not None or mask is not None):
        raise DataError(
            "in a folder the subfolders are the classes; target and mask do not apply",
            place="dataset",
        )
    return _decoded(path, _of_folder(path, labelled, columns.subject_pattern), size, channels)


class _Listed(NamedTuple):
    """Image files, and what is known of each; ``masks`` lie on them and are the targets."""

    files: list[Path]
    samples: pd.DataFrame
    targets: np.ndarray | None
    source: Source
    names: tuple[str, ...] = ()
    masks: list[Path] | None = None


def _of_folder(path: Path, labelled: bool, subject_pattern: str | None) -> _Listed:
    root = path if path.is_dir() else path.parent
    everything = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    files = [f for f in everything if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]
    if not files:
        kinds = Counter(f.suffix.lower() or "no suffix" for f in everything)
        there = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        raise DataError(
            "no PNG or JPEG images here",
            place=str(path),
            hint=f"It holds: {there or 'no files'}. Expected .png, .jpg or .jpeg.",
        )
    names = [f.relative_to(root).as_posix() for f in files]
    samples = pd.DataFrame(index=pd.Index(names, name="image", dtype=object))
    targets, label = None, ""
    if labelled:
        folders = [name.split("/")[:-1] for name in names]
        if {each[0] for each in folders if each} <= set(PARTS) and all(folders):
            samples["split"] = [PARTS[each[0]] for each in folders]
            folders = [each[1:] for each in folders]
        loose = sum(not each for each in folders)
        if loose:
            raise DataError(
                f"{loose} of {len(files)} images lie in no class folder",
                place=str(path),
                hint="Put each image into a subfolder named after its class, or give the labels "
                "in a manifest table.",
            )
        targets = np.array([each[0] for each in folders], dtype=object)
        label = "name of the image's folder"
    if labelled and subject_pattern is not None:
        samples["subject"] = _subjects(names, subject_pattern, path).to_numpy()
    source = Source(fingerprints(path, files), len(files), {}, label)
    return _Listed(files, samples, targets, source)


def _subjects(names: list[str], pattern: str, path: Path) -> pd.Series:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"subject_pattern is not a regular expression: {error}") from error
    if not compiled.groups:
        raise DataError("subject_pattern needs a group in (brackets) that is the patient")
    found = [compiled.search(name) for name in names]
    subjects = pd.Series([match[1] if match else None for match in found], dtype=object)
    if subjects.isna().all():
        raise DataError(
            f"subject_pattern '{pattern}' fits none of the {len(names)} image paths",
            place=str(path),
        )
    return subjects


def _of_manifest(
    path: Path,
    columns: ManifestColumns,
    target: Target | None,
    mask: str | None,
    missing_values: dict[str, tuple[str | int | float, ...]] | None,
) -> _Listed:
    names, image = column_names(path), columns.image
    require(image, names, path, "image column")
    if mask is not None:
        require(mask, names, path, "mask column")
    labelled = target is not None or mask is not None
    kept = {name: getattr(columns, name) for name in SampleColumns.model_fields}
    roles = Roles(**kept).within(names, path, labelled)
    frame = read_table(path, text=(roles.subject,), literal=(image, *([mask] if mask else [])))
    refuse_empty(frame[image], image, path)
    frame = without_sentinels(frame, missing_values)
    found = read_targets(frame, target, path)
    samples = roles.samples(frame, path, labelled)
    present = found.present if mask is None else frame[mask].notna().to_numpy()
    samples.index = pd.Index(frame[image].astype("str").to_numpy(dtype=object), name="image")
    files = [path.parent / name for name in samples.index[present]]
    there = np.array([file.is_file() for file in files])
    if not there.any():
        raise DataError(
            f"none of the {len(files)} images it lists is there (first at row "
            f"{frame.index[present][0]})",
            place=str(path),
            hint=f"Paths in column '{image}' are taken from the manifest's folder.",
        )
    dropped = {"missing target": int((~present).sum()), "missing image file": int((~there).sum())}
    files = [file for file, exists in zip(files, there, strict=True) if exists]
    hashed = fingerprint((str(number), file) for number, file in enumerate(files))
    stamps = {path.name: sha256(path), "images": hashed}
    label = found.label if mask is None else f"pixels of '{mask}'"
    source = Source(stamps, len(frame), dropped, label)
    samples, targets = samples[present][there], found.values
    if mask is not None:
        masks = [path.parent / name for name in frame[mask][present][there]]
        return _Listed(files, samples, None, source, (mask,), masks)
    targets = None if targets is None else targets[there]
    return _Listed(files, samples, targets, source, found.names)


def _decoded(
    path: Path, listed: _Listed, size: tuple[int, int] | None, channels: int | None
) -> Cohort:
    pixels, readable = decode_images(listed.files, size, channels)
    source, samples, targets = listed.source, listed.samples[readable], listed.targets
    if not readable.any():
        raise DataError(
            f"none of the {len(listed.files)} images can be read",
            place=str(path),
            hint="Are they PNG or JPEG files, and whole?",
        )
    if not readable.all():
        dropped = {**source.dropped, "unreadable image": int((~readable).sum())}
        source = replace(source, dropped=dropped)
        unread = [str(name) for name in listed.samples.index[~readable]]
        # Names of files may identify patients: to the terminal, not to the log file.
        log.warning("unreadable: %s", ", ".join(unread), extra={"private": True})
    if listed.masks is not None:
        pairs = zip(listed.masks, listed.files, readable, strict=True)
        masks, images = zip(*((m, image) for m, image, kept in pairs if kept), strict=True)
        targets = read_masks(masks, images, (pixels.shape[1], pixels.shape[2]))
        hashed = fingerprint((str(number), file) for number, file in enumerate(masks))
        source = replace(source, files={**source.files, "masks": hashed})
    elif targets is not None:
        targets = targets[readable]
    return Cohort(samples, {"image": RawInput("image", pixels)}, targets, source, listed.names)
