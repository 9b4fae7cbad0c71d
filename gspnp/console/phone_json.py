"""A phone as JSON, with the field names of the contract; the same everywhere."""

from datetime import datetime

from devices.models import Phone


def as_json(phone: Phone) -> dict:
    """Times are ISO 8601 in UTC, null for what never was; nothing secret."""
    return {
        "mac": phone.mac,
        "vendor": phone.vendor,
        "model": phone.model,
        "firmware": phone.firmware,
        "stage": phone.stage,
        "stage_reason": phone.stage_reason,
        "contact": phone.contact,
        "address": phone.source_host,
        "alarm": phone.alarm,
        "site": phone.site,
        "neighbour": phone.neighbour,
        "online": phone.online,
        "online_at": _iso(phone.online_at),
        "rtt_ms": phone.rtt_ms,
        "first_seen_at": _iso(phone.first_seen_at),
        "last_seen_at": _iso(phone.last_seen_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
