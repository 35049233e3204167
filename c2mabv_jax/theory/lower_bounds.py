"""What no algorithm can beat, with sources; "remembered" ones were not re-read for this project.

None of these is stated for a long-term budget; they apply where the budget is slack.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from c2mabv_jax.theory.widths import plain


class Source(NamedTuple):
    """Where a statement comes from and how sure this project is of its exact form."""

    statement: str
    reference: str
    confidence: str


SOURCES = {
    "top_n": Source(
        "liminf R(T) / ln T >= sum over k outside the top N of gap_k / kl(mu_k, mu_(N)), "
        "for every consistent policy",
        "Anantharam, Varaiya, Walrand 1987; form as in Komiyama, Honda, Nakagawa 2015 "
        "(arXiv 1506.00779)",
        "remembered, high",
    ),
    "one_arm": Source(
        "liminf R(T) / ln T >= sum of gap_k / kl(mu_k, mu_max)",
        "Lai, Robbins 1985",
        "remembered, high",
    ),
    "cascade": Source(
        "liminf R(n) / ln n >= (L - K) gap (1 - p)^(K-1) / kl(p - gap, p), "
        "K of L items attractive with probability p, the others p - gap",
        "Kveton, Szepesvari, Wen, Ashkan 2015 (arXiv 1502.02763)",
        "remembered, high",
    ),
    "top_n_minimax": Source(
        "order sqrt(N K T) for N <= K/2, (K - N) sqrt(ln(K / (K - N)) T) for N > K/2; the "
        "constant is not known here",
        "abstract of arXiv 2508.06247",
        "read in the abstract",
    ),
    "path_minimax": Source(
        "R >= min(sqrt(K L n), K n) / 20 on K-path instances (not top N)",
        "Kveton, Wen, Ashkan, Szepesvari 2015 (AISTATS, CombUCB1)",
        "remembered, medium",
    ),
}


def bernoulli_kl(p: ArrayLike, q: ArrayLike) -> Any:
    """Kullback-Leibler divergence of Bernoulli(p) from Bernoulli(q); infinite if impossible."""
    p, q = np.broadcast_arrays(np.asarray(p, float), np.asarray(q, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(p > 0, p * np.log(p / q), 0.0)
        zero = np.where(p < 1, (1 - p) * (np.log1p(-p) - np.log1p(-q)), 0.0)
    return plain(one + zero)


def top_n_constant(mean_reward: ArrayLike, num_selected: int) -> float:
    """Least slope dR / d ln T for top-N, Bernoulli rewards, semi-bandit, no budget.

    sum over k outside the top N of (mu_(N) - mu_k) / kl(mu_k, mu_(N)); arms that tie with the
    N-th cost nothing. See SOURCES["top_n"]. C2MAB-V below alpha = 1/sqrt(3) is not consistent,
    so it may fall below.
    """
    mean = np.sort(np.asarray(mean_reward, float))[::-1]
    threshold, rest = mean[num_selected - 1], mean[num_selected:]
    rest = rest[rest < threshold]
    return float(np.sum((threshold - rest) / np.asarray(bernoulli_kl(rest, threshold))))


def one_arm_constant(mean_reward: ArrayLike) -> float:
    """Lai and Robbins's constant: `top_n_constant` with N = 1."""
    return top_n_constant(mean_reward, 1)


def cascade_constant(num_arms: int, num_selected: int, attraction: float, gap: float) -> float:
    """Least slope dR / d ln T of any-win cascades on Kveton et al.'s instances.

    `num_selected` of `num_arms` items succeed with probability `attraction`, the others with
    attraction - gap. See SOURCES["cascade"].
    """
    divergence = float(bernoulli_kl(attraction - gap, attraction))
    reach = (1 - attraction) ** (num_selected - 1)
    return (num_arms - num_selected) * gap * reach / divergence


def top_n_minimax_order(horizon: ArrayLike, num_arms: int, num_selected: int) -> Any:
    """Order (no constant) of the worst case over instances; SOURCES["top_n_minimax"]."""
    t = np.asarray(horizon, float)
    if 2 * num_selected <= num_arms:
        return plain(np.sqrt(num_selected * num_arms * t))
    left = num_arms - num_selected
    if left == 0:
        return plain(0 * t)
    return plain(left * np.sqrt(math.log(num_arms / left) * t))


def path_minimax(horizon: ArrayLike, num_arms: int, path_length: int) -> Any:
    """min(sqrt(K L n), K n) / 20 on path instances, L arms, paths of K; SOURCES["path_minimax"]."""
    t = np.asarray(horizon, float)
    return plain(np.minimum(np.sqrt(path_length * num_arms * t), path_length * t) / 20)
