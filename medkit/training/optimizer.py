"""The optimizer and its learning-rate schedule, from settings."""

from __future__ import annotations

from typing import Any

from medkit.core.lazy import keras


def build_optimizer(settings: Any, steps_per_epoch: int | None) -> Any:
    """The Keras optimizer that ``training.optimizer`` and its schedule describe.

    Cosine and warm-up are computed from the optimizer's own step count, so a resumed run
    continues them exactly. Plateau is a callback.

    Args:
        settings: The ``training`` section.
        steps_per_epoch: Steps an epoch; None where a stream does not say.
    """
    arguments = settings.optimizer.model_dump()
    name = arguments.pop("name")
    # keras.optimizers.get does not know every optimizer Keras has by its lower-case name.
    known = {each.lower(): each for each in dir(keras.optimizers)}
    kind = getattr(keras.optimizers, known[name])
    schedule = settings.learning_rate_schedule
    if schedule is not None and schedule.name != "plateau":
        arguments["learning_rate"] = _schedule(
            schedule, arguments["learning_rate"], settings.epochs, steps_per_epoch or 1
        )
    return kind(**arguments)


def _schedule(schedule: Any, rate: float, epochs: int, steps_per_epoch: int) -> Any:
    warmup = schedule.epochs if schedule.name == "warmup" else schedule.warmup_epochs
    warmup_steps = round(warmup * steps_per_epoch)
    first = rate / max(warmup_steps, 1)  # a first step at rate 0 would be wasted
    if schedule.name == "warmup":
        # After its steps a polynomial decay stays at its end, which here is the full rate.
        return keras.optimizers.schedules.PolynomialDecay(
            first, max(warmup_steps, 1), end_learning_rate=rate
        )
    decay_steps = max(epochs * steps_per_epoch - warmup_steps, 1)
    if not warmup_steps:
        return keras.optimizers.schedules.CosineDecay(
            rate, decay_steps, alpha=min(schedule.minimum / rate, 1.0)
        )
    return keras.optimizers.schedules.CosineDecay(
        first,
        decay_steps,
        alpha=min(schedule.minimum / rate, 1.0),
        warmup_target=rate,
        warmup_steps=warmup_steps,
    )


def learning_rate(optimizer: Any) -> float:
    """The rate of the next step."""
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
