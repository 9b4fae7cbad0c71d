"""The login by which a phone fetches its file: which settings carry it, and what stands in them.

Pure: must never import Django, asyncio or socket. Its user is the phone's MAC; its password is made anew for each
version, as the steady path is: a phone that asks by the path in a file has the login in that file too.
Source: formats.md d20 (P1360, P1361), d23.
"""

from __future__ import annotations

from devices.mac import lower

OPTION = "phone_login"
USER_SETTING, PASSWORD_SETTING = "config_http_username", "config_http_password"
SETTINGS = (USER_SETTING, PASSWORD_SETTING)


def user_of(mac: str) -> str:
    """The user of this phone's login."""
    return lower(mac)


def settings_for(mac: str, password: str) -> dict[str, str | None]:
    """What a file says of a login; nothing without a password."""
    return {USER_SETTING: user_of(mac), PASSWORD_SETTING: password} if password else {}
