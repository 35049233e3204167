"""One run (a loop over rounds), many runs (blocks of lanes), labelled results."""

from c2mabv_jax.simulation.run import simulate

__all__ = ["simulate"]
