"""A phone as JSON, with the field names of the contract; the same everywhere."""

from devices.models import Phone


def as_json(phone: Phone) -> dict:
    """Times are ISO 8601 in UTC; nothing secret."""
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
        "neighbour": phone.neighbour,
        "online": phone.online,
        "online_at": phone.online_at.isoformat() if phone.online_at else None,
        "rtt_ms": phone.rtt_ms,
        "first_seen_at": phone.first_seen_at.isoformat(),
        "last_seen_at": phone.last_seen_at.isoformat(),
    }
