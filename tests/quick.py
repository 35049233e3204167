"""Compiling takes longer than running where a test plays few rounds of small arrays.

Without optimization, and with the older, simpler emitter of loops, a policy compiles in a third
of the time. For tests of values that have a reference of their own; what must be the same to the
bit as in a run of the package is compiled as the package does, and so are sets of more arms than
a word holds: their top N relies on scores that are stored, not computed anew.
"""

QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
