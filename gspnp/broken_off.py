"""An answer that breaks off half-way ends with its connection.

Daphne answers for an application that fails, also when the answer has begun already. That raises an error of its own in
the timer that looks after all applications, which then stops for good: this client, and whoever fails after it, waits
for ever.
"""

from __future__ import annotations


def cut() -> None:
    """From here on the server of this process cuts the connection there: who waits for the rest sees that there is
    none. It has no setting for that."""
    from daphne.http_protocol import WebRequest

    keep = WebRequest.handle_exception

    def handle_exception(request: WebRequest, exception: BaseException) -> None:
        if request.finished or request.channel is None:
            return
        if request._response_started:
            request.channel.forceAbortClient()
            return
        keep(request, exception)

    WebRequest.handle_exception = handle_exception
