"""From rows to a DeviceConfig: the one place that reads rows for rendering."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings

from devices.catalog import KeyKind, KeyMode, KeySlot, PhoneModel
from devices.models import Account, Key, Phone
from provisioning.gxp.config import AccountConfig, DeviceConfig, KeyConfig, Problem, Protocol, ServerConfig
from provisioning.gxp.files import Bootstrap, FileFormat, FormatChoice
from provisioning.gxp.firmware import is_there
from provisioning.gxp.layers import SHA256_FROM
from provisioning.gxp.layout import Arranged, arrange
from provisioning.gxp.openssl_enc import Digest
from provisioning.layers import stack


@dataclass(frozen=True)
class Draft:
    """What a technician decided for one phone; passwords are plain here and nowhere in its repr."""

    accounts: tuple[AccountConfig, ...] = ()
    keys: tuple[KeyConfig, ...] = ()

    @property
    def numbers(self) -> set[int]:
        """Of its accounts."""
        return {account.number for account in self.accounts}

    def in_order(self) -> "Draft":
        """The same decision, whatever order it was given in."""
        by_number = sorted(self.accounts, key=lambda account: account.number)
        return Draft(tuple(by_number), tuple(sorted(self.keys, key=lambda key: key.slot)))


def draft_of(phone: Phone) -> Draft:
    """The assignment that is stored for this phone."""
    accounts = tuple(
        AccountConfig(
            number=row.number,
            sip_server=row.sip_server,
            user_id=row.user_id,
            auth_id=row.auth_id,
            password=row.password,
            display_name=row.display_name,
            voicemail=row.voicemail,
            codecs=tuple(row.codecs),
        )
        for row in phone.accounts.all()
    )
    keys = tuple(
        KeyConfig(
            slot=KeySlot(KeyKind(row.kind), row.number),
            mode=KeyMode(row.mode),
            account=row.account,
            label=row.label,
            value=row.value,
        )
        for row in phone.keys.all()
    )
    return Draft(accounts, keys)


def account_rows(phone: Phone, accounts: Iterable[AccountConfig]) -> list[Account]:
    """Unsaved rows of a draft's accounts."""
    return [
        Account(
            phone=phone,
            number=account.number,
            sip_server=account.sip_server,
            user_id=account.user_id,
            auth_id=account.auth_id,
            password=account.password,
            display_name=account.display_name,
            voicemail=account.voicemail,
            codecs=list(account.codecs),
        )
        for account in accounts
    ]


def key_rows(phone: Phone, keys: Iterable[KeyConfig]) -> list[Key]:
    """Unsaved rows of a draft's keys."""
    return [
        Key(
            phone=phone,
            kind=key.slot.kind.value,
            number=key.slot.number,
            mode=key.mode.value,
            account=key.account,
            label=key.label,
            value=key.value,
        )
        for key in keys
    ]


def base_url(local_host: str | None) -> str:
    """Scheme, host and port of the phones' door as this phone reaches it: set by the operator, else our address."""
    if settings.GSPNP_PUBLIC_URL:
        return settings.GSPNP_PUBLIC_URL
    host = f"[{local_host}]" if ":" in (local_host or "") else local_host
    scheme = "https" if settings.PHONES_CERTIFICATE else "http"
    return f"{scheme}://{host}:{settings.GSPNP_PHONES_PORT}"


def plainly(base: str) -> str | None:
    """The same door over plain HTTP, on the port of its TLS; None if it has no TLS of its own, or lets nothing out."""
    if not settings.PHONES_CERTIFICATE or settings.GSPNP_PHONES_HTTP == "0" or not base.startswith("https:"):
        return None
    return f"http:{base.partition(':')[2]}"


def place_of(base: str) -> str:
    """host[:port][/path] of a base URL, as the phone's server settings want it."""
    return base.partition("://")[2]


def protocol_of(base: str) -> Protocol:
    """How phones reach this base address."""
    return "https" if base.startswith("https:") else "http"


def server_config(base: str, steady_secret: str) -> ServerConfig:
    """Where a phone comes back to: our base address and its own secret path."""
    place = place_of(base)
    return ServerConfig(
        protocol=protocol_of(base),
        config_path=f"{place}/p/{steady_secret}",
        firmware_path=f"{place}/firmware",
    )


def format_choice(options: Mapping[str, str], runs: str) -> FormatChoice:
    """The format of the next version for a phone that runs this firmware: what the layers say, else this
    installation's."""
    since = options.get(SHA256_FROM, "")
    digest: Digest = "sha256" if options.get("file_digest") == "sha256" or since and is_there(runs, since) else "md5"
    return FormatChoice(
        FileFormat(options.get("file_format", settings.GSPNP_FILE_FORMAT)),
        digest,
        Bootstrap(options.get("file_bootstrap", Bootstrap.BINARY)),
    )


def arranged_keys(draft: Draft, model: PhoneModel, said: stack.Said) -> tuple[Arranged, list[Problem]]:
    """The phone's own keys over those of its layers, and the team on those left free."""
    extensions = [account.user_id for account in draft.accounts]
    return arrange(model, said.keys, draft.keys, extensions, [account.number for account in draft.accounts])


def device_config(
    phone: Phone,
    model: PhoneModel,
    draft: Draft,
    base: str,
    steady_secret: str,
    said: stack.Said,
    earlier: Iterable[str] = (),
) -> DeviceConfig:
    """Everything that the file of this phone says, as the pure renderer takes it; `earlier` are settings that it was
    told before."""
    arranged, problems = arranged_keys(draft, model, said)
    return DeviceConfig(
        mac=phone.mac,
        model=model,
        accounts=draft.accounts,
        keys=arranged.keys,
        problems=(*said.problems, *problems),
        server=server_config(base, steady_secret),
        opinions_off=said.off,
        settings=said.settings,
        earlier=frozenset(earlier),
    )
