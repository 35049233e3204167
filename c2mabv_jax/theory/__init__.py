"""Optima, bounds, predictions, statistics of claims."""
