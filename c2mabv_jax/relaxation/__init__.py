"""Local server: the relaxed problem and its two interchangeable solvers."""

from c2mabv_jax.relaxation.certificate import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    STATUS_NAMES,
    Certificate,
    Solution,
)
from c2mabv_jax.relaxation.parametric import solve_lp
from c2mabv_jax.relaxation.topn import top_n

__all__ = [
    "INFEASIBLE",
    "NOT_CONVERGED",
    "OPTIMAL",
    "STATUS_NAMES",
    "Certificate",
    "Solution",
    "solve_lp",
    "top_n",
]
