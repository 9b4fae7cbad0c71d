"""The console with a certificate of its own: `python -m gspnp.console_tls DESCRIPTOR` serves on an inherited socket.

It is daphne as without TLS; only what listens is ours, because daphne's own endpoint reads the certificate once and
opens the port itself. Who comes by plain HTTP, with an old bookmark, is led to HTTPS. The key is in its file alone.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import Any

from daphne.server import Server  # first: it chooses the reactor
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from OpenSSL import SSL
from twisted.internet import endpoints, reactor
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from devices.certificates import CertificateError, Files, read
from devices.renewals import Keeper

HANDSHAKE = 22  # ContentType of TLS's first record (RFC 8446 5.1)
FIRST_SECONDS = 15.0  # for the first bytes to come
HEAD_BYTES = 8_192  # of a plain request
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES256:ECDHE+AES128:!aNULL:!SHA1"
clock: Any = reactor  # which has its methods from the moment that it is chosen
_HOST = re.compile(rb"\r\nhost:[ \t]*([A-Za-z0-9.:\-\[\]]{1,255})[ \t]*\r\n", re.IGNORECASE)
_TARGET = re.compile(rb"[A-Z]{3,10} (/[A-Za-z0-9._~\-/%?&=+,:;@]{0,2000}) HTTP/1\.[01]\r\n")
SPEAKS_HTTPS = b"The console is reached by HTTPS: write https:// in front of its address.\n"


@implementer(IOpenSSLContextFactory)
class Contexts:
    """The certificate as its files have it now, for Twisted."""

    def __init__(self, files: Files | None) -> None:
        """Raises CertificateError."""
        assert files is not None, "this is only started with a certificate"
        self._keeper = Keeper(files, context)

    def getContext(self) -> SSL.Context:
        """For a connection that begins now."""
        return self._keeper.current()


def context(files: Files) -> SSL.Context:
    """What the console speaks TLS with, from 1.2 on. Raises CertificateError."""
    read(files)
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.set_min_proto_version(SSL.TLS1_2_VERSION)
    made.set_cipher_list(CIPHERS)
    made.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    try:
        made.use_certificate_chain_file(str(files.cert))
        made.use_privatekey_file(str(files.key))
        made.check_privatekey()
    except SSL.Error as error:
        raise CertificateError(f"{files.cert_setting} ({files.cert}) and its key cannot be used ({error}).") from None
    return made


class Opening(Protocol):
    """What has just connected: TLS goes to the console, plain HTTP is led to TLS."""

    transport: Any

    def __init__(self, secure: Any, address: Any) -> None:
        self._secure, self._address = secure, address
        self._inner: Any = None
        self._head = b""
        self._timer: Any = None

    def connectionMade(self) -> None:
        self._timer = clock.callLater(FIRST_SECONDS, self.transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is None and not self._head and data[0] == HANDSHAKE:
            self._stop_timer()
            self._inner = self._secure.buildProtocol(self._address)
            self._inner.makeConnection(self.transport)
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._head += data
        if b"\r\n\r\n" in self._head or len(self._head) > HEAD_BYTES:
            self.transport.write(led(self._head))
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        if self._inner is not None:
            self._inner.connectionLost(reason)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


class Entrance(Factory):
    """Of the console's port."""

    noisy = False

    def __init__(self, secure: Any) -> None:
        self._secure = secure

    def doStart(self) -> None:
        super().doStart()
        self._secure.doStart()

    def doStop(self) -> None:
        self._secure.doStop()
        super().doStop()

    def buildProtocol(self, addr: Any) -> Protocol:
        return Opening(self._secure, addr)


def led(head: bytes) -> bytes:
    """The answer to a plain request: the same address by HTTPS if it is one of our own names, else words alone."""
    host, target = _HOST.search(head), _TARGET.match(head)
    name = host[1].decode("ascii") if host is not None else ""
    where = b""
    if target is not None and name and validate_host(split_domain_port(name)[0], settings.ALLOWED_HOSTS):
        where = b"Location: https://" + name.encode() + target[1] + b"\r\n"
    status = b"301 Moved Permanently" if where else b"400 Bad Request"
    length = b"Content-Length: %d\r\n" % len(SPEAKS_HTTPS)
    return (
        b"HTTP/1.1 " + status + b"\r\n" + where + b"Content-Type: text/plain\r\n" + length
        + b"Connection: close\r\n\r\n" + SPEAKS_HTTPS
    )  # fmt: skip


def serve(listening: socket.socket) -> None:
    """Serve the console until this process is told to end."""
    from gspnp.asgi import application

    contexts: Any = Contexts(settings.CONSOLE_CERTIFICATE)

    def listen() -> None:
        door = endpoints.AdoptedStreamServerEndpoint(reactor, listening.fileno(), listening.family)
        door.listen(Entrance(TLSMemoryBIOFactory(contexts, False, server.http_factory)))

    # daphne insists on an endpoint of its own kind; what really listens begins when it is ready. Its numbers are those
    # of its command line.
    server = Server(
        application=application,
        endpoints=["ours"],
        verbosity=0,
        server_name="",
        websocket_connect_timeout=5,
        websocket_handshake_timeout=5,
        ready_callable=listen,
    )
    server.endpoints = []
    server.run()


def main(arguments: list[str]) -> None:
    """Set Django up, and serve."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gspnp.settings"
    serve(socket.socket(fileno=int(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
