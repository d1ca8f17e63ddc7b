"""Images: folders, manifests and arrays; unreadable ones are counted, not fatal."""

from __future__ import annotations

import numpy as np
import pytest
from cohorts import only_input
from PIL import Image

from medkit.core.errors import DataError
from medkit.datasets.images.images import images


def draw(path, shade, size=(4, 6), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    shape = (height, width) if mode == "L" else (height, width, 3)
    Image.fromarray(np.full(shape, shade, dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "xray"
    draw(root / "normal" / "p1_a.png", 10)
    draw(root / "normal" / "p1_b.png", 20)
    draw(root / "opacity" / "p2_a.png", 30)
    return root


def test_folder_of_classes(folder):
    cohort = images(path=folder, columns={"subject_pattern": r"(p\d+)_"})
    assert only_input(cohort).values.shape == (3, 4, 6, 1)
    assert only_input(cohort).values.dtype == np.uint8
    assert only_input(cohort).values[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert cohort.targets.tolist() == ["normal", "normal", "opacity"]
    assert cohort.samples["subject"].tolist() == ["p1", "p1", "p2"]
    assert list(cohort.samples.index) == ["normal/p1_a.png", "normal/p1_b.png", "opacity/p2_a.png"]
    assert list(cohort.source.files) == ["xray/"]


def test_parts_above_the_classes_become_the_split(tmp_path):
    for part in ("train", "val", "test"):
        draw(tmp_path / part / "normal" / "a.png", 1)
        draw(tmp_path / part / "ill" / "b.png", 2)
    cohort = images(path=tmp_path)
    assert sorted(set(cohort.targets)) == ["ill", "normal"]
    assert cohort.samples["split"].tolist() == ["test", "test", "train", "train", "valid", "valid"]


def test_sizes_and_channels(folder, caplog):
    draw(folder / "opacity" / "p3.jpg", 99, size=(8, 8), mode="RGB")
    with caplog.at_level("INFO", "medkit"):
        cohort = images(path=folder)
    assert only_input(cohort).values.shape == (4, 4, 6, 1)
    assert "1 images resized to 4 x 6 pixels" in caplog.text
    assert "1 colour images turned grey" in caplog.text
    cohort = images(path=folder, size=(5, 7), channels=3)
    assert only_input(cohort).values.shape == (4, 5, 7, 3)
    assert abs(int(only_input(cohort).values[3].mean()) - 99) <= 1


def sixteen_bits(file, *values):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array([values], dtype=np.uint16)).save(file)


def test_sixteen_bits_stay_as_they_are_and_files_of_one_folder_agree(tmp_path):
    sixteen_bits(tmp_path / "a" / "bright.png", 0, 200, 4095)  # 12 bits of 16
    sixteen_bits(tmp_path / "b" / "dark.png", 0, 200, 255)
    pixels = images(path=tmp_path).inputs["image"].values
    assert pixels.dtype == np.uint16
    assert pixels[..., 0].tolist() == [[[0, 200, 4095]], [[0, 200, 255]]]
    larger = images(path=tmp_path, size=(1, 6), channels=3).inputs["image"].values
    assert (larger.dtype, larger.shape) == (np.uint16, (2, 1, 6, 3))
    assert larger[0, 0, :, 0].tolist() == [0, 50, 150, 1174, 3121, 4095]


def test_depths_that_differ_are_refused(tmp_path):
    sixteen_bits(tmp_path / "a" / "x.png", 0, 200, 4095)
    draw(tmp_path / "b" / "y.png", 5)
    message = r"1 of 2 images have 16 bits a pixel, the others 8.*\n.*Convert all to one depth"
    with pytest.raises(DataError, match=message):
        images(path=tmp_path)


def test_unreadable_images_are_dropped_and_their_names_stay_private(folder, caplog):
    (folder / "normal" / "p9_bad.png").write_bytes(b"no image")
    whole = (folder / "normal" / "p1_a.png").read_bytes()
    (folder / "opacity" / "p8_cut.png").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level("WARNING", "medkit"):
        cohort = images(path=folder)
    assert len(cohort) == 3
    assert cohort.source.dropped == {"unreadable image": 2}
    assert cohort.source.rows_read == 5
    naming = [record for record in caplog.records if "p9_bad" in record.getMessage()]
    assert len(naming) == 1
    assert naming[0].private is True


def test_unlabelled_folder_and_single_image(folder):
    draw(folder / "loose.png", 5)
    cohort = images(path=folder, labelled=False)
    assert cohort.targets is None
    assert len(cohort) == 4
    single = images(path=folder / "loose.png", labelled=False)
    assert only_input(single).values.shape == (1, 4, 6, 1)
    assert list(single.samples.index) == ["loose.png"]


def test_manifest(folder):
    manifest = folder / "labels.csv"
    manifest.write_text(
        "path,finding,patient,sex\nnormal/p1_a.png,0,1,F\nopacity/p2_a.png,1,2,M\n"
        "normal/p1_b.png,,1,F\nnormal/gone.png,1,3,F\n"
    )
    cohort = images(
        path=manifest, target="finding", columns={"subject": "patient", "attributes": ("sex",)}
    )
    assert cohort.targets.tolist() == [0, 1]
    assert cohort.samples["subject"].tolist() == ["1", "2"]
    assert cohort.samples["sex"].tolist() == ["F", "M"]
    assert cohort.source.dropped == {"missing target": 1, "missing image file": 1}
    new = images(
        path=manifest, labelled=False, columns={"subject": "nobody", "attributes": ("sex",)}
    )
    assert len(new) == 3
    assert new.targets is None


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_npz_with_parts(tmp_path):
    pixels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    labels = np.array([[0], [1]], dtype=np.uint8)
    parts = {f"{p}_{k}": v for p in ("train", "val", "test")
             for k, v in (("images", pixels), ("labels", labels))}  # fmt: skip
    cohort = images(path=save(tmp_path / "a.npz", **parts))
    assert only_input(cohort).values.shape == (6, 28, 28, 1)
    assert cohort.targets.tolist() == [0, 1] * 3
    assert cohort.samples["split"].tolist() == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    assert list(cohort.samples.index) == [1, 2, 3, 4, 5, 6]
    small = images(path=tmp_path / "a.npz", size=(14, 14), channels=3)
    assert only_input(small).values.shape == (6, 14, 14, 3)


def test_npz_without_labels_of_volumes_and_of_numbers(tmp_path):
    volumes = np.zeros((3, 8, 8, 8), dtype=np.uint8)
    cohort = images(path=save(tmp_path / "v.npz", images=volumes), labelled=False)
    assert only_input(cohort).values.shape == (3, 8, 8, 8, 1)
    numbers = np.zeros((3, 8, 8, 3), dtype=np.float64)
    several = np.eye(3, dtype=np.uint8)
    cohort = images(path=save(tmp_path / "f.npz", images=numbers, labels=several))
    assert only_input(cohort).values.dtype == np.float32
    assert cohort.targets.shape == (3, 3)
    gaps = np.array([0.0, np.nan, 1.0])
    cohort = images(path=save(tmp_path / "g.npz", images=numbers, labels=gaps))
    assert cohort.source.dropped == {"missing target": 1}
    assert len(cohort) == 2


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ({"pixels": np.zeros(3)}, {}, "holds no images"),
        ({"images": np.zeros((2, 4, 4))}, {}, "has images but no labels"),
        ({"images": np.zeros((2, 4, 4)), "labels": np.zeros(3)}, {},
         "images has 2 rows, labels has 3"),
        ({"images": np.zeros((2, 4)), "labels": np.zeros(2)}, {},
         "its images have the shape (4,)"),
        ({"images": np.full((2, 4, 4), np.inf), "labels": np.zeros(2)}, {},
         "2 images hold infinite or missing values (first at row 1)"),
        ({"images": np.zeros((2, 4, 4)), "labels": np.full(2, np.nan)}, {},
         "every label is missing (2 images)"),
        ({"images": np.zeros((2, 4, 4)), "labels": np.zeros(2)}, {"size": (2, 2)},
         "size and channels cannot be changed"),
        ({"images": np.array([[{}]], dtype=object), "labels": np.zeros(1)}, {},
         "holds pickled objects, which are not loaded"),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": np.zeros(2),
          "test_images": np.zeros((2, 5, 5)), "test_labels": np.zeros(2)}, {},
         "its parts hold images of different shapes: (4, 4), (5, 5)"),
        ({"images": np.zeros((2, 4, 4)), "labels": np.zeros(2)}, {"target": "x"},
         "an .npz has no columns"),
    ],
)  # fmt: skip
def test_bad_npz_is_refused(tmp_path, arrays, settings, message):
    with pytest.raises(DataError) as error:
        images(path=save(tmp_path / "a.npz", **arrays), **settings)
    assert message in str(error.value)


def test_npz_that_is_none(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"not a readable \.npz file|holds pickled objects"):
        images(path=tmp_path / "a.npz")


def test_folders_without_images_or_classes(folder, tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        images(path=tmp_path / "nowhere")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.dcm").write_text("x")
    with pytest.raises(DataError, match="no PNG or JPEG images here") as error:
        images(path=tmp_path / "texts")
    assert "It holds: 1 .dcm." in str(error.value)
    (tmp_path / "bad" / "a").mkdir(parents=True)
    (tmp_path / "bad" / "a" / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the 1 images can be read"):
        images(path=tmp_path / "bad")
    draw(folder / "loose.png", 5)
    with pytest.raises(DataError, match="1 of 4 images lie in no class folder"):
        images(path=folder)
    with pytest.raises(DataError, match="in a folder the subfolders are the classes"):
        images(path=folder, target="x")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "subject_pattern is not a regular expression"),
        ("p1", "subject_pattern needs a group in (brackets)"),
        (r"q(\d)", "fits none of the 3 image paths"),
        (r"(p1)", "1 samples have no subject (first at row 3)"),
    ],
)
def test_bad_subject_pattern(folder, pattern, message):
    with pytest.raises(DataError) as error:
        images(path=folder, columns={"subject_pattern": pattern})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("file,y\na.png,1\n", {"target": "y"}, "no image column called 'path'"),
        ("path,y\na.png,1\n", {}, "a manifest needs target, the column with the label"),
        ("path,y\na.png,1\n", {"target": "z"}, "no target column called 'z'"),
        ("path,y\na.png,1\n", {"target": "y"}, "none of the 1 images it lists is there"),
        ("path,y\n,1\n", {"target": "y"}, "column 'path' is empty in 1 rows (first at row 1)"),
        ("path,y\nnormal/p1_a.png,1\nnormal/p1_a.png,1\n", {"target": "y"},
         "1 duplicate sample ids (first at row 2)"),
    ],
)  # fmt: skip
def test_bad_manifest_is_refused(folder, text, settings, message):
    (folder / "labels.csv").write_text(text)
    with pytest.raises(DataError) as error:
        images(path=folder / "labels.csv", **settings)
    assert message in str(error.value)


def test_pneumoniamnist(real_data):
    cohort = images(path=real_data / "pneumoniamnist" / "pneumoniamnist.npz")
    assert only_input(cohort).values.shape == (5856, 28, 28, 1)
    assert cohort.targets.shape == (5856,)
    assert cohort.samples["split"].value_counts().to_dict() == {
        "train": 4708, "valid": 524, "test": 624,
    }  # fmt: skip


def test_new_images_take_the_shape_of_the_trained_ones(tmp_path, folder):
    from medkit.core import registry
    from medkit.core.groups import with_values
    from medkit.datasets.images.images import ManifestColumns

    tags = registry.datasets.get("images").tags
    trained = only_input(images(path=folder)).values.shape[1:]
    draw(tmp_path / "new" / "x.png", 50, size=(9, 9), mode="RGB")
    shape = dict(zip(tags["shape"], (trained[:2], trained[2]), strict=True))
    trained_with = {"columns": ManifestColumns(subject_pattern=r"(p\d+)_")}
    settings = with_values(trained_with, {**tags["unlabelled"], **shape})
    new = images(path=tmp_path / "new", **settings)
    assert only_input(new).values.shape == (1, *trained)
    assert "subject" not in new.samples
