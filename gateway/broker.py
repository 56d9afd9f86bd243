"""Mosquitto's configuration for a site: who may say what, and how much it keeps while the gateway is away.

Owns: the text of mosquitto.conf and of its ACL file.
Refuses: a listener for others without TLS and certificates.
Invariants: a device's user name is its id, and it may publish and hear its own topics only; nothing is dropped while
the gateway is away for the planned outage; what the broker has taken is on disk within seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wire import topics

SPARE = 4  # times the planned traffic
INFLIGHT = 1_000
MESSAGE_MAX = 20_000


@dataclass(frozen=True)
class Plan:
    folder: Path
    ca_file: Path
    cert_file: Path
    key_file: Path
    port: int = 8_883
    local_port: int = 1_883
    devices: int = 100
    reports_a_minute: int = 1  # of one device, in the mean
    outage_h: int = 24
    home_assistant: str = ""  # the user name of a Home Assistant, if one listens
    home_topic: str = "tallygrid-home"
    prefix: str = "homeassistant"

    @property
    def queued(self) -> int:
        """Messages that the planned outage brings, with some to spare."""
        return max(10_000, SPARE * self.devices * self.reports_a_minute * 60 * self.outage_h)


def conf(plan: Plan) -> str:
    """mosquitto.conf. The gateway comes over loopback, devices over TLS with a certificate each."""
    return f"""# Written by `tallygrid gateway broker-config`; written anew by it too.
per_listener_settings true
persistence true
persistence_location {plan.folder}/
autosave_interval 10
# A queue that is full drops what comes in without a word to the sender: it must hold the planned outage.
max_queued_messages {plan.queued}
max_inflight_messages {INFLIGHT}
message_size_limit {MESSAGE_MAX}
persistent_client_expiration 60d

# The gateway, on this machine only.
listener {plan.local_port} 127.0.0.1
allow_anonymous true
acl_file {plan.folder}/gateway.acl

# Devices. A certificate's common name is the device's id, and so its user name.
listener {plan.port}
cafile {plan.ca_file}
certfile {plan.cert_file}
keyfile {plan.key_file}
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {plan.folder}/devices.acl
"""


def device_acl(plan: Plan) -> str:
    lines = [
        "# One pattern serves all devices: %u is the user name, which is the device's id.",
        f"pattern write {topics.ROOT}/%u/up/+",
        f"pattern read {topics.ROOT}/%u/down/+",
    ]
    if plan.home_assistant:
        lines += [
            "",
            f"user {plan.home_assistant}",
            f"topic read {plan.home_topic}/#",
            f"topic read {plan.prefix}/#",
            f"topic write {plan.prefix}/status",
        ]
    return "\n".join(lines) + "\n"


def gateway_acl(plan: Plan) -> str:
    return (
        f"topic read {topics.ROOT}/+/up/+\ntopic write {topics.ROOT}/+/down/+\n"
        f"topic write {plan.home_topic}/#\ntopic readwrite {plan.prefix}/#\n"
    )


def files(plan: Plan) -> dict[str, str]:
    return {"mosquitto.conf": conf(plan), "devices.acl": device_acl(plan), "gateway.acl": gateway_acl(plan)}
