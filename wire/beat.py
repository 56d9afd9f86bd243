"""The talk of device and gateway in one name: hello, beat, configuration. Devices load the parts one by one.

Owns: nothing. Refuses: nothing.
"""

from wire.fields import PUBLIC_KEY as PUBLIC_KEY
from wire.hello import NONCE as NONCE
from wire.hello import PERIOD_S as PERIOD_S
from wire.hello import Beat as Beat
from wire.hello import Hello as Hello
from wire.hello import newer as newer
from wire.settings import GUARDED as GUARDED
from wire.settings import SETTINGS as SETTINGS
from wire.settings import Configuration as Configuration
from wire.settings import Guarded as Guarded
