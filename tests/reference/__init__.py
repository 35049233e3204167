"""The whole loop once more, in float64 NumPy, sharing no code with the package."""
