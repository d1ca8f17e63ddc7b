"""Feature-tokenizer transformer."""

from __future__ import annotations

from typing import Any

from medkit.core.lazy import keras
from medkit.core.registry import models
from medkit.models._parts import Penalty, Rate, Units, check_rank, finished, penalty


@models.register(accepts=("vector",))
def ft_transformer(
    input_shape: tuple[int, ...],
    num_outputs: int | None,
    *,
    output_activation: str | None = None,
    num_blocks: Units = 3,
    num_heads: Units = 8,
    key_dim: Units = 8,
    feed_forward_units: Units = 96,
    attention_dropout: Rate = 0.2,
    feed_forward_dropout: Rate = 0.1,
    residual_dropout: Rate = 0.0,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
) -> keras.Model:
    """Feature-tokenizer transformer: attention among the columns of a table.

    Every number becomes a token, one more token gathers what is needed, and attention blocks
    let them exchange it. After Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting deep
    learning models for tabular data", NeurIPS 2021: normalization first, but none before the
    first attention; gated (ReGLU) two-layer networks. A category is seen as its one-hot columns.

    Args:
        input_shape: Shape of one sample, without the batch: ``(features,)``.
        num_outputs: Width of the head; None for the embedding, (batch, num_heads * key_dim).
        output_activation: Activation of the head, set by the task.
        num_blocks: Number of blocks.
        num_heads: Heads in each block.
        key_dim: Width of each head; tokens are num_heads * key_dim wide.
        feed_forward_units: Width of the gated hidden layer of each block.
        attention_dropout: Share of the attention weights left out in each training step.
        feed_forward_dropout: Share left out of each gated hidden layer.
        residual_dropout: Share left out of what each part of a block adds.
        l1: Penalty on the absolute values of the blocks' weights.
        l2: Penalty on the squares of the blocks' weights.

    Returns:
        An uncompiled model, (batch, features) -> (batch, num_outputs).

    Raises:
        MedkitError: The input has another rank.

    Example:
        >>> from medkit.models import ft_transformer
        >>> ft_transformer((30,), 1, output_activation="sigmoid", num_blocks=1).output_shape
        (None, 1)
    """
    from medkit.layers.features import FeatureTokens
    from medkit.layers.self_attention import SelfAttention

    check_rank("ft_transformer", input_shape, {1: "(features,)"})
    width = num_heads * key_dim

    def normalized(x: Any) -> Any:
        return keras.layers.LayerNormalization(epsilon=1e-5)(x)

    def added(x: Any, part: Any) -> Any:
        return keras.layers.Add()([x, keras.layers.Dropout(residual_dropout)(part)])

    def dense(units: int, activation: str | None = None) -> Any:
        return keras.layers.Dense(units, activation=activation, kernel_regularizer=penalty(l1, l2))

    inputs = keras.Input(input_shape)
    x = FeatureTokens(width)(inputs)
    for block in range(num_blocks):
        attend = SelfAttention(
            num_heads, key_dim, dropout=attention_dropout, kernel_regularizer=penalty(l1, l2)
        )
        x = added(x, attend(normalized(x) if block else x))
        ready = normalized(x)
        hidden = keras.layers.Multiply()(
            [dense(feed_forward_units, "relu")(ready), dense(feed_forward_units)(ready)]
        )
        hidden = keras.layers.Dropout(feed_forward_dropout)(hidden)
        x = added(x, dense(width)(hidden))
    x = keras.activations.relu(normalized(x[:, 0]))
    return finished("ft_transformer", inputs, x, num_outputs, output_activation)
