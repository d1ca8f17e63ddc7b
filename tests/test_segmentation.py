"""Masks: read, learned, measured from sums of each image, written as files and drawn."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from medkit.cli import main
from medkit.core.errors import DataError, MedkitError, RunError
from medkit.core.registry import datasets, tasks
from medkit.data.splits.strata import outcome_strata
from medkit.models import unet
from medkit.runs.run import Run
from medkit.runs.stored import stored_part
from medkit.workflows.explain import explain_file
from medkit.workflows.train import train

CONFIG = "configs/smoke/synthetic_xray_unet.yaml"


def masks(count=30, seed=0, structures=1):
    """Squares of truth, and probabilities that are right for most of their pixels."""
    random = np.random.default_rng(seed)
    y = np.zeros((count, 12, 10, structures), np.uint8)
    for row in range(2, count):  # the first two show nothing
        for i in range(structures):
            top, left = random.integers(0, 6, 2)
            y[row, top : top + 4, left : left + 3 + i, i] = 1
    p = np.clip(0.8 * y + 0.35 * random.random(y.shape), 0, 1)
    return y, p


def fitted(y, names=()):
    return tasks.build("segmentation").fit(y, names)


def test_metrics_are_scikit_learns_of_the_pixels():
    y, p = masks()
    p[3], p[1, 0, 0] = 0, 1  # one missed, one false alarm
    found = fitted(y).score(y, p)
    marked = p >= 0.5
    there = [row for row in range(len(y)) if y[row].any()]

    def over(score):
        return np.mean([score(y[r].ravel(), marked[r].ravel(), zero_division=0) for r in there])

    assert found["dice"] == pytest.approx(over(f1_score))
    assert found["iou"] == pytest.approx(over(jaccard_score))
    assert found["recall"] == pytest.approx(recall_score(y.ravel(), marked.ravel()))
    assert found["precision"] == pytest.approx(precision_score(y.ravel(), marked.ravel()))
    assert found["false_alarms"] == 0.5


def test_no_structure_is_no_score():
    y, p = masks()
    task = fitted(y)
    found = task.score(y[:2], p[:2] * 0)
    assert np.isnan(found["dice"])
    assert np.isnan(found["recall"])
    assert found["false_alarms"] == 0


def test_several_structures_are_averaged_and_told_apart():
    y, p = masks(structures=2)
    task = fitted(y, ["lung", "heart"])
    found = task.score(y, p)
    each = [task.score(y, p)[f"dice_{name}"] for name in ("lung", "heart")]
    assert found["dice"] == pytest.approx(np.mean(each))
    assert task.num_outputs == 2
    assert [each.name for each in task.outcomes(y, p)] == ["lung", "heart"]
    assert {each.kind for each in task.outcomes(y, p)} == {"mask"}


def test_masks_that_cannot_be_used_are_refused():
    y, _ = masks()
    task = fitted(y)
    for wrong, text in (
        (y[:, :, :5], "masks of 12 × 5 pixels were given where the training masks have 12 × 10"),
        (y * 2, "28 of 30 masks hold values other than 0 and 1 (first at row 3)"),
        (y[:, 0, 0, 0], "task segmentation needs masks (n, height, width); the targets have shape"),
    ):
        with pytest.raises(DataError) as error:
            task.encode(wrong)
        assert text in str(error.value)
    with pytest.raises(DataError, match="none of the 2 training masks marks a pixel"):
        fitted(y[:2])


@pytest.mark.parametrize("loss", ["dice_crossentropy", "dice", "binary_crossentropy"])
def test_losses_fall_towards_the_truth(loss):
    y, p = masks()
    task = tasks.build("segmentation", loss=loss).fit(y)
    given = [each.astype("float32") for each in (y, np.full(y.shape, 0.5), p, 0.999 * y + 0.0005)]
    values = [np.asarray(task.keras_loss()(given[0], each)) for each in given[1:]]
    assert all(value.shape == (len(y),) for value in values)
    first, second, third = (value[2:].mean() for value in values)
    assert first > second > third
    assert third < 0.05


def test_unet_refuses_a_size_that_cannot_be_halved():
    with pytest.raises(MedkitError) as error:
        unet((30, 32, 1), 1)
    assert "its height of 30 pixels is not a multiple of 4" in str(error.value)
    assert "images whose sides are multiples of 4" in str(error.value)


def test_synthetic_masks_are_where_the_opacities_are():
    cohort = datasets.build("synthetic_xray", samples=200, target="mask")
    labels = datasets.build("synthetic_xray", samples=200, target="findings").targets
    half = cohort.targets.shape[2] // 2
    # The patient's left lung is on the right of the image.
    assert (cohort.targets[:, :, half:].any(axis=(1, 2)) >= labels[:, 0]).mean() > 0.98
    found = np.stack([cohort.targets[:, :, half:].any(axis=(1, 2)),
                      cohort.targets[:, :, :half].any(axis=(1, 2))], axis=1)  # fmt: skip
    assert (found == labels).mean() > 0.97
    assert cohort.targets[~labels.any(axis=1)].sum() == 0


def test_masks_are_stratified_by_what_they_show():
    y, _ = masks(structures=2)
    strata = outcome_strata(y, np.arange(len(y)), len(y))
    assert len(set(strata)) == 2
    assert [each.any() for each in y] == (strata == strata[-1]).tolist()


# From files.


@pytest.fixture
def manifest(tmp_path):
    """Five images with a mask beside each, as a table names them."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(5):
        image = random.integers(0, 255, (16, 12), dtype=np.uint8)
        mask = np.zeros((16, 12), np.uint8)
        mask[number : number + 3, 2:6] = 255
        Image.fromarray(image).save(tmp_path / f"x{number}.png")
        Image.fromarray(mask).save(tmp_path / f"m{number}.png")
        rows.append({"path": f"x{number}.png", "lesion": f"m{number}.png"})
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


def test_masks_are_read_beside_their_images(manifest):
    cohort = datasets.build("images", path=manifest, mask="lesion")
    assert cohort.targets.shape == (5, 16, 12)
    assert cohort.targets.sum(axis=(1, 2)).tolist() == [12] * 5
    assert cohort.target_names == ("lesion",)
    assert set(cohort.source.files) == {"manifest.csv", "images", "masks"}
    small = datasets.build("images", path=manifest, mask="lesion", size=(8, 6))
    assert small.targets.shape == (5, 8, 6)
    assert set(np.unique(small.targets)) == {0, 1}


def test_a_mask_of_another_size_than_its_image_is_refused(manifest):
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(manifest.parent / "m3.png")
    with pytest.raises(DataError) as error:
        datasets.build("images", path=manifest, mask="lesion")
    assert "m3.png: the mask is 8 × 12 pixels and its image x3.png 16 × 12" in str(error.value)
    assert "bring it to the image's size" in str(error.value)
    (manifest.parent / "m3.png").unlink()
    with pytest.raises(DataError, match=r"m3\.png: the mask cannot be read"):
        datasets.build("images", path=manifest, mask="lesion")
    with pytest.raises(DataError, match="no mask column called 'lesions'"):
        datasets.build("images", path=manifest, mask="lesions")


# The whole way.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The smoke config, trained."""
    return train(CONFIG, out=tmp_path_factory.mktemp("runs"))


def test_a_run_keeps_its_masks_as_files(run, tmp_path):
    stored = stored_part(run)
    assert stored.y.shape == stored.outputs.shape == (len(stored.samples), 32, 32, 1)
    assert stored.baselines == {}
    frame = pd.read_parquet(run.path / "predictions.parquet")
    rows = frame[frame["part"] == "test"]
    marked = (stored.outputs >= 0.5).sum(axis=(1, 2, 3))
    assert rows["predicted_pixels"].tolist() == marked.tolist()
    assert rows["target_pixels"].tolist() == stored.y.sum(axis=(1, 2, 3)).tolist()
    again = run.task.score(stored.y, stored.outputs, run.threshold)
    for name, value in again.items():
        assert run.metrics["test"]["metrics"][name]["value"] == pytest.approx(value, abs=1e-6)
    with pytest.raises(RunError, match="masks for 3 rows of the part"):
        run.task.read(run.path, "test", rows.iloc[:3])


def test_metrics_have_intervals_and_baselines(run):
    dice = run.metrics["test"]["metrics"]["dice"]
    assert dice["low"] < dice["value"] < dice["high"]
    assert set(run.metrics["baselines"]) == {"mean_mask", "grey_level"}
    for each in run.metrics["baselines"].values():
        assert each["difference"]["metric"] == "dice"
        assert each["difference"]["low"] is not None
    for block in ("calibration", "decisions"):
        assert run.metrics["test"][block]["not_estimable"]
    assert (
        "inputs that give the target away are not looked for: a mask is made of the same pixels "
        "as its image"
    ) in run.metrics["leakage"]["notes"]


def test_an_answer_for_each_pixel_is_not_explained(run, tmp_path):
    with pytest.raises(MedkitError) as error:
        explain_file(run, tmp_path)
    assert (
        "task 'segmentation' gives one answer per pixel, and only one per sample is explained"
        in str(error.value)
    )


def test_masks_that_lie_on_no_image_are_refused(monkeypatch):
    xray = datasets.build("synthetic_xray", samples=40, target="mask")
    cut = replace(xray, targets=xray.targets[:, :16])
    monkeypatch.setattr("medkit.workflows.train.read", lambda dataset: cut)
    with pytest.raises(DataError) as error:
        train(CONFIG)
    assert "the masks have 16 × 32 pixels, and no input has that size (image: 32 × 32)" in str(
        error.value
    )
    assert "Give each mask the size of its image" in str(error.value)


def test_the_report_draws_truth_and_answer(run):
    text = (run.path / "report.html").read_text(encoding="utf-8")
    assert 'id="masks"' in text
    for title in ("opacity: a poor one", "opacity: a good one", "opacity: Dice of each image"):
        assert f"<h3>{title}</h3>" in text
    assert "The output is a probability for each pixel; from 0.5 on a pixel is marked." in text
    assert "What a threshold does" not in text
    assert "Not estimable: task &#39;segmentation&#39; gives one answer per pixel" in text
    assert "positive class" not in text


def test_a_saved_run_predicts_masks(run, tmp_path):
    cohort = datasets.build("synthetic_xray", samples=20, seed=9, target="mask")
    outputs = Run.open(run.path).outputs(cohort.inputs)
    assert outputs.shape == (20, 32, 32, 1)
    assert np.isfinite(outputs).all()
    table = run.predict(cohort.inputs, tmp_path / "new.csv")
    with np.load(tmp_path / "masks-new.npz") as kept:
        np.testing.assert_allclose(kept["probability"], outputs, atol=1e-6)
    assert table["predicted_pixels"].tolist() == (outputs >= 0.5).sum(axis=(1, 2, 3)).tolist()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["model={name: mlp}"], "'mlp' gives one answer per sample; task 'segmentation' needs one "
         "per pixel; these give it: unet"),
        (["task=binary"], "'binary' cannot learn the targets of 'synthetic_xray'; these can: "
         "segmentation"),
        (["task=binary", "dataset.target=opacity"], "'unet' gives one answer per pixel; task "
         "'binary' needs one per sample"),
        (["preprocessing={rotation: 10}"], "moves the pixels of the image and not those of its "
         "mask"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_data_are_read(changes, text, capsys):
    sets = [each for change in changes for each in ("--set", change)]
    assert main(["validate", "--config", CONFIG, *sets]) == 2
    found = " ".join(capsys.readouterr().err.split())
    assert text in found, json.dumps(found)
