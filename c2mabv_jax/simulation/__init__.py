"""One run (a loop over rounds), many runs (a tile of seeds), labelled results."""

from c2mabv_jax.simulation.run import simulate

__all__ = ["simulate"]
