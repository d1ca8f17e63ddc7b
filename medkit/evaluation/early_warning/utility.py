"""The utility of hourly predictions, as the PhysioNet/CinC Challenge 2019 scores them.

Reyna et al., Early prediction of sepsis from clinical data: the PhysioNet/Computing in Cardiology
Challenge 2019, Crit. Care Med. 48, 2020. By the hours d from the onset (negative before it), a
positive prediction in a stay with an event is worth

    (d + 12) / 6     for d up to -6, but no less than -0.05
    (3 - d) / 9      from there to 3

and a negative one 0 up to -6, then -2 (d + 6) / 9. Without an event a positive one is worth -0.05
and a negative one 0; later than 3 hours after the onset nothing counts. The sum over all hours of
all stays is normalized so that 1 is the best there is and 0 is to predict nothing:

    U = (U_observed - U_inaction) / (U_best - U_inaction)

No prediction is made here from the onset on, where the Challenge goes on for three hours: these
figures are not to be set beside published scores of the Challenge.
"""

from __future__ import annotations

import numpy as np

EARLIEST, BEST, LATEST = -12.0, -6.0, 3.0  # hours from the onset
FALSE_ALARM, MISSED = -0.05, -2.0


def hourly_utility(lead: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each hour is worth.

    Args:
        lead: (n,) hours to the onset; infinite in stays without an event.

    Returns:
        (n,) of a positive prediction, of a negative one, and of the best one.
    """
    event = np.isfinite(lead)
    after = np.where(event, -lead, 0.0)
    rising = np.maximum((after - EARLIEST) / (BEST - EARLIEST), FALSE_ALARM)
    falling = (LATEST - after) / (LATEST - BEST)
    positive = np.where(after <= BEST, rising, falling)
    negative = np.where(after <= BEST, 0.0, MISSED * (after - BEST) / (LATEST - BEST))
    over = event & (after > LATEST)
    positive = np.where(over, 0.0, np.where(event, positive, FALSE_ALARM))
    negative = np.where(event & ~over, negative, 0.0)
    wanted = event & (after >= EARLIEST) & ~over
    return positive, negative, np.where(wanted, positive, negative)
