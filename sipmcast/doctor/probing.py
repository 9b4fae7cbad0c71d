"""The doctor's questions to the network. Each has a bound in time and in datagrams, and none raises.

For each interface and run: one question that does not leave this machine (time to live 0), one decoy into the LAN,
one HTTP GET to our own door.
"""

import contextlib
import http.client
import socket
import ssl
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sipmcast.doctor import signals
from sipmcast.doctor.facts import Decoy, Door, Echo, Rival
from sipmcast.doctor.signals import Said, Signal
from sipmcast.sip.uri import Endpoint
from sipmcast.sockets import Interface

LISTEN_SECONDS = 2.0
RESEND_SECONDS = 0.5  # T1 (RFC 3261 17.1.1.1)
DOOR_SECONDS = 2.0
MAX_DATAGRAMS = 100
MAX_RIVALS = 20
DATAGRAM_BYTES = 65_535
LAN_ONLY, MACHINE_ONLY = 1, 0  # time to live of a multicast datagram (ip(7))


def ask_listener(interface: Interface, group: str, port: int) -> Echo:
    """Send the question; it must come back from our own listener. Sent twice at most: a datagram may be lost."""
    try:
        with _open(interface, MACHINE_ONLY) as asking:
            sent = signals.question(group, asking.getsockname())
            answers: list[Said] = []
            for seconds in (RESEND_SECONDS, LISTEN_SECONDS - RESEND_SECONDS):
                asking.sendto(sent.datagram, (group, port))
                for said, _ in _answers(asking, sent, seconds):
                    answers.append(said)
                    if said.listener:
                        return Echo(interface.name, interface.host, tuple(answers))
            return Echo(interface.name, interface.host, tuple(answers))
    except OSError as error:
        return Echo(interface.name, interface.host, fault=_words(error))


def send_decoy(interface: Interface, group: str, port: int) -> Decoy:
    """Send one decoy into this LAN and listen who answers it."""
    found: dict[str, Rival] = {}
    try:
        with _open(interface, LAN_ONLY) as asking:
            sent = signals.decoy(group, asking.getsockname())
            asking.sendto(sent.datagram, (group, port))
            for said, source in _answers(asking, sent, LISTEN_SECONDS):
                if said.reply:
                    with contextlib.suppress(OSError):
                        asking.sendto(said.reply, said.reply_to)
                if source[0] in found or len(found) < MAX_RIVALS:
                    found[source[0]] = _merged(found.get(source[0]), said, source)
    except OSError as error:
        return Decoy(interface.name, interface.host, tuple(found.values()), _words(error))
    return Decoy(interface.name, interface.host, tuple(found.values()))


def _merged(known: Rival | None, said: Said, source: Endpoint) -> Rival:
    known = known or Rival(source[0], source[1], ())
    return replace(
        known,
        hows=tuple(dict.fromkeys([*known.hows, said.how])),
        software=known.software or said.software,
        url_host=known.url_host or said.url_host,
    )


def _open(interface: Interface, reach: int) -> socket.socket:
    """A socket on this interface's own address and a free port, whose multicast leaves by it and gets this far."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        choice = struct.pack("=4s4si", bytes(4), socket.inet_aton(interface.host), interface.index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)  # struct ip_mreqn of ip(7)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, reach)
        sock.bind((interface.host, 0))
    except OSError:
        sock.close()
        raise
    return sock


def _answers(asking: socket.socket, sent: Signal, seconds: float) -> Iterator[tuple[Said, Endpoint]]:
    """What comes back within this time, as far as it belongs to what was sent."""
    deadline = time.monotonic() + seconds
    for _ in range(MAX_DATAGRAMS):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        asking.settimeout(left)
        try:
            datagram, source = asking.recvfrom(DATAGRAM_BYTES)
        except TimeoutError:
            return
        said = signals.read(datagram, source, sent)
        if said is not None:
            yield said, source


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A door that sends phones elsewhere is not the door."""

    def redirect_request(self, *_: object) -> None:
        return None


def knock(url: str, interface: str = "", chain: Path | None = None) -> Door:
    """GET `url`, without a proxy and without following anybody.

    A certificate that this machine does not trust is held against `chain`, the file of the door's own, too.
    """
    found = _knock(url, interface, ssl.create_default_context())
    if not found.distrust or chain is None:
        return found
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        own.load_verify_locations(chain)
    except OSError:  # ssl.SSLError is one
        return found
    return replace(_knock(url, interface, own), own=True)


def _knock(url: str, interface: str, context: ssl.SSLContext) -> Door:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), _NoRedirect(), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=DOOR_SECONDS) as answer:
            return Door(url, interface, status=answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return Door(url, interface, status=error.code)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            return Door(url, interface, distrust=error.reason.verify_code)
        return Door(url, interface, fault=_words(error.reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Door(url, interface, fault=_words(error))


def _words(error: object) -> str:
    """The reason in the system's own words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
