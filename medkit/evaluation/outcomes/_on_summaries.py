"""Kinds of outcome that a linear model and boosted trees can learn from summary features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from medkit.evaluation.baselines.baselines import Fitted, fit_baselines
from medkit.evaluation.baselines.learned import PastRows
from medkit.evaluation.methods import Methods
from medkit.modalities.encoder import Encoder


class OnSummaries(Methods):
    """Its baselines are an average, a linear model and gradient boosting."""

    on_summaries = True

    def baselines(
        self, encoder: Encoder | None, rows: Mapping[str, PastRows], y: Mapping[str, np.ndarray],
        subjects: np.ndarray, seed: int,
    ) -> tuple[list[Fitted], dict[str, str]]:  # fmt: skip
        """See ``baselines.fit_baselines``."""
        train, valid = ((rows[part].features, y[part]) for part in ("train", "valid"))
        fitted = fit_baselines(self.task, train, valid, seed, subjects)
        return [replace(each, predict=_of_features(each)) for each in fitted], {}


def _of_features(fitted: Fitted) -> Any:
    return lambda rows: fitted.predict(rows.features)
