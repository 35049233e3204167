"""The radius sqrt(ell_t / (2 n)) added up: logarithm, width sums, failure probabilities.

Float64 on the host. Horizons, numbers of observations and `delta` may be arrays that
broadcast; nothing here loops over rounds, so a horizon of 1e7 costs as much as one of 10.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from c2mabv_jax.errors import ProblemError

Form = Literal["sum", "closed"]

_HEAD = 32  # terms added one by one before the Euler-Maclaurin formula takes over


def log_term(t: ArrayLike, num_arms: int, delta: ArrayLike) -> Any:
    """ell_t = ln(2 pi^2 K t^3 / (3 delta)), the logarithm inside the radius, in float64."""
    return plain(
        math.log(2 * math.pi**2 * num_arms / 3)
        + 3 * np.log(np.asarray(t, float))
        - np.log(np.asarray(delta, float))
    )


def power_sum(exponent: float, last: ArrayLike) -> np.ndarray:
    """sum over j = 1..last of j^-exponent, to about 1e-15; `last` may be infinite, or 0.

    Euler and Maclaurin's formula after the first 32 terms.
    """
    x, m = float(exponent), np.floor(np.asarray(last, float))
    head = np.concatenate([[0.0], np.cumsum(np.arange(1.0, _HEAD + 1) ** -x)])
    far = np.maximum(m, _HEAD)
    with np.errstate(divide="ignore", over="ignore"):
        logs = np.log(far / _HEAD)
        if abs(1 - x) < 1e-12:
            integral = logs
        else:
            integral = _HEAD ** (1 - x) * np.expm1((1 - x) * logs) / (1 - x)
        tail = integral + _corrections(x, far) - _corrections(x, np.float64(_HEAD))
    inside = np.clip(np.where(np.isfinite(m), m, _HEAD), 0, _HEAD).astype(int)
    return np.where(m <= _HEAD, head[inside], head[-1] + tail)


def _corrections(x: float, m: Any) -> Any:
    """Boundary terms f/2 + f'/12 - f'''/720 + f^(5)/30240 of f(m) = m^-x."""
    rising, terms = 1.0, 0.5 * m**-x
    for order, weight in ((1, -1 / 12), (3, 1 / 720), (5, -1 / 30240)):
        rising = math.prod(x + i for i in range(order))
        terms = terms + weight * rising * m ** (-x - order)
    return terms


def width_sum(
    horizon: ArrayLike,
    observations: ArrayLike,
    num_arms: int,
    delta: ArrayLike,
    alpha: float = 1.0,
    form: Form = "sum",
) -> Any:
    """W(T, M): the most that M observations can add to sum min(1, 2 alpha w_{t,k}).

    The n-th observation of an arm (n = 0, 1, ...) costs min(1, 2 alpha sqrt(ell_T / (2 n))),
    the first one 1. Increments fall with n, so the sum is largest when the arms share the
    observations equally (Jensen): W = K G(M / K) with G interpolated linearly.

    Args:
      horizon: T, the round whose logarithm bounds all earlier ones.
      observations: M, over all arms.
      num_arms: K.
      delta: confidence parameter of the radius.
      alpha: factor on the radius.
      form: "sum" adds the increments exactly; "closed" is
        K + 2 sqrt(2) alpha sqrt(ell_T K M), never smaller.

    Returns:
      W, float or array.
    """
    ell = np.asarray(log_term(horizon, num_arms, delta))
    total = np.asarray(observations, float)
    if form == "closed":
        return plain(num_arms + 2 * math.sqrt(2) * alpha * np.sqrt(ell * num_arms * total))
    if form != "sum":
        raise ProblemError(f"form = {form!r}: choose one of sum, closed")
    knee = 2 * alpha**2 * ell  # up to this count the increment is clipped at 1
    share = total / num_arms
    whole = np.floor(share)
    before = np.maximum(whole - 1, 0)
    clipped = np.minimum(np.floor(knee), before)
    falling = np.sqrt(knee) * (power_sum(0.5, before) - power_sum(0.5, clipped))
    complete = np.where(whole >= 1, 1 + clipped + falling, 0.0)
    with np.errstate(divide="ignore"):
        increment = np.where(whole == 0, 1.0, np.minimum(1, np.sqrt(knee / whole)))
    return plain(num_arms * (complete + (share - whole) * increment))


def side_failure(horizon: ArrayLike, num_arms: int, delta: ArrayLike, alpha: float = 1.0) -> Any:
    """Bound on P(some arm's bound is on the wrong side of its mean in some round t <= T).

    One side of one stream (rewards or costs), radius alpha sqrt(ell_t / (2 n)), n counted
    before round t. While an arm has s observations its radius only grows, so it fails first,
    if at all, in round s + 1; Hoeffding's inequality and a union over s and arms give

        K sum_{s=1}^{T-1} (3 delta / (2 pi^2 K (s+1)^3))^(alpha^2),

    finite for T = inf iff 3 alpha^2 > 1. Holds for any dependence between arms as long as
    the observations of one arm are i.i.d. and observing does not look at the value. At
    alpha = 1 it is at most 0.0307 delta. Not capped: a value of 1 or more says nothing.
    """
    first = _first_failure(num_arms, delta) ** alpha**2
    return plain(num_arms * first * (power_sum(3 * alpha**2, horizon) - 1))


def failing_rounds(horizon: ArrayLike, num_arms: int, delta: ArrayLike, alpha: float = 1.0) -> Any:
    """Bound on the expected number of rounds t <= T in which some arm's bound is wrong.

    One side of one stream. In round t an arm has at most t - 1 observations, so a union over
    s < t gives sum_t K (t-1) (3 delta / (2 pi^2 K t^3))^(alpha^2); it converges iff
    3 alpha^2 > 2, at alpha = 1 to 0.0674 delta. The smaller of this and T times `side_failure`
    is returned, never more than T.
    """
    t = np.asarray(horizon, float)
    first = _first_failure(num_arms, delta) ** alpha**2
    x = 3 * alpha**2
    by_round = num_arms * first * (power_sum(x - 1, t) - power_sum(x, t))
    return plain(np.minimum(by_round, t * np.minimum(1, side_failure(t, num_arms, delta, alpha))))


def _first_failure(num_arms: int, delta: ArrayLike) -> np.ndarray:
    """3 delta / (2 pi^2 K): Hoeffding's exp(-ell_t) at t = 1."""
    return 3 * np.asarray(delta, float) / (2 * math.pi**2 * num_arms)


def plain(value: Any) -> Any:
    """A zero-dimensional result as a Python number; arrays stay arrays."""
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array
