"""Entity tags of what the phones' door serves. Pure."""


def matches(header: str, tag: str) -> bool:
    """Whether an If-None-Match names this tag, by the weak comparison: RFC 9110 13.1.2."""
    return tag in [part.strip().removeprefix("W/") for part in header.split(",")]
