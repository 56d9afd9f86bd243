"""The ledger service: chains as deterministic state machines, their engines, and the proofs between them.

Owns: state, contracts, dispatch, the light client, storage and the API of a node.
Refuses: importing `gateway`, `hardware` or `pilot`; floats, wall clocks, randomness in what reaches `app_hash`.
Invariants: the same log gives the same `app_hash` at every height on every engine; value is never made or lost.
"""
