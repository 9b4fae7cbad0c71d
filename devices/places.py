"""Where a phone stands, and whose listener tells it: at the site where it was last heard. A part of the inventory.

Two listeners may hear the same phone (two names on one LAN), and two LANs may have the same addresses. Our choice
throughout.
"""

from datetime import datetime

from django.db.models import Q

# Two listeners hear the same start within moments; a phone needs longer than this to start up elsewhere.
HEARD_BY_BOTH_SECONDS = 3.0


def site_words(site: str | None) -> str:
    """What an event says of a site."""
    return f"at site {site}" if site else "at the default site"


def of_site(column: str, site: str | None) -> Q:
    """Rows that are this site's by that column, and those of which no site is known: they were heard before that was
    noted. None: all rows."""
    return Q() if site is None else Q(**{column: site}) | Q(**{column: None})


def follows(site: str, heard_site: str | None, now_heard: str) -> str:
    """Where a phone stands that is now heard at `now_heard`: there, if it stood where it was heard before.

    What a person has said otherwise stays: it is set up for the one site, and told by the listener of the other.
    """
    stood_there = site == heard_site or (heard_site is None and not site)
    return now_heard if stood_there else site


def is_one_start(heard_at: datetime | None, heard_elsewhere_at: datetime) -> bool:
    """Have two listeners heard the same start of a phone at these times? Then it stays where it is."""
    if heard_at is None:
        return False
    return abs((heard_elsewhere_at - heard_at).total_seconds()) < HEARD_BY_BOTH_SECONDS
