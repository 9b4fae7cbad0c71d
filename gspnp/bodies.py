"""A bound on the bodies of requests, before they are written anywhere.

Daphne keeps a whole body, in a file if it is long, before the application is asked whether it wants any of it: at a
door that is open to whoever reaches it, that is as much of the disk as somebody likes to fill.
"""

from __future__ import annotations

import tempfile
from typing import IO

CONSOLE_BYTES = 66 * 2**20  # a firmware image (images.MAX_BYTES) with its form
# A table of 10,000 phones with its form. It may hold every password of the house, and what was once written to a disk
# can be found there, though the file never had a name. Daphne's own bound is 100,000 bytes. Not more, because whoever
# reaches the console can have a body kept. Our choice.
IN_MEMORY_BYTES = 4 * 2**20


def bound(most_bytes: int) -> None:
    """From here on the server of this process cuts off whoever sends a longer body. It has no setting for that."""
    from daphne.http_protocol import WebRequest

    keep = WebRequest.handleContentChunk

    def got_length(request: WebRequest, length: int | None) -> None:
        request.content = content()

    def handle_chunk(request: WebRequest, data: bytes) -> None:
        if request.content.tell() + len(data) > most_bytes:
            request.channel.loseConnection()
            return
        keep(request, data)

    WebRequest.handleContentChunk = handle_chunk
    WebRequest.gotLength = got_length


def content() -> IO[bytes]:
    """Where a body is gathered: in memory, and what is longer than most tables in a file."""
    return tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)
