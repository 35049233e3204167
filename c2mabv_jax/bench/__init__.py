"""Throughput against peers, measured in one process, turn by turn.

The unit is a policy-round: one round of one trajectory of full C2MAB-V (bounds, certified
relaxation, dependent rounding, outcomes, update, statistics).

    case            the problem that all play
    package         this package, as `simulate` runs it
    peer_*          the same algorithm written otherwise
    floor           drawing the random numbers of a round and nothing else
    contestants     who plays, in a quick and in a full run
    agreement       every peer must have the same mean reward and cost
    timing          turns, medians, quartiles
    targets, table  what is promised and what was measured
"""
