"""Engines: what puts transactions in order and blocks on disk, one process or a consortium.

Owns: mempools, block making, CometBFT's ABCI and RPC, recovery after a crash.
Refuses: knowing what a transaction means; that is the App's.
Invariant: whichever engine runs, the same blocks give the same `app_hash`, and one light client checks both.
"""
