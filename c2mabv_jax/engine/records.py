"""Which rounds are recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from c2mabv_jax.errors import ProblemError, check_whole

LARGEST_HORIZON = 2**31 - 2  # rounds and counts are int32


def recorded_rounds(
    horizon: int, record_at: Sequence[int] | np.ndarray | int | None = None
) -> np.ndarray:
    """Ascending rounds to record, int32 `[R]`; the last one is the horizon.

    `record_at` is a list of rounds, a number of log-spaced points (fewer where they would
    coincide), or None for about 60 of them.
    """
    check_whole("horizon", horizon, 1, LARGEST_HORIZON)
    if record_at is None:
        record_at = 60
    if isinstance(record_at, int | np.integer):
        if record_at < 1:
            raise ProblemError(f"record_at = {record_at}: give at least 1 point")
        points = np.geomspace(1, horizon, int(record_at)) if record_at > 1 else [horizon]
        rounds = np.unique(np.rint(points).astype(np.int64))
    else:
        rounds = np.unique(np.asarray(record_at))
        whole = rounds.dtype.kind in "iu" and rounds.size > 0
        if not whole or rounds[0] < 1 or rounds[-1] > horizon:
            raise ProblemError(f"record_at: give whole rounds from 1 to horizon = {horizon}")
        rounds = np.union1d(rounds, [horizon])
    return rounds.astype(np.int32)
