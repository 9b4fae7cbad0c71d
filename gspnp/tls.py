"""Which certificates the two doors speak TLS with, as the settings say. Imports no Django settings."""

from __future__ import annotations

from devices.certificates import VERSIONS, Files
from gspnp.env import Env, SettingError

PHONES, CONSOLE = "PHONES", "CONSOLE"


def files_of(env: Env, door: str) -> Files | None:
    """Certificate and key of a door; None if it speaks no TLS. A certificate's file may hold its key too."""
    cert, key = f"GSPNP_{door}_CERT", f"GSPNP_{door}_KEY"
    if not env.str(cert, ""):
        if env.str(key, ""):
            raise SettingError(f"{key} is set, and {cert} is not. Name the certificate too, or leave out the key.")
        return None
    return Files(cert, key if env.str(key, "") else cert, env.path(cert), env.path(key if env.str(key, "") else cert))


def lowest_version(env: Env) -> str:
    """The oldest version of TLS that the phones' door speaks."""
    return env.choice("GSPNP_PHONES_TLS_MIN", "1.2", tuple(VERSIONS))


def is_https(env: Env) -> bool:
    """Whether the console is reached over HTTPS: by its own certificate, or by a proxy's."""
    own = files_of(env, CONSOLE) is not None
    said = env.bool("GSPNP_HTTPS", own)
    if own and not said:
        raise SettingError(
            "GSPNP_HTTPS is 0, and GSPNP_CONSOLE_CERT makes the console speak HTTPS. Leave out one of the two."
        )
    return said
