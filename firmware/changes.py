"""A configuration message: settings from the gateway, keys and limits from the registrar.

Owns: the checks, the order of what is written. Refuses: a version that is not new, guarded settings without the
registrar's signature or of another configuration.
Invariant: settings are on flash before the version that tells of them: after a power cut the same message comes again.
"""

from firmware import config as configuring
from firmware.keyring import Known, know
from wire import envelope
from wire.errors import WireError
from wire.hello import newer
from wire.settings import Configuration, Guarded


def take(meter, payload):
    """Puts a configuration in force; gives its version."""
    message = Configuration.decode(payload)
    if message.id != meter.id:
        raise WireError("wrong-id", "a configuration for somebody else")
    newer(message.version, meter.numbers.configuration, "configuration")
    changes = dict(message.settings)
    if message.guarded is not None:
        changes.update(_guarded(meter, message))
    configuring.change(meter.config, changes)
    configuring.save_changes(meter.files, meter.config)
    meter.numbers.keep("configuration", message.version)
    know(meter.identity)
    return message.version


def _guarded(meter, message):
    """The one signature that a device verifies."""
    known = Known(meter.config.registrar_key)
    guarded = Guarded.decode(envelope.open_signed(message.guarded, known, Guarded.DOMAIN))
    if guarded.id != meter.id or guarded.version != message.version:
        raise WireError("wrong-id", "guarded settings of another configuration")
    return guarded.settings
