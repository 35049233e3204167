"""One round, blocks of runs, and what is recorded of them."""
