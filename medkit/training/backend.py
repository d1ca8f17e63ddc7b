"""Which Keras backend runs; to be settled before anything imports Keras."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile

from medkit.core.errors import MedkitError

BACKENDS = ("tensorflow", "jax", "torch")


class BackendError(MedkitError):
    """A backend that is not installed, or asked for too late."""

    exit_status = 2


def installed() -> list[str]:
    """The backends whose packages are installed."""
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def select_backend(asked: str | None = None, preferred: str | None = None) -> str:
    """Settle the backend: as asked, else KERAS_BACKEND, else ``preferred``, else TensorFlow.

    Args:
        asked: A backend the user insists on.
        preferred: Used when nothing else is asked for and it is installed (a run's own backend).

    Raises:
        BackendError: It is not installed, or Keras already runs on another one.
    """
    if "keras" in sys.modules:
        import keras

        current = keras.backend.backend()
        if asked is not None and asked != current:
            raise BackendError(
                f"Keras already runs on {current} in this process; {asked} was asked for",
                hint=f"Start a new process, or set KERAS_BACKEND={asked} before importing keras.",
            )
        return current
    there = installed()
    name = asked or os.environ.get("KERAS_BACKEND")
    if name is None:
        candidates = [preferred, *BACKENDS]
        name = next((each for each in candidates if each in there), "tensorflow")
    if name not in BACKENDS:
        raise BackendError(f"no Keras backend called '{name}'; known: {', '.join(BACKENDS)}")
    if name not in there:
        extra = f"[{name}]" if name != "tensorflow" else ""
        raise BackendError(
            f"the backend '{name}' is not installed",
            hint=f"pip install 'keras-medkit{extra}', or choose an installed one: "
            f"{', '.join(there) or 'none is'} (backend: in the config, or --backend).",
        )
    os.environ["KERAS_BACKEND"] = name
    # TensorFlow's start-up notices are not about the user's data.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return name


def start() -> str:
    """Import Keras on the settled backend and look for devices; returns ``gpu`` or ``cpu``.

    TensorFlow's C++ side writes notices about missing GPU drivers straight to standard error,
    before any log level applies. They are held back, and shown if the import fails.
    """
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            import keras

            # Seeds TensorFlow too where it is installed, and so imports it on every backend.
            keras.utils.set_random_seed(0)
            # It is warned of from the fifth model on, though each (of an ensemble) is traced once.
            logging.getLogger("tensorflow").addFilter(_no_retracing)
            return device()
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _no_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def device() -> str:
    """``gpu`` or ``cpu``: where the current backend computes."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    if keras.backend.backend() == "jax":
        import jax

        return "gpu" if jax.default_backend() in ("gpu", "cuda", "rocm") else "cpu"
    import torch

    return "gpu" if torch.cuda.is_available() else "cpu"
