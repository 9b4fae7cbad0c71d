"""The words of the list of changes: what was done, to what, and what differs, for whoever reads it.

What is stored is in English and never changes (gspnp/console/audit.py); the words here may, for older entries too.
"""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from gspnp.console.snapshots import MASK
from provisioning.gxp.document import MASK as MASKED
from provisioning.gxp.entries import label_of

LOCKED_OUT = "locked out"
SETTING, MADE = "setting: ", "Made:"

DEEDS: dict[str, str | Promise] = {
    # The administration.
    "add": gettext_lazy("added"),
    "change": gettext_lazy("changed"),
    "delete": gettext_lazy("deleted"),
    "changelist": gettext_lazy("did something to several:"),
    "password": gettext_lazy("set a password of"),
    # Signing in.
    "signed in": gettext_lazy("signed in"),
    "signed out": gettext_lazy("signed out"),
    LOCKED_OUT: gettext_lazy("was locked out after too many wrong passwords"),
    "unlock": gettext_lazy("unlocked a name"),
    # A phone.
    "add_phone": gettext_lazy("listed before it arrived:"),
    "assign": gettext_lazy("assigned"),
    "assign_undo": gettext_lazy("took the last save back of"),
    "phone_settings": gettext_lazy("changed settings of"),
    "roll_back": gettext_lazy("went back to an earlier version of"),
    "swap": gettext_lazy("swapped"),
    "reveal": gettext_lazy("looked at a password of"),
    "release": gettext_lazy("released the file, by its plain name, of"),
    "close-release": gettext_lazy("closed the release of"),
    "new-paths": gettext_lazy("made new paths for"),
    "replace-paths": gettext_lazy("made new paths and ended the old ones of"),
    "revoke-paths": gettext_lazy("revoked the old path of"),
    "key-again": gettext_lazy("gave the key once more to"),
    "notify": gettext_lazy("notified"),
    "check": gettext_lazy("asked to look for a new configuration:"),
    "resync": gettext_lazy("asked to load its configuration again:"),
    "reboot": gettext_lazy("restarted"),
    "ignore": gettext_lazy("ignored"),
    "heed": gettext_lazy("stopped ignoring"),
    "bring-back": gettext_lazy("brought back into service"),
    "forget": gettext_lazy("forgot"),
    "accept": gettext_lazy("accepted the new address of"),
    "dismiss": gettext_lazy("dismissed the alarm of"),
    # Several phones.
    "order notify": gettext_lazy("ordered for several phones: notify"),
    "order confirm": gettext_lazy("ordered for several phones: confirm addresses and notify"),
    "order check": gettext_lazy("ordered for several phones: look for a new configuration"),
    "order resync": gettext_lazy("ordered for several phones: load the configuration again"),
    "order reboot": gettext_lazy("ordered for several phones: restart"),
    "order ignore": gettext_lazy("ordered for several phones: ignore"),
    "order heed": gettext_lazy("ordered for several phones: stop ignoring"),
    "order forget": gettext_lazy("ordered for several phones: forget"),
    "bulk_edit": gettext_lazy("made a preview of an edit of several phones"),
    "imports": gettext_lazy("uploaded a file of phones"),
    "import_press apply": gettext_lazy("applied the import"),
    "import_press discard": gettext_lazy("discarded the preview of the import"),
    "import_press undo": gettext_lazy("undid the import"),
    "export": gettext_lazy("exported phones"),
    "job_pause pause": gettext_lazy("paused the job"),
    "job_resume resume": gettext_lazy("resumed the job"),
    "job_cancel cancel": gettext_lazy("cancelled the job"),
    # Settings, extensions, firmware, phonebooks, alarms.
    "layer": gettext_lazy("changed settings of"),
    "opinions": gettext_lazy("changed our defaults for"),
    "extension": gettext_lazy("changed the extension"),
    "extension_delete": gettext_lazy("deleted the extension"),
    "extension_add": gettext_lazy("added an extension"),
    "extension_import": gettext_lazy("imported extensions"),
    "extension_export": gettext_lazy("exported extensions"),
    "handout": gettext_lazy("changed how extensions are handed out"),
    "firmware_pin": gettext_lazy("set the firmware path of"),
    "firmware_upload": gettext_lazy("stored a firmware image"),
    "firmware_remove": gettext_lazy("removed the firmware image"),
    "phonebook_switch": gettext_lazy("switched a phonebook"),
    "phonebook_renew": gettext_lazy("made a new path for a phonebook"),
    "alarms_dismiss": gettext_lazy("dismissed alarms"),
    "alarm_dismiss": gettext_lazy("dismissed the alarm"),
    "decoy_add": gettext_lazy("listed as a decoy:"),
    "decoys_make": gettext_lazy("made decoys"),
    "decoy_remove": gettext_lazy("took from the decoys:"),
    "listener_forget": gettext_lazy("forgot a listener"),
}

LABELS: dict[str, str | Promise] = {
    "approved_host": gettext_lazy("confirmed address"),
    "is_staff": gettext_lazy("may sign in"),
    "is_active": gettext_lazy("active"),
    "is_superuser": gettext_lazy("may do everything"),
    "user permissions": gettext_lazy("permissions one by one"),
    "first_name": gettext_lazy("first name"),
    "last_name": gettext_lazy("last name"),
    "sip_server": gettext_lazy("SIP server"),
    "auth_id": gettext_lazy("auth ID"),
    "only_models": gettext_lazy("only these models"),
    "secrets": gettext_lazy("with passwords"),
    "with_key": gettext_lazy("with the key"),
    "kind": gettext_lazy("format"),
    "host": gettext_lazy("address"),
    "mac": gettext_lazy("MAC"),
    "on": gettext_lazy("switched on"),
}

VALUES: dict[str, str | Promise] = {
    "True": pgettext_lazy("a switch", "yes"),
    "False": pgettext_lazy("a switch", "no"),
}


def words(deed: str) -> str:
    """What was done; what it was done to follows."""
    return str(DEEDS.get(deed, deed.replace("_", " ")))


def thing(what: str) -> str:
    """What it was done to."""
    return _("the default site") if what in ("site", "default site") else what


def label(deed: str, name: str) -> str:
    """The name of what differs."""
    if deed == "reveal" and name == "name":
        return _("password")
    if name.startswith(SETTING + MADE):
        return _("%(setting)s, made at random") % {"setting": name.removeprefix(SETTING + MADE).capitalize()}
    return str(LABELS.get(name, name.removeprefix(SETTING).replace("_", " ")))


def value(deed: str, name: str, text: object) -> str:
    """How it was, or how it is."""
    said = str(text).replace(MASKED, MASK)
    if deed == "reveal" and name == "name":
        return label_of(said)
    if name in ("action", "stage", "do"):
        return said.replace("_", " ")
    return str(VALUES.get(said, said))
