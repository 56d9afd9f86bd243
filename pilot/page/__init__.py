"""The page: what happens on the street and on the chains, for everybody who stands beside the box.

Owns: the web server of a pilot, its pages, what it reads from the gateway's disk and the ledger node to fill them.
Refuses: every request that would change something; readers from other machines; any file from elsewhere.
"""
