"""From tallies to labelled datasets and tables."""
