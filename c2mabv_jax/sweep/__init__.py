"""Sweeps: a grid of problems times thousands of seeds, in tiles, resumable.

spec         what the TOML file says, checked key by key
grid         its points: every combination of the axes
plan         points that share a compiled program; tiles, the units of work
tally        a tile played by `engine.runner`, and what is kept of it
distributed  several processes, where they must meet
alive        how they notice that one has died
store        the folder: lock, files with checksums, what is damaged
results      statistics over seeds, labelled, as `results.zarr`
forecast     what a sweep will take
run          all of it
"""

from c2mabv_jax.results.stored import load
from c2mabv_jax.sweep.results import unstack
from c2mabv_jax.sweep.run import Interrupted, dry_run, sweep

__all__ = ["Interrupted", "dry_run", "load", "sweep", "unstack"]
