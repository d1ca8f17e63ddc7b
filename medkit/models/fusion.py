"""Several inputs in one network: a branch for each, joined before the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from medkit.core.errors import MedkitError
from medkit.core.keras_names import Activation
from medkit.core.lazy import keras, ops
from medkit.core.registry import models
from medkit.data.inputs import presence_name
from medkit.models._parts import Rate, Units, dense_blocks, finished, pooled

Shape = tuple[int, ...]


@models.register(accepts="several", parts=("branches",))
def fusion(
    input_shapes: Mapping[str, Shape],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    branches: dict[str, str | dict[str, Any]],
    join: Literal["concatenate", "gated", "attention"] = "concatenate",
    joint_units: tuple[Units, ...] = (32,),
    activation: Activation = "relu",
    dropout: Rate = 0.1,
    input_dropout: Rate = 0.0,
) -> keras.Model:
    """A branch for each input, their embeddings joined before the head (late fusion).

    Each branch is a registered factory without its head. Joined by concatenation (the static
    branch of Tipirneni and Reddy, "Self-supervised transformer for sparse and irregularly sampled
    multivariate clinical time-series", ACM TKDD 16, 2022); by gates that see all embeddings
    (Arevalo et al. 2020); or by attention over the inputs (Bahdanau et al. 2015).

    Args:
        input_shapes: Input name -> shape of one sample, without the batch; ``{input}_present``:
            (1,) beside an input that a sample may lack.
        num_outputs: Width of the head; None for the joint embedding.
        output_activation: Activation of the head, set by the task.
        branches: Input name -> name of a model, or a mapping with ``name`` and its parameters; or
            one with ``from``, a finished run on that input alone (in Python, a network without its
            head), whose weights and preprocessing the branch starts with, and ``frozen``: true
            where these weights are not to be trained further.
        join: How the embeddings become one; ``gated`` and ``attention`` first bring them to one
            width, ``joint_units[0]`` or else 32.
        joint_units: Width of each dense layer on the joint embedding; an empty list for none.
        activation: Keras activation of these layers.
        dropout: Share of their units left out in each training step.
        input_dropout: Share of samples from which a whole input is taken away in each training
            step, each input by itself; a learned vector stands for it.

    Returns:
        An uncompiled model, ``{input: (batch, *shape)}`` -> (batch, num_outputs).

    Raises:
        MedkitError: Branches that are not those of the inputs.

    Example:
        >>> from medkit.models import fusion
        >>> shapes = {"vitals": (48, 37), "static": (5,)}
        >>> model = fusion(shapes, 1, branches={"vitals": "gru", "static": "mlp"})
        >>> model.output_shape
        (None, 1)
    """
    flags = {presence_name(name) for name in input_shapes}
    named = [name for name in input_shapes if name not in flags]
    if set(branches) != set(named):
        raise MedkitError(
            f"fusion: the branches are {', '.join(branches)}, the inputs {', '.join(named)}",
            hint="Name one branch for each input.",
        )
    inputs = {name: keras.Input(shape, name=name) for name, shape in input_shapes.items()}
    embeddings = []
    for name in named:
        embedding = _embedding(name, branches[name], inputs[name])
        given = [inputs[each] for each in (presence_name(name),) if each in inputs]
        if given or input_dropout:
            from medkit.layers.fusion import SubstitutedEmbedding

            layer = SubstitutedEmbedding(input_dropout, name=f"{name}_or_substitute")
            embedding = layer([embedding, *given])
        embeddings.append(embedding)
    x = _joined(embeddings, join, joint_units[0] if joint_units else 32)
    x = dense_blocks(x, joint_units, activation=activation, kernel_initializer="glorot_uniform",
                     dropout=dropout, l1=0.0, l2=0.0)  # fmt: skip
    return finished("fusion", inputs, x, num_outputs, output_activation)


def branch_name(name: str) -> str:
    """Name of an input's branch inside the network."""
    return f"{name}_branch"


def _embedding(name: str, chosen: str | Mapping[str, Any], x: Any) -> Any:
    given: dict[str, Any] = {"name": chosen} if isinstance(chosen, str) else dict(chosen)
    frozen = False
    if "from" in given:
        # A copy, since each member of an ensemble starts from the same weights.
        branch = keras.models.clone_model(given["from"])
        branch.set_weights(given["from"].get_weights())
        frozen = given.get("frozen", False)
        branch.trainable = not frozen
    else:
        branch = models.build(given.pop("name"), tuple(x.shape[1:]), None, **given)
    if len(branch.output_shape) != 2:
        raise MedkitError(
            f"fusion: the branch '{name}' gives {branch.output_shape}, not an "
            "embedding (batch, width)"
        )
    branch.name = branch_name(name)  # layers need names of their own
    return branch(x, training=False) if frozen else branch(x)


def _joined(embeddings: list[Any], join: str, width: int) -> Any:
    if len(embeddings) == 1:
        return embeddings[0]
    if join == "concatenate":
        return keras.layers.Concatenate()(embeddings)
    alike = [keras.layers.Dense(width, activation="tanh")(each) for each in embeddings]
    if join == "attention":
        return pooled(ops.stack(alike, axis=1), "attention")
    together = keras.layers.Concatenate()(alike)
    gates = keras.layers.Dense(together.shape[-1], activation="sigmoid")(together)
    passed = keras.layers.Multiply()([gates, together])
    return keras.layers.Add()(ops.split(passed, len(alike), axis=-1))
