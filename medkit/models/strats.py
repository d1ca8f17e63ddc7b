"""STraTS: self-attention among the single measurements of a stay, without a grid."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from medkit.core.errors import MedkitError
from medkit.core.lazy import keras, ops
from medkit.core.registry import models
from medkit.models._parts import Penalty, Rate, Units, check_rank, finished, penalty


@models.register(accepts=("events",))
def strats(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    units: Units = 48,
    num_blocks: Annotated[int, Field(ge=0)] = 2,
    num_heads: Units = 4,
    feed_forward_units: Units | None = None,
    dropout: Rate = 0.2,
    attention_dropout: Rate = 0.0,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """STraTS: each measurement, with its time, is a word; attention reads them as a set.

    After Tipirneni and Reddy, "Self-supervised transformer for sparse and irregularly sampled
    multivariate clinical time-series", ACM Transactions on Knowledge Discovery from Data 16
    (2022). An event's embedding is the sum of its variable's (a learned vector), its value's and
    its time's (each a small network of one number: ``tanh`` in the middle, √units wide, so that
    time and value are nowhere cut into steps). Blocks of self-attention and a two-layer network,
    each added to its input and normalized, let every event see the others; fusion attention, a
    learned weighted mean, makes one vector of them. Padding plays no part in it, nor does
    the order of the events: each event carries its time. The paper's self-supervised
    pre-training (forecasting) is not done here.

    Args:
        input_shape: Shape of one sample, without the batch: ``(events, 2 + variables)``, the
            time, the value and one column a variable, 1 at the event's own; all columns of the
            variables are 0 where there is no event.
        num_outputs: Width of the head; None for the embedding: the weighted mean of the events.
        output_activation: Activation of the head, set by the task.
        units: Width of the embeddings and of the blocks; a multiple of num_heads.
        num_blocks: Number of blocks; without any, the events are weighed and summed alone, at
            a cost that grows with their number and not with its square.
        num_heads: Heads in each block, of units / num_heads channels.
        feed_forward_units: Width of the hidden layer of each block's two-layer network; by
            default twice units.
        dropout: Share left out in each training step, after each part of a block and before the
            head.
        attention_dropout: Share of the attention weights left out in each training step.
        l1: Penalty on the absolute values of all weights but the head's.
        l2: Penalty on the squares of all weights but the head's.

    Returns:
        An uncompiled model, (batch, events, 2 + variables) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank or no variable, or the heads do not divide the
            units.

    Example:
        >>> from medkit.models import strats
        >>> strats((200, 2 + 37), 1, output_activation="sigmoid").output_shape
        (None, 1)
    """
    from medkit.layers.attention_pooling import AttentionPooling
    from medkit.layers.self_attention import SelfAttention

    expected = "(events, 2 + variables)"
    check_rank("strats", input_shape, {2: expected})
    if input_shape[1] < 3:
        raise MedkitError(f"strats takes inputs of shape {expected}; got {tuple(input_shape)}")
    if units % num_heads:
        raise MedkitError(
            f"strats: units must be a multiple of num_heads; {units} is not one of {num_heads}",
            hint=f"Choose units: {-(-units // num_heads) * num_heads}, or another num_heads.",
        )

    def dense(width: int, **settings: Any) -> Any:
        return keras.layers.Dense(width, kernel_regularizer=penalty(l1, l2), **settings)

    def of_number(x: Any) -> Any:
        hidden = dense(max(1, round(units**0.5)), activation="tanh")(x)
        return dense(units, use_bias=False)(hidden)

    def added(x: Any, part: Any) -> Any:
        total = keras.layers.Add()([x, keras.layers.Dropout(dropout)(part)])
        return keras.layers.LayerNormalization(epsilon=1e-5)(total)

    inputs = keras.Input(input_shape)
    variable = inputs[:, :, 2:]
    present = ops.max(variable, axis=-1) > 0
    x = keras.layers.Add()(
        # Of a column that is 1 and others that are 0, a product is a look-up.
        [of_number(inputs[:, :, :1]), of_number(inputs[:, :, 1:2]), dense(units)(variable)]
    )
    for _ in range(num_blocks):
        attention = SelfAttention(
            num_heads,
            units // num_heads,
            dropout=attention_dropout,
            kernel_regularizer=penalty(l1, l2),
        )
        x = added(x, attention(x, mask=present))
        hidden = dense(feed_forward_units or 2 * units, activation="gelu")(x)
        x = added(x, dense(units)(hidden))
    x = AttentionPooling(kernel_regularizer=penalty(l1, l2))(x, mask=present)
    head = x if num_outputs is None else keras.layers.Dropout(dropout)(x)
    return finished("strats", inputs, head, num_outputs, output_activation)
