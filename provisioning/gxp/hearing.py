"""Whether a phone with this file can be asked over UDP if it is there. Pure."""

from collections.abc import Mapping

from provisioning.gxp.catalogue import setting
from provisioning.gxp.words import gettext_noop

SIP_TRANSPORT = setting("account1_sip_transport").name
RANDOM_SIP_PORT = setting("use_random_port").name
FROM_SERVER_ONLY = setting("account1_accept_sip_from_proxy_only").name
OTHER_TRANSPORTS = {  # the choices of account1_sip_transport; 0 is UDP
    "1": gettext_noop("its configuration uses SIP over TCP"),
    "2": gettext_noop("its configuration uses SIP over TLS"),
}


def silent_because(written: Mapping[str, str]) -> str:
    """Why a phone with these settings may not answer our OPTIONS although it is there; empty if it should."""
    because = OTHER_TRANSPORTS.get(written.get(SIP_TRANSPORT, ""))
    if because:
        return because
    if written.get(RANDOM_SIP_PORT) == "1":
        return gettext_noop("its configuration uses a random SIP port")
    if written.get(FROM_SERVER_ONLY) == "1":
        return gettext_noop("its configuration accepts SIP from its server only")
    return ""
