"""The post of a listener: one process for each interface, group and port; a second would answer every phone twice.

The post is the name of an abstract unix socket: it lives in the network namespace and dies with its process, however
that ends. It listens, so that whoever finds it taken can connect and learn from the kernel who has it.
"""

import contextlib
import socket
import struct
from pathlib import Path

CREDENTIALS = struct.Struct("=iii")  # struct ucred of unix(7): pid, user, group
QUEUE = 128
COMMAND_CHARACTERS = 160


class Taken(Exception):
    """Another process has the post; the text says which."""


def hold(device: str, group: str, port: int) -> socket.socket:
    """Take the post and keep it for as long as the socket is open. Raises Taken."""
    name = f"\0gspnp/listen/{device}/{group}/{port}"
    held = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        held.setblocking(False)
        held.bind(name)
        held.listen(QUEUE)
    except OSError as error:
        held.close()
        raise Taken(_holder(name)) from error
    return held


def turn_away(held: socket.socket) -> None:
    """Let go whoever came to ask, so that the queue has room for the next; call it when the post becomes readable."""
    with contextlib.suppress(OSError):
        while True:
            held.accept()[0].close()


def _holder(name: str) -> str:
    """Who has this post: the process and how it was started. Its queue may be full: then it is not known."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.setblocking(False)
            asking.connect(name)
            pid = CREDENTIALS.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))[0]
    except OSError:
        return "a process that does not say who it is"
    if not pid:  # unix(7): it lives outside of our pid namespace
        return "a process outside of this container"
    command = command_line(pid)
    return f"process {pid} ({command})" if command else f"process {pid}"


def command_line(pid: int) -> str:
    """How a process was started, in printable characters; empty if we may not know."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    words = raw.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    printable = "".join(character if character.isprintable() else "?" for character in words)
    return printable if len(printable) <= COMMAND_CHARACTERS else f"{printable[:COMMAND_CHARACTERS]} ..."
