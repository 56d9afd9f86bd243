"""The sub-commands that write files: export, backup, restore, broker-config, install.

Owns: their arguments and what they print.
Refuses: writing over what is there, but for the files that it writes anew each time.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import sys
from pathlib import Path

from gateway import backup, broker, export
from gateway.backup import BackupError
from gateway.broker import Plan
from gateway.cli_show import Problem, show
from gateway.config import Config
from gateway.service import load_key
from gateway.store_read import Books
from wire.errors import WireError
from wire.ids import id_bytes

FORMATS = ("csv", "jsonl", "parquet", "bundle")
PASSPHRASE = "TALLYGRID_PASSPHRASE"
UNIT = """[Unit]
Description=tallygrid gateway ({config})
After=network-online.target time-sync.target mosquitto.service
Wants=network-online.target

[Service]
Type=notify
ExecStart={program} gateway run -c {config}
WatchdogSec=60
Restart=always
RestartSec=2
User={user}
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={data}
ProtectHome=read-only
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""


def arguments(name: str, parser: argparse.ArgumentParser) -> None:
    if name == "export":
        parser.add_argument("file", type=Path, help="where to; - is the standard output (csv and jsonl)")
        parser.add_argument("--format", choices=FORMATS, default="csv")
        parser.add_argument("--device", help="only this device (its id)")
        parser.add_argument("--from", dest="from_s", type=int, default=0, metavar="S", help="seconds since 1970")
        parser.add_argument("--until", dest="until_s", type=int, default=1 << 40, metavar="S")
        parser.add_argument("--first-block", type=int, default=1, help="of a bundle")
    elif name == "backup":
        parser.add_argument("file", type=Path, help=f"where to; the passphrase is asked for, or is in ${PASSPHRASE}")
    elif name == "restore":
        parser.add_argument("file", type=Path, help="the backup")
        parser.add_argument("folder", type=Path, help="an empty folder for the data")
    elif name == "broker-config":
        parser.add_argument("folder", type=Path, help="where the broker's files go")
        for word in ("ca", "cert", "key"):
            parser.add_argument(f"--{word}", type=Path, required=True, help="PEM file of the listener for devices")
        parser.add_argument("--port", type=int, default=8_883)
        parser.add_argument("--devices", type=int, default=100)
        parser.add_argument("--outage-h", type=int, default=24, help="how long the gateway may be away")
        parser.add_argument("--home-assistant", default="", metavar="USER", help="its user name at the broker")
    elif name == "install":
        parser.add_argument("--to", type=Path, default=Path("/etc/systemd/system/tallygrid-gateway.service"))


def run_export(args: argparse.Namespace, config: Config) -> int:
    books = Books.open(config.data / "gateway.db")
    try:
        if args.format == "bundle":
            with args.file.open("wb") as stream:
                key = load_key(config).public_key
                count = export.write_bundle(stream, books, key, config.name, args.first_block)
        else:
            device = id_bytes(args.device) if args.device else None
            rows = export.readings(books, device, args.from_s, args.until_s)
            if args.format == "parquet":
                count = export.write_parquet(args.file, rows)
            else:
                write = export.write_csv if args.format == "csv" else export.write_json_lines
                if str(args.file) == "-":
                    return write(sys.stdout, rows) and 0
                with args.file.open("w", newline="") as text:
                    count = write(text, rows)
    except export.NoParquet as error:
        raise Problem(str(error)) from None
    except WireError as error:
        raise Problem(f"--device: {error}") from None
    finally:
        books.close()
    show(args, {"file": str(args.file), "records": count}, [f"{count} records in {args.file}"])
    return 0


def _passphrase(twice: bool) -> str:
    given = os.environ.get(PASSPHRASE)
    if given is None:
        given = getpass.getpass("passphrase: ")
        if twice and getpass.getpass("once more: ") != given:
            raise Problem("the two are not the same")
    if not given:
        raise Problem("a backup holds the gateway's key: it needs a passphrase")
    return given


def run_backup(args: argparse.Namespace, config: Config) -> int:
    try:
        size = backup.write(args.file, config.data, args.config, _passphrase(twice=True))
    except BackupError as error:
        raise Problem(str(error)) from None
    show(args, {"file": str(args.file), "bytes": size}, [f"{size:,} bytes in {args.file}"])
    return 0


def run_restore(args: argparse.Namespace) -> int:
    try:
        config = backup.read(args.file, args.folder, _passphrase(twice=False))
    except BackupError as error:
        raise Problem(str(error)) from None
    words = f"restored into {args.folder}; look through {config}, switch the old box off, then start this one"
    show(args, {"config": str(config)}, [words])
    return 0


def run_broker_config(args: argparse.Namespace, config: Config) -> int:
    folder = args.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        folder=folder,
        ca_file=args.ca.absolute(),
        cert_file=args.cert.absolute(),
        key_file=args.key.absolute(),
        port=args.port,
        local_port=config.broker.port,
        devices=args.devices,
        outage_h=args.outage_h,
        home_assistant=args.home_assistant,
        home_topic=config.home_assistant.topic if config.home_assistant else "tallygrid-home",
        prefix=config.home_assistant.prefix if config.home_assistant else "homeassistant",
    )
    for name, text in broker.files(plan).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600 if name.endswith(".acl") else 0o644)
    names = [str(folder / name) for name in broker.files(plan)]
    show(args, {"files": names, "queued": plan.queued}, [*names, f"run: mosquitto -c {folder}/mosquitto.conf"])
    return 0


def run_install(args: argparse.Namespace, config: Config) -> int:
    program = shutil.which("tallygrid") or str(Path(sys.argv[0]).absolute())
    values = {"config": args.config.absolute(), "program": program, "user": getpass.getuser()}
    unit = UNIT.format(**values, data=config.data.absolute())
    try:
        args.to.write_text(unit)
    except OSError as error:
        words = f"{args.to} cannot be written ({error.strerror}): run as root, or name another file with --to"
        raise Problem(words) from None
    words = f"{args.to} is written; now: systemctl daemon-reload && systemctl enable --now {args.to.stem}"
    show(args, {"unit": str(args.to)}, [words])
    return 0
