"""What operators and households type, against a node that runs."""

import stat
import subprocess
import sys
import time

import pytest

from tests.ledger.livenode import ROOT, running, tallygrid, told


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cli")) as one:
        relay = str(one.data / "ledger" / "keys" / "relay.pem")
        command = [sys.executable, "-m", "pilot.cli", "relayer", "--node", one.url, "--key", relay]
        with (one.data / "relayer.log").open("wb") as log:
            relayer = subprocess.Popen(command, cwd=ROOT, stderr=log)
        try:
            yield one
        finally:
            relayer.terminate()
            assert relayer.wait(10) == 0


@pytest.fixture(scope="module")
def ann(node):
    """An approved wallet that holds 20 tokens."""
    (node.data / "password").write_text("a long one\n")
    company = ["--key", str(node.data / "ledger" / "keys" / "company.pem")]
    made = told(wallet(node, "new", "--label", "ann", "--node", node.url))
    for sort, path in made["enrolments"].items():
        told(tallygrid(node.data, "ledger", "tx", sort, "Enrol", f"enrolment=@{path}", *company, "--json"))
    pay = ["Pay", f"to={made['account']}", "amount=20000", "message=null"]
    told(tallygrid(node.data, "ledger", "tx", "transaction", *pay, *company, "--json"))
    return made["account"]


def wallet(node, action, *words):
    password = ["--password-file", str(node.data / "password")]
    return tallygrid(node.data, "wallet", action, *words, *password, "--json")


def balance(node):
    held = told(wallet(node, "balance"))
    return held["transaction"]["amount"], held["schedule"]["amount"]


def test_a_wallet_buys_converts_pays_and_tells(node, ann):
    assert balance(node) == (20_000, 0)
    told(wallet(node, "buy-rights", "3.5"))
    assert balance(node) == (16_500, 3_500)
    told(wallet(node, "convert", "1", "kWh"))
    assert balance(node) == (17_500, 2_500)
    told(wallet(node, "pay", "company", "0.125", "tokens", "--message", "thanks"))
    told(wallet(node, "pay", "company", "1", "kWh"))
    assert balance(node) == (17_375, 1_500)
    changes = [row["change"] for row in told(wallet(node, "history"))["movements"] if row["unit"] == "tokens"]
    assert changes[0] == 20_000
    assert -125 in changes


def test_what_a_wallet_cannot_do(node, ann):
    refused = told(wallet(node, "pay", "company", "9999", "tokens"), 1)
    assert refused["reason"] == "insufficient"
    told(wallet(node, "pay", "company", "1.0001", "tokens"), 1)
    told(wallet(node, "pay", "company", "1", "apples"), 1)
    told(wallet(node, "pay", "nobody", "1", "tokens"), 1)
    told(wallet(node, "new"), 1)
    told(wallet(node, "balance", "--node", "http://127.0.0.1:1"), 69)


def test_the_key_is_encrypted_and_for_its_owner_alone(node, ann):
    path = node.data / "wallet" / "wallet.pem"
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    wrong = node.data / "wrong"
    wrong.write_text("guess")
    told(tallygrid(node.data, "wallet", "balance", "--password-file", str(wrong), "--json"), 1)
    path.chmod(0o644)
    told(wallet(node, "balance"), 1)
    path.chmod(0o600)


def test_a_lost_key_is_replaced_and_can_object(node, ann):
    company = ["--key", str(node.data / "ledger" / "keys" / "company.pem"), "--json"]
    told(wallet(node, "recover", "ask"))
    for sort in ("transaction", "schedule"):
        word = node.data / "wallet" / f"wallet.{sort}.enrolment"
        told(tallygrid(node.data, "ledger", "tx", sort, "Recover", f"enrolment=@{word}", *company))
        early = tallygrid(node.data, "ledger", "tx", sort, "Complete", f"account={ann}", *company)
        assert told(early, 1)["reason"] == "too-early"
    assert told(wallet(node, "recover", "finish"), 75)["waiting"] == ["transaction", "schedule"]
    assert told(wallet(node, "recover", "object"))["stopped"] == {"transaction": True, "schedule": True}
    told(wallet(node, "recover", "object"), 1)


def test_an_operator_looks_proves_copies_and_exports(node, ann, tmp_path):
    told_of = told(tallygrid(node.data, "ledger", "status", "--json"))
    assert [row["sort"] for row in told_of["chains"]] == ["main", "transaction", "schedule"]
    proven = told(tallygrid(node.data, "ledger", "prove", "transaction", f"account/{ann}", "--json"))
    assert b"ann".hex() in proven["value"]
    assert told(tallygrid(node.data, "ledger", "prove", "schedule", "lock/999", "--json"))["value"] is None
    copied = told(tallygrid(node.data, "ledger", "backup", str(tmp_path / "backup"), "--json"))
    assert copied["heights"]["transaction"] > 0
    made = told(tallygrid(node.data, "ledger", "snapshot", "transaction", "--json"))
    assert made["chunks"] == 1
    bundle, trust = tmp_path / "chains.bundle", tmp_path / "trust"
    exported = told(tallygrid(node.data, "ledger", "export", str(bundle), "--json"))
    trust.write_text("\n".join(exported["genesis"].values()))
    checked = told(tallygrid(node.data, "verify", str(bundle), "--trust", str(trust), "--json"))
    assert checked["valid"]
    assert checked["transfers"] >= 2


def test_a_backup_goes_under_no_running_node_and_not_back_by_accident(node, ann, tmp_path):
    """Last of this file: it stops the node."""
    backup = str(tmp_path / "backup")
    told(tallygrid(node.data, "ledger", "backup", backup, "--json"))
    told(tallygrid(node.data, "ledger", "restore", backup, "--json"), 1)
    told(wallet(node, "pay", "company", "0.001", "tokens"))
    time.sleep(0.5)
    assert node.stop() == 0
    assert told(tallygrid(node.data, "ledger", "status", "--json"), 1)["running"] is False
    refused = told(tallygrid(node.data, "ledger", "restore", backup, "--json"), 1)
    assert "--go-back" in refused["error"]
    store = node.data / "ledger" / "transaction.db"
    store.write_bytes(b"damaged" * 1_000)
    told(tallygrid(node.data, "ledger", "restore", backup, "--go-back", "--json"))
    node.start()
    assert balance(node)[0] > 0
