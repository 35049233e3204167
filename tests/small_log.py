"""A log of three models and two groups: what is good for one group is bad for the other."""

import numpy as np


def write_small_log(path, prices, falls, spread=None):
    """240 queries; `falls`: what a step up in price costs the first group in quality.

    Costs are the prices, times a factor drawn from `spread` where it is given.
    """
    rng = np.random.default_rng(0)
    lines = ["query,model,score,cost_usd,group"]
    for q in range(240):
        for k, price in enumerate(prices):
            good = rng.uniform() < (0.4 + 0.25 * k if q % 2 else 0.9 - falls * k)
            cost = price if spread is None else price * rng.uniform(*spread)
            lines.append(f"q{q},m{k},{int(good)},{cost},{'ab'[q % 2]}")
    path.write_text("\n".join(lines) + "\n")
    return path
