"""Reports that open in a browser: one file, no network, made from the Markdown report."""

from c2mabv_jax.pages.page import page, plain

__all__ = ["page", "plain"]
