"""The vocabulary everyone shares: what a message is, down to its bytes. Normative text: docs/spec.md.

Owns: encoding, envelopes, messages, limits and, in `wire.chain`, what only hosts need (blocks, proofs, keys).
Refuses: any I/O, any clock, any randomness, any import of another folder of ours.
Invariants: files directly in here run unchanged on MicroPython; whatever parses re-encodes to the same bytes.
"""
