"""Contract tests, public so that a plug-in can be held to the same rules as medkit's own.

from medkit.testing import check_model
check_model(build_tcn, accepts=("steps",))
"""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medkit.core.groups import groups_of
from medkit.core.registry import modalities, models, signature_model
from medkit.data.cohort import Cohort, RawInput
from medkit.modalities.drawing import Drawing
from medkit.modalities.hooks import prepared
from medkit.modalities.modality import Modality
from medkit.tasks.task import Task

# Small preprocessed samples of what a modality gives.
SHAPES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "vector": ((7,),),
    "steps": ((12, 5), (20, 6)),
    "grid": ((16, 16, 1), (8, 8, 8, 1)),
    "events": ((20, 2 + 5),),
}


def check_signature(factory: Callable[..., Any]) -> None:
    """Every keyword-only parameter has a type, a default or is required, and is documented.

    Raises:
        AssertionError: With the rule that is broken.
    """
    document = inspect.getdoc(factory) or ""
    assert document, f"{factory.__name__} has no docstring"
    schema = signature_model(factory, models.reserved)
    for name, field in schema.model_fields.items():
        assert field.annotation is not Any, f"{factory.__name__}.{name} has no type"
        assert field.description, f"{factory.__name__}.{name} is not described under 'Args:'"
    for name, group in groups_of(schema).items():
        for inner, field in group.model_fields.items():
            assert field.description, f"{factory.__name__}.{name}.{inner} has no docstring"
    json.dumps(schema.model_json_schema())


def check_model(
    factory: Callable[..., Any],
    accepts: tuple[str, ...],
    shapes: Mapping[str, tuple[tuple[int, ...], ...]] | None = None,
    answers: tuple[str, ...] = ("sample",),
    **parameters: Any,
) -> None:
    """A model factory keeps the contract for everything it accepts.

    It returns an uncompiled model, gives the asked number of outputs and, for None, an
    embedding; its outputs are finite; it trains one step; saving and loading changes nothing.

    Args:
        factory: The factory.
        accepts: What it takes: ``vector``, ``steps``, ``grid``, ``events``.
        shapes: Shapes of samples to try, by what is accepted, where it takes special ones only.
        answers: One answer per what it gives: ``sample``, or ``pixel``.
        **parameters: Parameters of the factory.

    Raises:
        AssertionError: With the rule that is broken.
    """
    import keras

    check_signature(factory)
    random = np.random.default_rng(0)
    for given in accepts:
        for shape in {**SHAPES, **(shapes or {})}[given]:
            where = f"{factory.__name__} on {given} {shape}"
            x = random.normal(size=(6, *shape)).astype("float32")
            embedding = factory(shape, None, **parameters)
            # What stands before the outputs: nothing, or the pixels.
            spatial = shape[:-1] if "pixel" in answers else ()
            width = embedding.output_shape
            assert width[1:-1] == spatial, (
                f"{where}: num_outputs=None must give (n, *{spatial}, width), got {width}"
            )
            model = factory(shape, 3, output_activation="softmax", **parameters)
            assert not model.compiled, f"{where}: the factory must not compile"
            before = _outputs(model, x)
            expected = (6, *spatial, 3)
            assert before.shape == expected, f"{where}: expected {expected}, got {before.shape}"
            assert np.isfinite(before).all(), f"{where}: outputs must be finite"
            np.testing.assert_allclose(before.sum(axis=-1), 1.0, atol=1e-5, err_msg=where)
            # Quick to trace; XLA would compile for seconds what is run once. But JAX compiles
            # anyway: the step as one, or each of its operations.
            jit_compile = keras.backend.backend() == "jax"
            # One-hot: Keras' loss of class numbers for each pixel has no gradient on PyTorch.
            model.compile("sgd", "categorical_crossentropy", jit_compile=jit_compile)
            loss = model.train_on_batch(x, np.eye(3)[random.integers(0, 3, size=(6, *spatial))])
            assert np.isfinite(loss), f"{where}: the loss must be finite"
            trained = _outputs(model, x)
            assert not np.array_equal(before, trained), f"{where}: a step must change the outputs"
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                model.save(path)
                loaded = keras.saving.load_model(path, safe_mode=True)
            np.testing.assert_allclose(
                _outputs(loaded, x),
                trained,
                atol=1e-6,
                err_msg=f"{where}: saved and loaded",
            )


def check_dataset(
    factory: Callable[..., Cohort], yields: Mapping[str, str], **parameters: Any
) -> Cohort:
    """A dataset keeps the contract: a valid cohort, the same each time, nothing learned.

    Raises:
        AssertionError: With the rule that is broken.
    """
    check_signature(factory)
    cohort = factory(**parameters)
    again = factory(**parameters)
    name = factory.__name__
    found = {input_name: raw.modality for input_name, raw in cohort.inputs.items()}
    assert found == yields, f"{name} says it yields {yields} but yields {found}"
    assert cohort.samples.index.equals(again.samples.index), f"{name}: sample ids must not change"
    for each, raw in cohort.inputs.items():
        _equal(raw.values, again.inputs[each].values, f"{name}: inputs must not change")
    if cohort.targets is not None:
        assert again.targets is not None
        assert np.array_equal(cohort.targets, again.targets), f"{name}: targets must not change"
        assert cohort.source.label, f"{name}: Source.label must define the target in words"
    small = cohort.take(np.arange(min(3, len(cohort))))
    alike = all(len(small) == len(raw) for raw in small.inputs.values())
    assert alike, f"{name}: take must cut inputs and samples alike"
    return cohort


def check_modality(name: str, raw: RawInput, **parameters: Any) -> None:
    """A modality keeps the contract.

    Fitted on some rows it encodes all, each whatever stands beside it, the same after JSON; in the
    model its numbers are finite and of the form that it says it ``gives``; what explanations and
    the leakage gate ask of it fits together.

    Raises:
        AssertionError: With the rule that is broken.
    """
    import keras

    factory = modalities.get(name).factory
    check_signature(factory)
    half = np.arange(0, len(raw), 2)
    modality = factory(**parameters).fit(raw.take(half))
    x = modality.encode(raw)
    assert x.shape == (len(raw), *modality.input_shape_), f"{name}: encode gave {x.shape}"
    assert x.dtype == modality.input_dtype_, f"{name}: encode gave {x.dtype}"
    small = np.array([2, 0, 1])
    _equal(modality.encode(raw.take(small)), x[small], f"{name}: a row must not hang on the others")
    state = json.loads(json.dumps(modality.to_dict(), allow_nan=False))
    twin = factory.from_dict(state)
    assert np.array_equal(twin.encode(raw), x, equal_nan=x.dtype.kind == "f"), f"{name}: JSON"
    inputs = keras.Input(modality.input_shape_, dtype=modality.input_dtype_)
    first = _outputs(keras.Model(inputs, modality.preprocessing()(inputs)), x)
    second = _outputs(keras.Model(inputs, twin.preprocessing()(inputs)), x)
    assert np.isfinite(first).all(), f"{name}: preprocessing must give finite numbers"
    if modality.deterministic:
        np.testing.assert_allclose(first, second, atol=1e-6, err_msg=f"{name}: after JSON")
    rank = {"vector": (2,), "steps": (3,), "grid": (4, 5), "events": (3,)}[modality.gives]
    assert first.ndim in rank, f"{name} gives '{modality.gives}', but {first.shape} in the model"
    summary = modality.summarize(x)
    assert len(summary) == len(x), f"{name}: summarize gives one row a sample"
    assert summary.columns.is_unique, f"{name}: summary features need unique names"
    _check_explained(name, modality, x[:6])
    _check_compared(name, modality, raw, x)


def _check_explained(name: str, modality: Modality, x: np.ndarray) -> None:
    """Features can be hidden and lent, and attributions come back to the values they are of."""
    layer = modality.preprocessing()
    inner = prepared(layer, x)
    for fine in (False, True):
        names = [group.name for group in modality.groups(fine)]
        assert names, f"{name}: groups gives the features of a sample"
        assert len(set(names)) == len(names), f"{name}: groups need unique names"
    for group in modality.ranked_groups(x):
        changed = np.array(x)
        modality.hide(changed, group)
        finite = np.isfinite(prepared(layer, changed)).all()
        assert finite, f"{name}: the model must take a sample without '{group.name}'"
        if group.lendable:
            _equal(group.lent(x, x), x, f"{name}: '{group.name}' lent by itself changes nothing")
    for group in modality.groups():
        modality.shown(x, group)
    start = modality.reference(layer, inner, x)
    assert start.shape == inner.shape, f"{name}: reference must have the shape of what it is for"
    assert np.isfinite(start).all(), f"{name}: reference must be finite"
    found = modality.attributed(layer, inner, x)
    whole, parts = (each.reshape(len(x), -1).sum(axis=1) for each in (inner, found))
    np.testing.assert_allclose(
        parts, whole, rtol=1e-3, atol=1e-3, err_msg=f"{name}: nothing may get lost"
    )
    totals = [group.total(found, x) for group in modality.groups()]
    assert all(np.shape(each) == (len(x),) for each in totals), f"{name}: one total a sample"
    for attribution in (None, found):
        drawing = modality.draw(x, 0, attribution)
        assert drawing is None or isinstance(drawing, Drawing), f"{name}: draw gives a Drawing"


def _check_compared(name: str, modality: Modality, raw: RawInput, x: np.ndarray) -> None:
    """Equal samples have equal keys, and what is compared has a row a sample."""
    keys, content = modality.row_keys(raw.values)
    again, _ = modality.row_keys(raw.take(np.array([1, 1, 0])).values)
    assert len(keys) == len(content) == len(raw), f"{name}: row_keys gives one key a sample"
    assert again.tolist() == keys[[1, 1, 0]].tolist(), f"{name}: equal samples need equal keys"
    names, columns = modality.gate_columns(x)
    assert columns.shape == (len(x), len(names)), f"{name}: gate_columns names each column"
    cells, runs, small = modality.near_cells(x), modality.runs(x), modality.reduced(x)
    assert cells is None or len(cells.values) == len(x), f"{name}: near_cells, a row a sample"
    assert runs is None or runs.codes.shape == runs.content.shape, f"{name}: runs, content"
    assert small is None or (small.ndim, len(small)) == (3, len(x)), f"{name}: reduced"
    for each in modality.constants(x).values():
        assert len(each) == len(x), f"{name}: constants, a value a sample"


def check_task(factory: type[Task], targets: np.ndarray | None = None) -> None:
    """A task keeps the contract: encodes, scores, survives JSON, and weights equal repetition.

    Args:
        factory: The task.
        targets: Targets to fit it on; None: its own example.

    Raises:
        AssertionError: With the rule that is broken.
    """
    check_signature(factory)
    if targets is None:
        targets = factory.example(40, np.random.default_rng(1))
    task = factory().fit(targets)
    name = task.kind
    y = task.encode(targets)
    random = np.random.default_rng(0)
    spatial = y.shape[1:-1] if task.answers == "pixel" else ()
    p = random.uniform(0.05, 0.95, size=(len(y), *spatial, task.num_outputs))
    if task.output_activation == "softmax":
        p /= p.sum(axis=1, keepdims=True)
    threshold = task.choose_threshold(y, p)
    scores = task.score(y, p, threshold)
    named = [metric.name for metric in task.metrics]
    assert list(scores) == named, f"{name}: measure gives {list(scores)}, metrics says {named}"
    assert task.leading in named, f"{name}: the leading metric must be one of the metrics"
    counts = random.multinomial(len(y), np.full(len(y), 1 / len(y)), size=2)
    weighted = task.score(y, p, threshold, weights=counts)
    for row, count in enumerate(counts):
        repeated = np.repeat(np.arange(len(y)), count)
        expected = task.score(y[repeated], p[repeated], threshold)
        for metric, value in expected.items():
            np.testing.assert_allclose(
                weighted[metric][row], value, rtol=1e-6, atol=1e-9, err_msg=f"{name}.{metric}"
            )
    twin = factory.from_dict(json.loads(json.dumps(task.to_dict(), allow_nan=False)))
    same = np.array_equal(twin.encode(targets), y, equal_nan=y.dtype.kind == "f")
    assert same, f"{name}: JSON"
    outcomes = task.outcomes(y, p, threshold)
    assert {each.kind for each in outcomes} == {task.outcome}, f"{name}: outcomes of another kind"
    assert len(task.output_names) == task.num_outputs, f"{name}: a name for each output"
    columns = task.prediction_columns(p, threshold)
    assert set(task.output_columns) <= set(columns), f"{name}: outputs must be written"
    assert task.monitor in task.monitors, f"{name}: the default monitor must be watched"


def _outputs(model: Any, x: Any) -> np.ndarray:
    """What a model gives, without the compilation that ``predict`` begins with."""
    import keras

    return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))


def _equal(first: Any, second: Any, message: str) -> None:
    if hasattr(first, "equals"):
        assert first.equals(second), message
    else:
        first, second = np.asarray(first), np.asarray(second)
        assert np.array_equal(first, second, equal_nan=first.dtype.kind == "f"), message
