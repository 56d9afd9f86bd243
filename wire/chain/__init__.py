"""Messages that only hosts read: blocks, headers, transactions, proofs, bundles, keys. Never flashed to a device.

Owns: hash trees, CometBFT's header and commit bytes, state proofs and what stands on them; their reasons for refusal.
Refuses: I/O, clocks, trust in anything that a proof says about itself.
Invariants: a verifier here takes only what it was given by its caller as a fact; the rest has to hash to it.
"""

REASONS = (
    # headers and commits
    "bad-commit",  # not one vote a validator, or votes on something else
    "bad-validators",  # the set is not the one whose hash the header carries
    "no-quorum",  # not more than two thirds of the power signed
    "no-trust",  # not more than the trusted part of the set we know signed
    "double-vote",  # one validator counted twice
    "wrong-chain",
    "not-later",  # height or time does not rise
    "future",  # further ahead of our time than clocks may drift
    "expired",  # what we trust is older than the trusting period
    "conflict",  # two headers at one height: the chain or its validators cheat
    "frozen",  # a conflict was seen; nothing passes until people decide
)
