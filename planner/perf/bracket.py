"""Largest passing value of many one-dimensional tests at once, by safeguarded false position."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
Violation = Callable[[Array, Whole], Array]
"""Of (values, positions): above 0 where the test fails; finite, close to smooth, grows."""

ROUNDS_MAX = 60


def largest_passing(
    violation: Violation, low: Array, high: Array, *, at_low: Array, at_high: Array, rtol: float
) -> tuple[Array, Array]:
    """Bracket of the largest passing value: (passing, failing), within rtol of each other.

    Illinois false position, kept half a tolerance away from both ends so that the bracket
    closes from both sides, with a bisection wherever three rounds did not halve it. Only open
    positions are evaluated again.

    Parameters
    ----------
    low, high : passing and failing values, low < high.
    at_low, at_high : violations there, at_low <= 0 < at_high.

    Examples
    --------
    >>> low, high = largest_passing(
    ...     lambda x, _: x**2 - 2.0, np.array([0.0]), np.array([2.0]),
    ...     at_low=np.array([-2.0]), at_high=np.array([2.0]), rtol=1e-3)
    >>> bool(low[0] <= 2**0.5 < high[0]), bool(high[0] - low[0] <= 1e-3 * high[0])
    (True, True)
    """
    ends, values = np.stack([low, high]), np.stack([at_low, at_high])
    positions = np.flatnonzero(high - low > rtol * high)
    check = (high - low)[positions]
    last = np.full(low.shape, -1)
    for rounds in range(ROUNDS_MAX):
        if not positions.size:
            break
        (lo, hi), (below, above) = ends[:, positions], values[:, positions]
        width = hi - lo
        margin = np.minimum(0.45 * width, 0.9 * rtol * hi)
        guess = np.clip(lo + width * below / (below - above), lo + margin, hi - margin)
        if rounds % 3 == 2:
            guess = np.where(width > 0.5 * check, (lo + hi) / 2.0, guess)
            check = width
        value = violation(guess, positions)
        side = (value > 0).astype(int)
        ends[side, positions], values[side, positions] = guess, value
        twice = last[positions] == side
        values[1 - side[twice], positions[twice]] *= 0.5
        last[positions] = side
        still = ends[1, positions] - ends[0, positions] > rtol * ends[1, positions]
        positions, check = positions[still], check[still]
    return ends[0], ends[1]
