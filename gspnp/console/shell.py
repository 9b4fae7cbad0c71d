"""What every page of the console shares: unfold's shell, the listener's state, the warning about plain HTTP."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.http.request import split_domain_port

from devices import live, networks
from gspnp.console import taken_back
from gspnp.console.listening import listening


def shell_context(request: HttpRequest, title: str, **extra: Any) -> dict[str, Any]:
    """The template context of a page outside the admin. The newest event's id is read first, so that a browser which
    asks for what came after it misses nothing of what the page shows."""
    taken_back.forget_old(request)
    return {
        **admin.site.each_context(request),
        # The shell gives it to staff only; each entry says itself who may open it.
        "sidebar_navigation": admin.site.get_sidebar_list(request),  # type: ignore[attr-defined]  # unfold has it
        "title": title,
        "last_event_id": live.newest_id(),
        "listening": listening(),
        "plain_http": is_plain_beyond_loopback(request),
        **extra,
    }


def is_plain_beyond_loopback(request: HttpRequest) -> bool:
    """Whether passwords cross a network in the clear."""
    if request.is_secure():
        return False
    peer = networks.parse_address(request.META.get("REMOTE_ADDR") or "")
    if peer is not None and not peer.is_loopback:
        return True  # whatever the Host header says: whoever asks wrote it
    host = split_domain_port(request.get_host())[0].strip("[]")
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


OF_PHONES = "gspnp_of_phones"
"""What a view says of a request whose page belongs to the phones, although its address is that of an import."""


def is_console(request: HttpRequest) -> bool:
    """Whether the sidebar's entry for the phones is the present one: their list, or the page of one of them."""
    return request.path == "/" or (request.path.startswith("/phones/") and not is_import(request))


def is_import(request: HttpRequest) -> bool:
    """The same for import and export."""
    return request.path.startswith(("/phones/import/", "/phones/export/")) and not getattr(request, OF_PHONES, False)


def is_extensions(request: HttpRequest) -> bool:
    """The same for the directory of extensions."""
    return request.path.startswith("/extensions/")


def is_settings(request: HttpRequest) -> bool:
    """The same for the settings and everything below them."""
    return request.path.startswith("/settings/")


def is_jobs(request: HttpRequest) -> bool:
    """The same for the jobs."""
    return request.path.startswith("/jobs/")
