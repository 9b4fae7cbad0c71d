"""Whether a phone with this file can be asked over UDP if it is there. Pure."""

from provisioning.gxp.document import values
from provisioning.gxp.pvalues import FROM_SERVER_ONLY, RANDOM_SIP_PORT, SIP_TRANSPORT

OTHER_TRANSPORTS = {"1": "TCP", "2": "TLS"}  # pvalues.csv; 0 is UDP


def silent_because(document: bytes) -> str:
    """Why such a phone may not answer our OPTIONS although it is there; empty if it should. Raises DocumentError."""
    written = values(document)
    transport = OTHER_TRANSPORTS.get(written.get(SIP_TRANSPORT, ""))
    if transport:
        return f"its configuration uses SIP over {transport}"
    if written.get(RANDOM_SIP_PORT) == "1":
        return "its configuration uses a random SIP port"
    if written.get(FROM_SERVER_ONLY) == "1":
        return "its configuration accepts SIP from its server only"
    return ""
