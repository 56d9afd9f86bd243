"""Records comet_headers.json and abci_frames.json from a real consortium of four CometBFT validators.

Run by hand (`python -m tests.vectors.record_comet PATH-OF-COMETBFT`), frozen since: what is recorded is CometBFT's
side, so the files change only with its version. The chain is the tests' toy chain: payments, one of them refused, a
change of one validator's power, one validator stopped.
"""

import asyncio
import json
import sys
import tempfile
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from ledger.engines import abci, comet, testnet
from tests.ledger.toychain import CHAIN, SALT, VALIDATOR, new_app, payment, signed

HERE = Path(__file__).parent
POWERS = (40, 30, 20, 10)


class Tap:
    """Sees every request to one app, and its answer."""

    def __init__(self):
        self.frames = []

    def on(self, server):
        answers = server._answers

        async def recording(name, run):
            found = await answers(name, run)
            for request, answer in zip(run, found, strict=True):
                self.frames.append([abci.request(name, request.body).hex(), answer.hex()])
            return found

        server._answers = recording


async def record(binary, root):
    members = testnet.lay_out(
        binary, root, CHAIN, time.time_ns(), salt=SALT, powers=POWERS, block_s=0.3, propose_s=0.5, index_txs=True
    )
    engines = [member.engine(new_app(at_genesis=False)) for member in members]
    tap, start = Tap(), comet.AbciServer.start

    async def tapped(server, path):
        if members[0].home in path.parents:
            tap.on(server)
        await start(server, path)

    comet.AbciServer.start = tapped
    await asyncio.gather(*(engine.start() for engine in engines))
    first = engines[0]
    txs = [payment(0, 1, 10, i) for i in range(4)] + [payment(2, 3, 10**6, 0)]
    receipts = await first.execute(txs)
    assert [r.result.reason for r in receipts] == [""] * 4 + ["insufficient"]
    many = receipts[0].height
    weakest = members[0].genesis.validators[3]
    change = await first.execute([signed(1, 0, VALIDATOR, {1: weakest.key, 2: 15})])
    changed = change[0].height
    for i in range(4, 6):
        await first.execute([payment(0, 1, 1, i)])
    stopped = engines[POWERS.index(10)]
    await stopped.stop()
    for i in range(6, 9):
        await first.execute([payment(0, 1, 1, i)])
    last = first.height()
    heights = {1, 2, many, many + 1, *range(changed, changed + 4), last - 1, last}
    await asyncio.to_thread(write_headers, first._rpc, members[0].genesis, heights, many, txs)
    frames = {
        "what": "Requests of a CometBFT v0.38.25 node to the toy chain, in order, and the answers it went on with."
    }
    frames |= {"genesis": members[0].genesis.encode().hex(), "frames": tap.frames}
    (HERE / "abci_frames.json").write_text(json.dumps(frames, indent=0) + "\n")
    for engine in engines:
        if engine is not stopped:
            await engine.stop()


def write_headers(rpc, genesis, heights, many, txs):
    blocks = []
    for height in sorted(heights):
        block = rpc.call("block", height=str(height))["block"]
        results = rpc.call("block_results", height=str(height))["txs_results"] or []
        blocks.append(
            {
                "height": height,
                "signed_header": rpc.call("commit", height=str(height))["signed_header"],
                "validators": rpc.call("validators", height=str(height))["validators"],
                "txs": block["data"]["txs"],
                "last_commit": block["last_commit"],
                "results": [{"code": r["code"], "data": r["data"]} for r in results],
            }
        )
    proofs = []
    for tx in txs:
        found = rpc.call("tx", hash=b64encode(sha256(tx).digest()).decode(), prove=True)
        assert int(found["height"]) == many
        proofs.append({"tx": b64encode(tx).decode(), "proof": found["proof"]["proof"]})
    document = {
        "what": "RPC answers of four CometBFT v0.38.25 validators; one power changes, one validator stops.",
        "genesis": genesis.encode().hex(),
        "block_of_txs": many,
        "blocks": blocks,
        "tx_proofs": proofs,
    }
    (HERE / "comet_headers.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(asyncio.wait_for(record(Path(sys.argv[1]), Path(folder)), 120))
