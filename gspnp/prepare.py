"""Make an installation ready to serve: `python -m gspnp.prepare`, which `make run` calls first.

Keys and data folder (by loading the settings), migrations, static files, the first administrator; then the
words that tell a person where to go. Each step does nothing when there is nothing to do. With `--keep-trying` a
database that is not there yet is waited for, where a first failure would fail whoever depends on this.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import ifaddr
from django.core.exceptions import ImproperlyConfigured

from gspnp import serve, tls
from gspnp.env import build_env, data_dir
from gspnp.hosts import as_host
from gspnp.logs import clean
from provisioning import certificates

AGAIN_SECONDS = 5.0
KEEP_TRYING = "--keep-trying"


def prepare() -> None:
    """Bring data folder, database and static files up to date. ImproperlyConfigured holds the remedy."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gspnp.settings"
    import django
    from django.core.management import call_command

    django.setup()
    faults = [one.fault for one in certificates.seen() if one.fault]
    if faults:
        raise ImproperlyConfigured(" ".join(faults))
    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("first_admin", verbosity=0)


def urls(host: str, port: int) -> list[str]:
    """The console's addresses, most useful first: what a browser elsewhere can open, then loopback."""
    scheme = "https" if tls.is_https(build_env()) else "http"
    if host not in ("0.0.0.0", "::"):
        return [f"{scheme}://{as_host(host)}:{port}/"]
    found: list[str] = []
    loopback: list[str] = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            if isinstance(entry.ip, str):
                (loopback if entry.ip.startswith("127.") else found).append(entry.ip)
            elif host == "::" and not entry.ip[0].startswith("fe80"):  # a browser cannot name a link-local scope
                (loopback if entry.ip[0] == "::1" else found).append(entry.ip[0])
    return [f"{scheme}://{as_host(address)}:{port}/" for address in [*found, *loopback]]


def banner() -> str:
    """What a person needs to know now, in a few lines."""
    env = build_env()
    console = serve.address_of(serve.DOORS["console"], env)
    phones = serve.address_of(serve.DOORS["phones"], env)
    group, port = env.str("GSPNP_PNP_GROUP", "224.0.1.75"), env.int("GSPNP_PNP_PORT", 5060)
    chosen = env.list("GSPNP_PNP_INTERFACES", [])
    named = " and ".join(filter(None, (", ".join(one for one in chosen if one != "lo"), "lo")))
    where = named if chosen else "every interface that can do multicast"
    lines = ["gspnp is ready. Open it in a browser:", *(f"    {url}" for url in urls(*console))]
    password: Path = data_dir() / "first-admin-password"
    if password.exists():
        lines.append(f"  Sign in as admin; the password is in {password} (you choose your own at the first sign-in).")
    by_proxy = tls.is_https(env) and tls.files_of(env, tls.CONSOLE) is None
    if by_proxy and not env.list("GSPNP_TRUSTED_PROXIES", []):
        lines.append(
            "  GSPNP_HTTPS is on, but there is neither a certificate in GSPNP_CONSOLE_CERT nor a proxy in "
            "GSPNP_TRUSTED_PROXIES that does the TLS: nobody can sign in. Name one, or switch GSPNP_HTTPS off."
        )
    lines += [f"  {one.msg} {one.hint}" for one in certificates.messages()]
    spoken = " by HTTPS" if tls.files_of(env, tls.PHONES) is not None else ""
    lines += [
        f"  Listening for phones: SIP multicast {group} port {port} on {where}.",
        f"  Phones fetch their files{spoken} from TCP port {phones[1]} of this machine.",
        "  Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def prepare_at_last() -> None:
    """The same, as often as the database is not there."""
    from django.db import InterfaceError, OperationalError, connections

    while True:
        try:
            return prepare()
        except (OperationalError, InterfaceError) as error:
            words = clean(str(error)).replace("\n", " ")
            sys.stderr.write(f"gspnp waits for the database ({words}); trying again in {AGAIN_SECONDS:.0f} s\n")
            connections.close_all()
            time.sleep(AGAIN_SECONDS)


def main() -> None:
    """Prepare, then print the banner. Exit status 1 and one line if an operator has to act first."""
    from django.core.management import CommandError
    from django.db import DatabaseError

    os.umask(0o077)  # database and static files too, should the data folder itself be open to others
    try:
        (prepare_at_last if KEEP_TRYING in sys.argv[1:] else prepare)()
        text = banner()
    except (ImproperlyConfigured, CommandError) as error:
        sys.exit(f"gspnp cannot start: {error}")
    except DatabaseError as error:
        sys.exit(f"gspnp cannot start: the database cannot be used ({error}). See DATABASE_URL in .env.example.")
    except OSError as error:
        sys.exit(f"gspnp cannot start: {error}. Make the data folder {data_dir()} writable for this user.")
    sys.stdout.write(f"\n{text}\n\n")


if __name__ == "__main__":
    main()
