"""Reports that open in a browser: one file, no network, made from the Markdown report."""

from c2mabv_jax.pages.page import page, write

__all__ = ["page", "write"]
