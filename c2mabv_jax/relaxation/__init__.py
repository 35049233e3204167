"""Local server: the relaxed problem and its two interchangeable solvers."""

from c2mabv_jax.relaxation.certificate import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    STATUS_NAMES,
    Certificate,
    Solution,
)
from c2mabv_jax.relaxation.multilinear import boosted_ascent
from c2mabv_jax.relaxation.parametric import solve_lp
from c2mabv_jax.relaxation.projected_gradient import ascend, projected_gradient
from c2mabv_jax.relaxation.projection import project
from c2mabv_jax.relaxation.topn import top_n
from c2mabv_jax.relaxation.typed import solve_typed_lp

__all__ = [
    "INFEASIBLE",
    "NOT_CONVERGED",
    "OPTIMAL",
    "STATUS_NAMES",
    "Certificate",
    "Solution",
    "ascend",
    "boosted_ascent",
    "project",
    "projected_gradient",
    "solve_lp",
    "solve_typed_lp",
    "top_n",
]
