"""Phones that follow a change in the directory: a caller name, the labels of keys that watch the number, a secret.

What follows is what still says what the directory said before: a label that somebody chose otherwise stays as it is,
and so does a caller name, unless a person wants that one to follow too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import QuerySet

from devices import batch, holders
from devices.catalog import KeyMode
from devices.choices import WAY
from devices.holders import Wanted
from devices.models import Account, Extension, Key, Phone
from provisioning.gxp.config import AccountConfig, KeyConfig
from provisioning.gxp.fields import MAX_LABEL
from provisioning.plan import Draft

WATCHES = (KeyMode.BLF, KeyMode.SPEED_DIAL, KeyMode.SPEED_DIAL_ACTIVE)
LOOKED_AT_ONCE = 500  # accounts whose servers are looked up for keys


@dataclass(frozen=True)
class Change:
    """What became of an extension. `secret` says that it has another one; what name and secret are now, the job reads
    when it runs. `own` has, by the ids of phones as text, the caller names of their own that follow too."""

    extension: int
    number: str
    site: str
    sip_server: str
    was: str
    name: str
    secret: bool = False
    secret_server: str = ""
    """The SIP server that the new secret is for; empty if the directory names none."""
    own: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_rename(self) -> bool:
        return self.was != self.name

    @property
    def title(self) -> str:
        """Of the job, and of the versions that it makes."""
        if self.is_rename:
            return f"Extension {self.number} is now {self.name or 'without a name'}"
        return f"New secret of extension {self.number}"

    @property
    def wanted(self) -> Wanted:
        """The extension as phones had it before."""
        return Wanted(self.number, self.sip_server, self.site)

    def is_at(self, site: str, sip_server: str) -> bool:
        """Is this number meant, on a phone of that site, at that server?"""
        return self.wanted.is_at(site, sip_server)

    def gives_secret_at(self, sip_server: str) -> bool:
        """Does its new secret belong to an account at that server? See devices/taking.py."""
        return self.secret and self.secret_server.lower() in ("", sip_server.lower())

    @classmethod
    def read(cls, orders: Mapping[str, Any]) -> Change:
        """From a job's row."""
        return cls(**orders)


@dataclass(frozen=True)
class Follower:
    """A phone that would follow, and what of it changes, in words."""

    phone_id: int
    mac: str
    model: str
    what: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Keeper:
    """A phone whose accounts of this extension have caller names of their own, which stay unless a person says so."""

    phone_id: int
    mac: str
    model: str
    names: list[str] = field(default_factory=list)


def followers(change: Change) -> list[Follower]:
    """The phones on their way whose accounts or keys still say what the directory said before. Reads no password."""
    found: dict[int, Follower] = {}

    def note(phone_id: int, mac: str, model: str, words: str) -> None:
        found.setdefault(phone_id, Follower(phone_id, mac, model)).what.append(words)

    for one in holders.of_one(change.wanted):
        if change.is_rename and one.display_name == change.was:
            note(one.phone_id, one.mac, one.model, f"caller name of account {one.number}")
        if change.gives_secret_at(one.sip_server):
            note(one.phone_id, one.mac, one.model, f"password of account {one.number}")
    for key, site, server, mac, model in _keys(change):
        if change.is_at(site, server):
            note(key.phone_id, mac, model, f"label of {_name_of(key)}")
    there = _on_their_way(found)
    return [one for pk, one in sorted(found.items(), key=lambda item: item[1].mac) if pk in there]


def keepers(change: Change) -> list[Keeper]:
    """The phones on their way that say neither the name that it had nor the one that it gets."""
    found: dict[int, Keeper] = {}
    for one in holders.of_one(change.wanted) if change.is_rename else []:
        if one.display_name not in (change.was, change.name):
            kept = found.setdefault(one.phone_id, Keeper(one.phone_id, one.mac, one.model))
            kept.names.append(one.display_name)
    there = _on_their_way(found)
    return [one for pk, one in sorted(found.items(), key=lambda item: item[1].mac) if pk in there]


def _on_their_way(phone_ids: Iterable[int]) -> set[int]:
    return {pk for (pk,) in batch.select(Phone, ("pk",), "pk", list(phone_ids), only_if=("stage", list(WAY)))}


def _keys(change: Change) -> list[tuple[Key, str, str, str, str]]:
    """Keys that watch the number under its old name: key, site and server of its account, MAC and model."""
    if not change.is_rename or not change.was:
        return []
    rows = Key.objects.filter(
        value=change.number, label=change.was[:MAX_LABEL], mode__in=[mode.value for mode in WATCHES]
    )
    keys = list(rows.select_related("phone").order_by("phone_id", "kind", "number"))
    servers: dict[tuple[int, int], str] = {}
    for bite in batch.bites(sorted({key.phone_id for key in keys}), LOOKED_AT_ONCE):
        accounts = Account.objects.filter(phone__in=bite).values_list("phone_id", "number", "sip_server")
        servers |= {(phone_id, number): server for phone_id, number, server in accounts}
    return [
        (key, key.phone.site, servers.get((key.phone_id, key.account), ""), key.phone.mac, key.phone.model)
        for key in keys
    ]


def _name_of(key: Key) -> str:
    return f"key {key.number}" if key.kind == "mpk" else f"line key {key.number}"


def applied(draft: Draft, change: Change, site: str, secret: str | None, own: Sequence[str] = ()) -> Draft:
    """The draft of a phone at that site after the change; the same one if nothing of it follows. The caller names in
    `own` follow as the directory's does."""
    names = (change.was, *own)
    servers = {account.number: account.sip_server for account in draft.accounts}
    return Draft(
        tuple(_account(account, change, site, secret, names) for account in draft.accounts),
        tuple(_key(key, change, site, servers.get(key.account, "")) for key in draft.keys),
    )


def _account(
    account: AccountConfig, change: Change, site: str, secret: str | None, names: Sequence[str]
) -> AccountConfig:
    if account.user_id != change.number or not change.is_at(site, account.sip_server):
        return account
    if change.is_rename and account.display_name in names:
        account = replace(account, display_name=change.name)
    if secret is None or not change.gives_secret_at(account.sip_server):
        return account
    return replace(account, password=secret)


def _key(key: KeyConfig, change: Change, site: str, sip_server: str) -> KeyConfig:
    # A key shows fewer characters than an account has.
    watches = key.mode in WATCHES and key.value == change.number and key.label == change.was[:MAX_LABEL] != ""
    if not change.is_rename or not watches or not change.is_at(site, sip_server):
        return key
    return replace(key, label=change.name[:MAX_LABEL])


def name_of(change: Change) -> str | None:
    """The name that phones get: the directory's, as it is now; None if it is not to change, or is gone."""
    return _rows(change).values_list("name", flat=True).first() if change.is_rename else None


def secret_of(change: Change) -> str | None:
    """The secret that phones get: the directory's, as it is now; None if it is not to change, or is gone."""
    if not change.secret:
        return None
    row = _rows(change).first()
    return row.secret if row is not None and row.secret else None


def _rows(change: Change) -> QuerySet[Extension]:
    # It may have another number by now: then its name and its secret are for other phones than these.
    return Extension.objects.filter(pk=change.extension, number=change.number, site=change.site)
