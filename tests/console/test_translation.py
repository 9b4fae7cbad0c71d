"""Every text that a person reads can be translated: in templates and sources branch by branch, on pages as they come.

docs/translating.md says what stays in English.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template.base import Lexer, TokenType
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from devices import directory
from devices.catalog import KEY_MODE_LABELS
from devices.directory import Entry
from devices.models import Extension
from gspnp.console.listening import Listening, Remark
from provisioning.firmware import images
from provisioning.gxp.firmware import holes
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import Job, MissedAsk
from provisioning.phonebook import books
from sipmcast.models import ListenerStatus
from tests import cast
from tests.console.conftest import signed_in
from tests.support.translation import mark_translations, unmarked

ROOT = Path(settings.BASE_DIR)
TEMPLATES = ROOT / "templates"
SCRIPTS = ROOT / "static" / "console"
CONSOLE = ROOT / "gspnp" / "console"

# --- templates ----------------------------------------------------------------------------------------------------
LITERALS_ALLOWED = {"-----BEGIN …", "CSV", "XLSX", "MAC"}  # the first line of a PEM file, and names that are no words
GLUED_ALLOWED = {
    "one.site|default:'default'",
    "chip.name|default:'all'",
    "chip.value|default:'all'",
}  # in a data-testid
GLUED = re.compile(r"""\|(?:pluralize|default:["'][^"']*[A-Za-z])|\bwith\b.*=["'][^"']*[A-Za-z]{2} """)


def names_below(folder: Path, ending: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(f"*.{ending}"))


def without_tags(source: str) -> tuple[str, list[str]]:
    """The HTML of a template without its tags and everything that is translated, and tags that make texts of pieces."""
    html, glued, inside = [], [], ""
    for token in Lexer(source).tokenize():
        if token.token_type == TokenType.BLOCK:
            name = token.contents.split()[0]
            if name in ("blocktranslate", "comment", "verbatim"):
                inside = f"end{name}"
            elif name == inside:
                inside = ""
        elif token.token_type == TokenType.TEXT and not inside:
            html.append(token.contents)
        if token.token_type in (TokenType.BLOCK, TokenType.VAR) and not inside and GLUED.search(token.contents):
            glued.append(token.contents)
    return "".join(html), glued


@pytest.mark.parametrize("name", names_below(TEMPLATES, "html"))
def test_a_template_says_nothing_past_translation(name):
    html, glued = without_tags((TEMPLATES / name).read_text("utf-8"))
    assert not set(glued) - GLUED_ALLOWED, "a sentence of pieces, or a text in an expression: make each case a message"
    found = unmarked(f"<body><div>{html}</div></body>", map(re.escape, LITERALS_ALLOWED))
    assert not found, "put these in translate or blocktranslate tags"


# --- scripts ------------------------------------------------------------------------------------------------------
STRING = r'"(?:[^"\\\n]|\\.)*"'
COMMENT = re.compile(r"^\s*(?://|/?\*).*$|\s//\s.*$", re.MULTILINE)
TRANSLATED = re.compile(rf"\bn?gettext\(\s*{STRING}(?:\s*,\s*{STRING})?")
KEYS = re.compile("^(?:Ctrl|Shift|Alt) ")
SPEECH = re.compile(r"^[A-Z][^.#\[\]]* \S|[a-z,;:] [a-z]+[.?!…]$|^[A-Z]?[a-z]+…$")


@pytest.mark.parametrize("name", names_below(SCRIPTS, "js"))
def test_a_script_says_nothing_past_translation(name):
    source = TRANSLATED.sub("", COMMENT.sub("", (SCRIPTS / name).read_text("utf-8")))
    assert not re.search(r"\bn?gettext\(\s*[`']", source), (
        "a message is one string in double quotes, or it is not found"
    )
    strings = [found[1:-1] for found in re.findall(rf"{STRING}|`(?:[^`\\]|\\.)*`", source)]
    found = [text for text in strings if SPEECH.search(text) and not KEYS.search(text)]
    assert not found, "put these in gettext of words.js"


# --- sources of the console -------------------------------------------------------------------------------------
TRANSLATORS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "gettext_noop"}
SENTENCE = re.compile(r"^[A-Z%{].* .*[.!?…]$", re.DOTALL)
# Put together in the pure parts, as whatever is wrong with a value is: docs/translating.md, not yet.
FAULTS = {"%: %."}
# Stored with what happened, and read by everybody, or said to whoever keeps a data file: docs/translating.md.
STORED = {
    "Imported a file: % added, % changed.", "Exported % extensions with their secrets (%).", "Changed: %.",
    "Nothing changed.", "Its own settings were changed.", "Assignment saved.", "Taken back: as it was before the save.",
}  # fmt: skip
FOR_US = re.compile("^% has no drawing for %")


def sentences_past_translation(source: str) -> list[str]:
    """Sentences that are neither translated nor a docstring, nor said to the log or to an assertion."""
    tree = ast.parse(source)
    passed: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(node.value)
        elif isinstance(node, ast.Assert):
            passed.update(ast.walk(node))
        elif isinstance(node, ast.Call):
            called = node.func
            is_log = (
                isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "log"
            )
            if is_log or (isinstance(called, ast.Name) and called.id in TRANSLATORS):
                passed.update(part for argument in node.args for part in ast.walk(argument))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node not in passed:
            parts = [part.value if isinstance(part, ast.Constant) else "%" for part in node.values]
            passed.update(ast.walk(node))
            found.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in passed:
            found.append(node.value)
    return [text for text in found if SENTENCE.search(text) and text not in STORED | FAULTS and not FOR_US.search(text)]


@pytest.mark.parametrize("name", [
    name for name in names_below(CONSOLE, "py")
    if not name.startswith(("management/", "migrations/", "formats/", "cli."))  # commands speak English
])  # fmt: skip
def test_a_source_says_nothing_past_translation(name):
    found = sentences_past_translation((CONSOLE / name).read_text("utf-8"))
    assert not found, "put these in gettext"


# --- pages as they come ------------------------------------------------------------------------------------------
# What is filled in: names, addresses, versions, paths, and words of tables that come from the vendor or a data file.
DATA = (
    r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}", r"\d+(?:\.\d+){3}(?::\d+)?", r"GXP\d+W?", r"GSPNP_\w+", r"\bP\d+\b",
    r"\b\w+\.xml\b", r"\b(?:CSV|XLSX|PCMU|PCMA|iLBC)\b", r"\bG7\d\d\b", r"\b(?:line|mpk)\d\b",
    r"^\s*Grandstream(?: ·)?\s*$", r"\bsip:", r"\b200 OK\b", r"\bcfg[0-9A-F]{12}\b", r"\b[0-9a-f]{64}\b", r"\bUTC\b",
    r"\b(?:Tess|tess|Otto|otto|root|viewer|Viewer|Technician|Administrator|lab|berlin|Hall|vlan_tag|gspnp|eth\d)\b",
    *(re.escape(text) for hole in holes("GXP1628", "1.0.0.1") for text in (hole.what, hole.name)),
    *(rf"^\s*{re.escape(words)}\s*$" for words in KEY_MODE_LABELS.values()),  # the vendor's
    r"^\s*esc\s*$",  # the name of a key, in unfold's search
)  # fmt: skip


@pytest.fixture
def pseudo(monkeypatch):
    mark_translations(monkeypatch)


@pytest.fixture
def world(db, settings, tmp_path) -> Job:
    """A phone with two versions, layers of each level, firmware, a phonebook, a job with a failure, a listener."""
    settings.GSPNP_DATA_DIR = tmp_path
    now = timezone.now()
    ListenerStatus.objects.create(
        name="lab", started_at=now, heartbeat_at=now, interfaces=["eth7 (10.0.0.1)"], warnings=["otto"], trouble="otto",
        counters={"received": 3, "sighted": 2},
    )  # fmt: skip
    version = cast.applied(cast.assigned())
    for level, name in (("site", ""), ("site", "berlin"), ("template", "Hall")):
        store.save(store.find(level, name), {"vlan_tag": "9"}, by="otto")
    store.give(cast.Phone.objects.get(), store.find("template", "Hall"))
    cast.save(version.phone, cast.draft(display_name="Otto"))
    images.add("1.0.4.6", [b"\x00firmware" * 2000], by="tess")
    books.switch("", True)
    directory.add(Entry("", "1001", "Tess", "otto"))
    directory.add(Entry("", "2001", "Otto"))
    job = runner.start("tess", {}, by="tess")
    Job.objects.filter(pk=job.pk).update(total=2, done=2, changed=1, failed=1, state="done")
    job.failures.create(phone=version.phone, field="setting.vlan_tag", message="otto")
    MissedAsk.objects.create(name="phonebook.xml", source_host="10.0.0.20", count=2, first_at=now, last_at=now)
    return job


def unsaid(answer) -> list[str]:
    """What a page says past translation."""
    assert answer.status_code < 500
    return unmarked(answer.content.decode(), DATA)


PHONE = f"/phones/{cast.MAC}/"
PAGES = (
    "/settings/", "/settings/layer/?level=site&name=", "/settings/layer/?level=model&name=GXP1628",
    "/settings/layer/?level=template&name=Hall", "/settings/layer/?level=template&name=otto",
    "/settings/layer/?level=nonsense", "/settings/opinions/", "/settings/catalogue/?q=vlan",
    "/settings/catalogue/?q=nonsense", "/settings/row/?name=vlan_tag", "/settings/row/?name=time_format",
    "/settings/row/?name=admin_password", "/jobs/", "/jobs/1/", "/jobs/1/live/", "/firmware/", "/phonebook/",
    "/people/", "/changes/",
    "/doctor/", "/", "/?q=nonsense", "/?stage=ignored", "/?model=GXP1628&sort=-seen", "/rows/", "/filters/",
    "/columns/", "/overview/", "/overview/live/", "/extensions/", "/extensions/?q=nonsense", "/extensions/add/",
    "/extensions/1/", "/extensions/import/", "/extensions/handout/", "/phones/import/", "/phones/edit/", "/phones/add/",
    PHONE, PHONE + "live/", PHONE + "?kind=stage", PHONE + "assign/", PHONE + "swap/",
    PHONE + "settings/", PHONE + "history/", PHONE + "history/?before=1&after=2", PHONE + "history/?before=1&after=9",
)  # fmt: skip


@pytest.mark.parametrize("address", PAGES)
def test_a_page_says_nothing_past_translation(administrator, world, pseudo, address):
    address = address.replace("/jobs/1/", f"/jobs/{world.pk}/")
    address = address.replace("/extensions/1/", f"/extensions/{Extension.objects.earliest('pk').pk}/")
    assert not unsaid(signed_in(administrator).get(address))


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/settings/opinions/?site=", {"version": "1", "alone": ["config_file_prefix"]}),
        ("/settings/opinions/?site=", {"version": "7"}),
        ("/settings/layer/?level=template&name=Hall", {"do": "delete", "version": "1"}),
        ("/settings/layer/?level=template&name=Hall", {"do": "add:country", "version": "1"}),
        ("/settings/layer/?level=site&name=", {"do": "preview", "version": "9"}),
        ("/firmware/path/GXP1628/", {"path": "1.0.4.6"}),
        ("/firmware/path/GXP1628/", {"path": "1.0.9.9"}),
        ("/firmware/upload/", {"version": "1.0.7.81"}),
        ("/firmware/remove/1.0.4.6/", {}),
        ("/phonebook/switch/", {"site": "", "on": "0"}),
        ("/phonebook/renew/", {"site": ""}),
        (PHONE + "history/1/back/", {}),
        (PHONE + "history/1/back/", {"sure": "yes", "version": "99"}),
        (PHONE + "reveal/", {"name": "admin_password"}),
        (PHONE + "settings/", {"do": "save", "seen": "0"}),
    ],
)
def test_an_answer_says_nothing_past_translation(administrator, world, pseudo, address, form):
    answer = signed_in(administrator).post(address, form, follow=True)
    shown = re.sub(r'(data-testid="value">)[^<]*', r"\1", answer.content.decode())  # the password itself
    assert answer.status_code < 500 and not unmarked(shown, DATA)


@pytest.mark.parametrize(
    ("action", "form", "code"),
    [("ignore", {}, 200), ("heed", {}, 409), ("notify", {"host": cast.STRANGER}, 409),
     ("check", {"host": cast.HOST}, 200),
     ("accept", {"host": cast.STRANGER}, 409), ("dismiss", {}, 200), ("forget", {}, 200), ("nonsense", {}, 404)],
)  # fmt: skip
def test_what_an_action_answers_is_translatable(administrator, world, pseudo, action, form, code):
    answer = signed_in(administrator).post(f"{PHONE}{action}/", form, headers={"X-Requested-With": "fetch"})
    assert answer.status_code == code
    assert not unmarked(f"<p>{answer.json()['message']}</p>", DATA)


def test_who_may_not_is_told_in_words_that_can_be_translated(viewer, world, pseudo):
    answer = signed_in(viewer).post("/phonebook/renew/", {"site": ""})
    assert answer.status_code == 403 and not unmarked(answer.content.decode(), DATA, "//*[@id='console']")


# Not yet in: the list of phones ("devices_phone_changelist") and the form of one, which say what rows.py says.
ADMIN_PAGES = (
    "sipmcast_listenerstatus_changelist", "provisioning_contact_changelist", "provisioning_contact_add",
    "provisioning_notify_changelist", "provisioning_download_changelist", "provisioning_configfile_changelist",
    "devices_account_changelist", "auth_user_changelist",
)  # fmt: skip
ADMIN_DATA = (*DATA, r"\bOK\b", r"\d{4}-\d\d-\d\d [\d:]+ UTC", r"\bcfg[0-9A-F]{12}\b", r"Grandstream.*$", r"http:")


@pytest.mark.parametrize("name", ADMIN_PAGES)
def test_a_page_of_the_administration_says_nothing_past_translation(administrator, world, pseudo, name):
    answer = signed_in(administrator).get(reverse(f"admin:{name}"))
    assert not unmarked(answer.content.decode(), ADMIN_DATA)


def test_a_listener_in_the_administration(administrator, world, pseudo):
    address = reverse("admin:sipmcast_listenerstatus_change", args=[ListenerStatus.objects.get().pk])
    assert not unmarked(signed_in(administrator).get(address).content.decode(), (*ADMIN_DATA, r"\bLab\b"))


BULK_ACTIONS = ("set_sip_server", "set_codecs", "set_site", "give_template", "take_template", "reboot")


@pytest.mark.parametrize("action", BULK_ACTIONS)
def test_the_page_before_a_change_of_many_phones(administrator, world, pseudo, action):
    phone = cast.Phone.objects.get()
    chosen = {"action": action, "_selected_action": [phone.pk]}
    answer = signed_in(administrator).post(reverse("admin:devices_phone_changelist"), chosen)
    assert not unmarked(answer.content.decode(), DATA, "//form[@data-testid='bulk-form']")


@pytest.mark.parametrize("running", [True, False])
def test_the_first_page_and_the_notices(pseudo, running):
    known = Listening(
        running=running, interfaces=["eth7"], troubles=[Remark({"otto": "otto"})],
        warnings=[Remark({"otto": "otto"}, True)],
        last_at=cast.NOON,
    )  # fmt: skip
    alarm = {"mac": cast.MAC, "alarm": "otto", "alarm_at": cast.NOON, "claimed_host": cast.STRANGER}
    context = {"listening": known, "page": {"heard_any": True}, "alarms": [alarm], "may_change": True}
    for name in ("_first_run", "_notices"):
        assert not unmarked(render_to_string(f"console/{name}.html", context), DATA)
