"""What is said of a phone that stopped on its way: what was really seen, and what to do next.

Each text is what a technician reads on the phone's page and in the list; it has room for inventory.REASON_CHARS.
It holds no time and no count, so that it is written once. Texts of what a phone answered are in settling.py.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from devices.models import Phone
from provisioning.models import Attempt, AttemptKind
from provisioning.url_forms import FETCH_MINUTES


class Told(NamedTuple):
    """What the phone was told of its file: on which server it is, whether it has taken the key of it, and whether it is
    known to have that from an earlier version, so that it is not given it."""

    base_url: str = "this server"
    has_key: bool = False
    key_known: bool = False


Say = Callable[[Phone, Told, Attempt | None], str]

# How the texts begin that may be followed by other words when the phone shows what it does instead.
NOT_FETCHED = "It answered our NOTIFY but has not fetched its file"
TOLD_AGAIN = " It is told again by itself."
ASKED_AGAIN = " It is asked once to look again."
AWAY = f"{NOT_FETCHED}, and does not answer any more"
THERE = f"{NOT_FETCHED} for "
WITHOUT_FILE = "It fetched its file and started up again, but did not come back"
NOT_BACK = "It fetched its file but has not come back"
# What follows the last two if the file is encrypted, and its key was not sent along.
LOST_KEY = ", and may have lost its key"
GIVE_KEY = "If it has been reset, it cannot open its file: press “Give it the key again”."
# What such a phone does at the door: it does not know any more what its file said.
_AS_RESET = (AttemptKind.PLAIN, AttemptKind.NAME)
WRONG_MODEL = "It says now that it is "

LISTENER_SILENT = "Its NOTIFY waits: the listener"
OFF_AND_ON = "switch the phone off and on: it is then told the file's place in the other form"

# What a phone that was notified did at the door instead of fetching. {host} is where the request came from.
INSTEAD_OF_FETCHING: Mapping[str, str] = {
    AttemptKind.BROKEN: (
        "{start}: it began, and broke off before the end of its {size} bytes. Look at cable, switch port and MTU, and "
        "whether something between filters downloads; then press “Notify again”."
    ),
    AttemptKind.HEAD: (
        "{start}: it asked for the headers of {name} only, and never for the file. A proxy or a scanner between may do "
        "that. Take it out of the way, then switch the phone off and on."
    ),
    AttemptKind.PART: (
        "{start} whole: it asked for a part of it only, which a proxy between may do. Take that out of the way, then "
        "switch the phone off and on."
    ),
    AttemptKind.PLAIN: (
        "{start}: it asked for {name} by its plain name, not by the path that it was told. It gets its configuration "
        "server from elsewhere (DHCP option 66?), or takes the path for a folder. Look there and "
        "restart it, or release its file."
    ),
    AttemptKind.ELSEWHERE: (
        "{start}: {host} asked for it, and our NOTIFY went to {phone}. Only the notified address may. With a proxy "
        "before this server name it in GSPNP_TRUSTED_PROXIES; if the phone has moved, switch it off and on."
    ),
    AttemptKind.OLD: (
        "{start}: it asked by a path that is over, of an earlier version or more than a day old. Press “Notify again”."
    ),
    AttemptKind.NAME: (
        "{start}: it asked for {name}, and in its format the file has no such name. Choose another file format for its "
        "model in the settings, or switch the phone off and on."
    ),
    AttemptKind.LOGIN: (
        "{start} by the path that it was told: it asks by that of its earlier file, with a wrong login. Press “Notify "
        "again”."
    ),
    AttemptKind.NO_LOGIN: (
        "{start} by the path that it was told: it asks by that of its earlier file, and gives no login. Press “Notify "
        "again”."
    ),
}
# What it did after it had its file and should have come back by the path in it.
INSTEAD_OF_COMING_BACK: Mapping[str, str] = {
    AttemptKind.BROKEN: (
        "{start} whole: it began, and broke off before the end of its {size} bytes. Look at cable, switch port and "
        "MTU; it tries again at its next start."
    ),
    AttemptKind.HEAD: (
        "{start} for the file: it asked for the headers of {name} only. Take a proxy between out of the way, then "
        "switch the phone off and on."
    ),
    AttemptKind.PART: (
        "{start} whole: it asked for a part of its file only. Take a proxy between out of the way, then switch the "
        "phone off and on."
    ),
    AttemptKind.PLAIN: (
        "{start} by the path in it: it asks for {name} by its plain name. It has not kept the file, or takes its "
        "configuration server from elsewhere (DHCP option 66?). Look there, then press “Notify again”, or release its "
        "file."
    ),
    AttemptKind.OLD: (
        "{start} by the path in it: it asks by that of an earlier version, so it has not kept this one. Press “Notify "
        "again”."
    ),
    AttemptKind.NAME: (
        "{start} by the right name: it asks for {name}, and in its format the file has no such name. Choose another "
        "file format for its model in the settings, then press “Notify again”."
    ),
    AttemptKind.LOGIN: (
        "{start} with the right login: its firmware may not keep the login of its file, or a proxy between changes "
        "it. Choose the other kind of login (phone_login) in its settings, or none."
    ),
    AttemptKind.NO_LOGIN: (
        "{start} with its login: it was asked for it, and did not give it. Its firmware may not know this kind. Choose "
        "the other kind of login (phone_login) in its settings, or none."
    ),
}


def not_sent(phone: Phone, silent: Mapping[str, str]) -> str:
    """Its NOTIFY waits, and nobody is there to send it. `silent`: site -> its listener, of which nothing is heard."""
    name = None if phone.heard_site is None else silent.get(phone.heard_site)
    if name is not None:
        where = f"of site {phone.heard_site}" if phone.heard_site else "of the default site"
        return (
            f"{LISTENER_SILENT} {where}, {name}, is silent. Start it again. If it is gone for good, forget it on the "
            "page of listeners; if the phone stands elsewhere by now, switch it off and on."
        )
    return (
        f"Its NOTIFY waits: no listener runs on {phone.interface or 'its interface'} with our address "
        f"{phone.local_host}, where the phone was heard. Start the listener, or switch the phone off and on."
    )


def not_fetched(phone: Phone, told: Told, tried: Attempt | None) -> str:
    """It was told where its file is, and did not take it."""
    if tried is not None and tried.kind == AttemptKind.NAME and told.key_known:
        return (
            f"{NOT_FETCHED}: it asked for {tried.name} only, which brings the key, and it is known to have that. "
            f"{GIVE_KEY} Else press “Notify again”."
        )
    if tried is not None and tried.kind in INSTEAD_OF_FETCHING:
        return _filled(INSTEAD_OF_FETCHING[tried.kind], NOT_FETCHED, phone, tried)
    if told.has_key:
        return (
            f"{NOT_FETCHED}: it took the key of it, and did not come for the file itself. It may not have started up "
            "again, or its firmware cannot open encrypted files. Switch it off and on; else choose another file format."
        )
    if phone.online is False:
        return f"{AWAY}: it is off, or its cable is out. Switch it on: it is told again then."
    next_step = _by_tls(told) or f", then {OFF_AND_ON}."
    return (
        f"{THERE}{FETCH_MINUTES} minutes, and asked this server for nothing: it may not reach "
        f"{told.base_url}. Check VLAN and firewall{next_step}"
    )


def without_file(phone: Phone, told: Told, tried: Attempt | None) -> str:
    """It started up after it had its file, and did not ask for it again."""
    if told.key_known and (tried is None or tried.kind in _AS_RESET):
        return f"{WITHOUT_FILE}{LOST_KEY}. {GIVE_KEY} If it has not, press “Notify again”."
    if tried is not None and tried.kind in INSTEAD_OF_COMING_BACK:
        return _filled(INSTEAD_OF_COMING_BACK[tried.kind], WITHOUT_FILE, phone, tried)
    return (
        f"{WITHOUT_FILE} by the path in that file: it has probably not kept it (power lost while it wrote?). "
        f"Press “Notify again”{_by_tls(told) or '.'}"
    )


def _by_tls(told: Told) -> str:
    """What else it may be where the file is fetched over HTTPS."""
    if not told.base_url.startswith("https:"):
        return ""
    return ". Or its firmware and the TLS here do not agree: set “How the phone fetches it” to HTTP for its model."


def not_back(phone: Phone, told: Told, tried: Attempt | None) -> str:
    """It has its file, and was not heard of since."""
    if told.key_known and (tried is None or tried.kind in _AS_RESET):
        return (
            f"{NOT_BACK}{LOST_KEY}. {GIVE_KEY} Else it may still restart, or already had this configuration: switch it "
            "off and on; if that does not help, press “Notify again”."
        )
    if tried is not None and tried.kind in INSTEAD_OF_COMING_BACK:
        return _filled(INSTEAD_OF_COMING_BACK[tried.kind], NOT_BACK, phone, tried)
    return (
        f"{NOT_BACK} for it: it may still restart, or already had this configuration. Switch it off and on; "
        "if that does not help, press “Notify again”."
    )


def wrong_model(phone: Phone) -> str:
    """Another device, or another firmware, than the one whose file was made."""
    return (
        f"{WRONG_MODEL}a {phone.model}, for which no configuration can be made; its file was made for another model. "
        "Check that this is the phone that you assigned; if not, forget it."
    )


def _filled(text: str, start: str, phone: Phone, tried: Attempt) -> str:
    return text.format(
        start=start, name=tried.name, size=f"{tried.size:,}", host=tried.source_host, phone=phone.source_host
    )
