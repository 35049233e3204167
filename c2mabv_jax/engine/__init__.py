"""Points times seeds through one round loop.

round     decide, serve, give feedback, learn
observer  who watches every round, and keeps what is recorded
tally     the observer behind every result
block     a fixed number of runs, side by side, from the first round to the last
program   a block compiled: once, as one function where that works, on all devices
runner    calls of blocks over threads, in the caller's precision, narrower when memory is short
records   which rounds are recorded
"""
