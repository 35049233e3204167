"""C2MAB-V in JAX."""

__version__ = "0.1.0"
