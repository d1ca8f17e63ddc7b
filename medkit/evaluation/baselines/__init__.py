"""Linear and boosting baselines, tuned on the training rows of the same split."""
