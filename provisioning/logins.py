"""Which SIP account a phone may expect when it challenges a NOTIFY of ours."""

from dataclasses import dataclass, field

from provisioning.gxp.document import DocumentError, values
from provisioning.gxp.pvalues import account_field
from provisioning.models import ConfigFile
from provisioning.outbox import SEALED


@dataclass(frozen=True, slots=True)
class Account:
    """A SIP account as a version's file gives it to the phone."""

    user_id: str
    auth_id: str
    password: str = field(repr=False)


def accounts(phone_id: int) -> list[Account]:
    """The first account of the version that was applied last, then of the newest one, each once.

    A phone that has not applied our file yet still has the account of the version before, and one that is just about
    to has the new one. Raises CannotDecrypt: a lost key of ours must not be taken for a foreign phone.
    """
    versions = ConfigFile.objects.filter(phone_id=phone_id).defer(*SEALED)
    applied = versions.filter(applied_at__isnull=False).order_by("-number").first()
    found: list[Account] = []
    for version in (applied, versions.order_by("-number").first()):
        account = None if version is None else _first_account(version)
        if account is not None and account not in found:
            found.append(account)
    return found


def user_id(phone_id: int) -> str:
    """The SIP user that a configured phone answers to; empty if it never applied a file of ours."""
    applied = ConfigFile.objects.filter(phone_id=phone_id, applied_at__isnull=False).defer(*SEALED)
    version = applied.order_by("-number").first()
    account = None if version is None else _first_account(version)
    return "" if account is None else account.user_id


def _first_account(version: ConfigFile) -> Account | None:
    try:
        written = values(bytes(version.content))
    except DocumentError:
        return None
    for number in (1, 2, 3):
        try:
            names = [account_field(number, name).name for name in ("sip_user_id", "auth_id", "auth_password", "active")]
        except KeyError:
            break
        user, auth, password, active = (written.get(name, "") for name in names)
        if active == "1" and user:
            return Account(user, auth or user, password)
    return None
