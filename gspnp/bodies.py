"""A bound on the bodies of requests, before they are written anywhere.

Daphne keeps a whole body, in a file if it is long, before the application is asked whether it wants any of it: at a
door that is open to whoever reaches it, that is as much of the disk as somebody likes to fill.
"""

from __future__ import annotations

from daphne.http_protocol import WebRequest

CONSOLE_BYTES = 66 * 2**20  # a firmware image (images.MAX_BYTES) with its form


def bound(most_bytes: int) -> None:
    """From here on the server of this process cuts off whoever sends a longer body. It has no setting for that."""
    keep = WebRequest.handleContentChunk

    def handle_chunk(request: WebRequest, data: bytes) -> None:
        if request.content.tell() + len(data) > most_bytes:
            request.channel.loseConnection()
            return
        keep(request, data)

    WebRequest.handleContentChunk = handle_chunk
