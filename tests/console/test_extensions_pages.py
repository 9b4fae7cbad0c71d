"""The directory of extensions in the console: its list, its form, who follows a change, and whole files."""

import io
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from openpyxl import Workbook, load_workbook

from devices import directory
from devices.directory import Entry
from devices.models import Account, Extension, Phone
from provisioning.jobs import kinds, runner
from provisioning.models import Job
from tests import cast
from tests.console.conftest import person, signed_in

pytestmark = pytest.mark.django_db
URL = "/extensions/"
SECRET = "s3cr3t-of-the-directory"
HOSTILE = "<img src=x onerror=alert(1)>"


def typed(**changes) -> dict:
    """The form of an extension as a browser posts it."""
    names = ("number", "name", "secret", "site", "sip_server", "auth_id", "voicemail")
    fields = dict.fromkeys(names, "") | {"number": "1001", "name": "Tess"} | changes
    version = fields.pop("version", "")
    return {f"extension-{name}": value for name, value in fields.items()} | {"version": version}


def numbers(answer) -> list[str]:
    found = re.findall(r'<th scope="row" class="gs-mono"[^>]*>(?:<a[^>]*>)?([^<]+)<', answer.content.decode())
    return [one.strip() for one in found]


def stored() -> list[tuple]:
    return list(Extension.objects.values_list("site", "number", "name"))


@pytest.fixture
def tess(db) -> Extension:
    return Extension.objects.get(pk=directory.add(Entry("", "1001", "Tess", SECRET)))


# --- the list -------------------------------------------------------------------------------------------------------


def test_the_first_visit_says_what_to_do(console):
    page = console.get(URL).content.decode()
    assert "No extension yet" in page and "/extensions/import/" in page


def test_extensions_are_listed_searched_and_paged(console):
    for number in range(1000, 1060):
        directory.add(Entry("", str(number), f"Name {number}"))
    directory.add(Entry("berlin", "99", "Žofie", sip_server="pbx.example"))
    assert numbers(console.get(URL))[:2] == ["99", "1000"]
    assert len(numbers(console.get(URL))) == 50
    assert numbers(console.get(f"{URL}?page=2"))[-1] == "1059"
    assert numbers(console.get(f"{URL}?q=žofie")) == numbers(console.get(f"{URL}?q=PBX.ex")) == ["99"]
    assert numbers(console.get(f"{URL}?site=berlin")) == ["99"]
    assert "No extension matches" in console.get(f"{URL}?q=nobody").content.decode()
    assert console.get(f"{URL}?page=x&only=y&q=%00").status_code == 200


def test_the_list_says_which_phones_have_one_and_narrows_to_it(console):
    for number in ("1001", "1002"):
        directory.add(Entry("", number))
    cast.assigned()
    cast.assigned(cast.OTHER_MAC, "10.0.0.21")
    page = console.get(URL).content.decode()
    assert "on 2 phones" in page and f"/phones/{cast.OTHER_MAC}/" in page and "free" in page
    assert numbers(console.get(f"{URL}?only=free")) == ["1002"]
    assert numbers(console.get(f"{URL}?only=shared")) == numbers(console.get(f"{URL}?only=used")) == ["1001"]


def test_no_page_shows_a_secret_or_lets_a_name_be_markup(console):
    pk = directory.add(Entry("", "1001", HOSTILE, SECRET, auth_id=HOSTILE.replace(" ", "")))
    for url in (URL, f"{URL}{pk}/", f"{URL}find/?q=1001"):
        page = console.get(url).content.decode()
        assert SECRET not in page and "<img src=x" not in page.replace('<img src=x onerror=alert(1)>"', "")


def test_a_viewer_looks_and_changes_nothing(viewer, tess):
    client = signed_in(viewer)
    page = client.get(URL).content.decode()
    assert "1001" in page and "data-edit" not in page and 'data-testid="add"' not in page
    for url in (f"{URL}add/", f"{URL}{tess.pk}/", f"{URL}{tess.pk}/delete/", f"{URL}import/"):
        assert client.post(url, typed()).status_code == 403
    assert client.post(f"{URL}export/", {"secrets": "1"}).status_code == 403
    assert stored() == [("", "1001", "Tess")]


def test_the_list_costs_the_same_few_questions_however_long_it_is(console, django_assert_max_num_queries):
    for number in range(1000, 1060):
        directory.add(Entry("", str(number)))
    with django_assert_max_num_queries(20):
        console.get(URL)


# --- one ------------------------------------------------------------------------------------------------------------


def test_one_is_added_with_a_trail_and_without_the_secret_in_it(console):
    answer = console.post(f"{URL}add/", typed(secret=SECRET, site="berlin", sip_server="pbx.example"))
    assert answer.status_code == 302
    assert (stored(), Extension.objects.get().secret) == ([("berlin", "1001", "Tess")], SECRET)
    entry = LogEntry.objects.get()
    assert entry.user.username == "tess" and SECRET not in f"{entry.object_repr} {entry.change_message}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"number": ""}, "needs a number"),
        ({"number": "10 01"}, "is a blank"),
        ({"sip_server": "http://x"}, "starts with a scheme"),
        ({"site": "a b"}, "letters, digits, hyphens"),
        ({"name": "x" * 129}, "shorten it"),
        ({"secret": "a\tb"}, "control character"),
    ],
)
def test_what_no_phone_could_take_is_refused_beside_its_field(console, changes, words):
    answer = console.post(f"{URL}add/", typed(**changes))
    assert answer.status_code == 422 and words in answer.content.decode()
    assert (next(iter(changes)), stored()) == (next(iter(changes)), [])
    assert f'data-error-for="extension-{next(iter(changes))}"' in answer.content.decode()


def test_a_number_that_is_there_is_refused_in_words(console, tess):
    assert "has an extension 1001 already" in console.post(f"{URL}add/", typed()).content.decode()


def test_a_blank_secret_keeps_the_stored_one_and_a_tick_removes_it(console, tess):
    console.post(f"{URL}{tess.pk}/", typed(version=1, voicemail="*97"))
    assert (Extension.objects.get().secret, Extension.objects.get().voicemail) == (SECRET, "*97")
    console.post(f"{URL}{tess.pk}/", typed(version=2) | {"extension-secret_clear": "on"})
    assert Extension.objects.get().secret == ""


def test_two_technicians_on_one_extension(console, tess):
    console.post(f"{URL}{tess.pk}/", typed(version=1, name="Otto"))
    answer = console.post(f"{URL}{tess.pk}/", typed(version=1, name="Ida"))
    assert answer.status_code == 409 and "changed by somebody else" in answer.content.decode()
    assert stored() == [("", "1001", "Otto")]


def test_it_is_deleted_after_a_question_and_phones_keep_it(console, tess):
    cast.assigned()
    page = console.post(f"{URL}{tess.pk}/delete/", {"version": 1})
    assert "delete-question" in page.content.decode() and stored()
    answer = console.post(f"{URL}{tess.pk}/delete/", {"version": 1, "sure": "1"}, follow=True)
    assert "Phones that have it keep it" in answer.content.decode()
    assert not stored() and Account.objects.get().user_id == "1001"


# --- who follows ----------------------------------------------------------------------------------------------------


def sealed(answer) -> str:
    return re.search(r'name="typed" value="([^"]+)"', answer.content.decode())[1]


def test_a_rename_shows_who_follows_and_who_is_ticked_does(console, tess):
    own = cast.assigned().phone
    watching = cast.seen(cast.OTHER_MAC, "10.0.0.21")
    cast.save(watching, cast.draft(cast.blf("mpk1", "1001", "Tess"), user_id="1002", display_name="Ida"))
    url = f"{URL}{tess.pk}/"
    asked = console.post(url, typed(version=1, name="Otto", secret="other-s3cr3t"))
    page = asked.content.decode()
    assert "label of key 1" in page and "caller name of account 1" in page and "password of account 1" in page
    assert "other-s3cr3t" not in page and stored() == [("", "1001", "Tess")], "nothing is stored before it is seen"
    fields = {"version": 1, "typed": sealed(asked), "pace": "120", "do": "save", "follow": [watching.pk]}
    answer = console.post(url, fields)
    job = Job.objects.get()
    assert answer.headers["Location"] == f"/jobs/{job.pk}/"
    assert (job.kind, job.scope, job.pace_per_second) == (kinds.FOLLOW, {"phones": [watching.pk]}, 2)
    assert (stored(), Extension.objects.get().secret) == ([("", "1001", "Otto")], "other-s3cr3t")
    runner.run.call(job.pk)
    assert Phone.objects.get(pk=watching.pk).keys.get().label == "Otto"
    assert Account.objects.get(phone=own).display_name == "Tess", "it was not ticked"


def test_a_rename_names_the_phones_that_keep_their_own_name_and_those_ticked_follow(console, tess):
    phones = [cast.seen(cast.MAC, cast.HOST), cast.seen(cast.OTHER_MAC, "10.0.0.21")]
    for phone, name in zip(phones, ("Front desk", HOSTILE), strict=True):
        cast.save(phone, cast.draft(display_name=name))
    url = f"{URL}{tess.pk}/"
    asked = console.post(url, typed(version=1, name="Otto"))
    page = asked.content.decode()
    assert "Front desk" in page and HOSTILE not in page and stored() == [("", "1001", "Tess")]
    boxes = re.findall(r'<input type="checkbox"[^>]*>', page)
    assert len(boxes) == 2 and not any("checked" in box for box in boxes)
    answer = console.post(
        url, {"version": 1, "typed": sealed(asked), "pace": "300", "own": [phones[0].pk]}, follow=True
    )
    assert "1 phone follows. 1 phone keeps a name of its own." in answer.content.decode()
    Account.objects.filter(phone=phones[1]).update(display_name="Front desk")  # nobody ordered that of this one
    runner.run.call(Job.objects.get().pk)
    assert [Account.objects.get(phone=one).display_name for one in phones] == ["Otto", "Front desk"]


def test_nobody_ticked_is_no_job_and_a_wrong_pace_stores_nothing(console, tess):
    cast.assigned()
    url = f"{URL}{tess.pk}/"
    token = sealed(console.post(url, typed(version=1, name="Otto")))
    phone = Phone.objects.get().pk
    answer = console.post(url, {"version": 1, "typed": token, "pace": "x", "follow": [phone]})
    assert answer.status_code == 422 and "a minute; enter a number" in answer.content.decode()
    assert stored() == [("", "1001", "Tess")] and not Job.objects.exists()
    console.post(url, {"version": 1, "typed": token, "pace": "300"})
    assert stored() == [("", "1001", "Otto")] and not Job.objects.exists()


def test_what_waits_in_the_page_belongs_to_who_typed_it(console, tess):
    cast.assigned()
    token = sealed(console.post(f"{URL}{tess.pk}/", typed(version=1, name="Otto")))
    other = signed_in(person("otto", "view_phone", "change_phone"))
    assert other.post(f"{URL}{tess.pk}/", {"version": 1, "typed": token}).status_code == 422
    assert stored() == [("", "1001", "Tess")]


# --- files ----------------------------------------------------------------------------------------------------------


def upload(client, content: bytes, name: str = "extensions.csv", site: str = ""):
    return client.post(f"{URL}import/", {"file": SimpleUploadedFile(name, content), "site": site})


def hidden(answer) -> dict:
    return dict(re.findall(r'type="hidden" name="(draft|mark|site)" value="([^"]*)"', answer.content.decode()))


def test_a_file_is_shown_before_it_is_stored(console, tess):
    text = f"Number;Caller name;Password;Site\n1001;Otto;;\n0042;{HOSTILE};new-{SECRET};berlin\n"
    shown = upload(console, text.encode("cp1252"))
    page = shown.content.decode()
    assert 'data-added="1" data-changed="1" data-same="0"' in page and "Tess → Otto" in page
    assert SECRET not in page and HOSTILE not in page and stored() == [("", "1001", "Tess")]
    answer = console.post(f"{URL}import/", hidden(shown), follow=True)
    assert "1 extensions added, 1 changed" in answer.content.decode()
    assert stored() == [("berlin", "0042", HOSTILE), ("", "1001", "Otto")]
    assert Extension.objects.get(number="0042").secret == f"new-{SECRET}"
    assert "1 added, 1 changed" in LogEntry.objects.get().change_message


def test_a_file_does_not_tell_whether_a_guess_is_right(console, tess):
    pages = [upload(console, f"number,secret\n1001,{guess}\n".encode()) for guess in (SECRET, "0000")]
    hides = r'name="(draft|csrfmiddlewaretoken)" value="[^"]*"'
    right, wrong = (re.sub(hides, "", page.content.decode()).partition('data-testid="plan"')[2] for page in pages)
    assert right == wrong and "will be set" in right and 'data-changed="1"' in right
    answer = console.post(f"{URL}import/", hidden(pages[0]), follow=True)
    assert "0 extensions added, 1 changed" in answer.content.decode(), "and nor does storing it"
    assert Extension.objects.get().secret == SECRET


def test_who_may_look_at_secrets_is_told_which_are_the_same(tess):
    may = signed_in(person("revealer", "view_phone", "change_phone", "reveal_secret"))
    assert 'data-same="1"' in upload(may, f"number,secret\n1001,{SECRET}\n".encode()).content.decode()
    page = upload(may, b"number,secret\n1001,0000\n").content.decode()
    assert 'data-changed="1"' in page and "another one" in page


@pytest.mark.parametrize("has_phone", [False, True])
def test_the_form_does_not_tell_whether_a_guess_is_right(console, has_phone):
    for number in ("1001", "1002"):
        pk = directory.add(Entry("", number, "Tess", SECRET))
        if has_phone:
            phone = cast.seen(f"000B8200{number}", f"10.0.1.{int(number) - 1000}")
            cast.save(phone, cast.draft(user_id=number, password=SECRET))
        guess = SECRET if number == "1001" else "0000"
        answer = console.post(f"{URL}{pk}/", typed(version=1, number=number, secret=guess), follow=True)
        page = answer.content.decode()
        assert ("gets another secret" in page) == has_phone and (f"{number} is stored" in page) != has_phone
        if not has_phone:
            assert LogEntry.objects.get(object_id=str(pk)).change_message == "Changed: secret."


def test_every_wrong_row_is_shown_and_there_is_nothing_to_press(console):
    lines = "".join(f"10 {row},\n" for row in range(400))
    shown = upload(console, f"number,name\n1001,Tess\n{lines}".encode())
    page = shown.content.decode()
    assert shown.status_code == 422 and "400 things are wrong" in page
    assert page.count("is a blank") == 400 and hidden(shown) == {}


def test_what_changed_after_the_preview_is_shown_again(console, tess):
    shown = upload(console, b"number,name\n1001,Otto\n")
    directory.change(tess.pk, 1, Entry("", "1001", "Ida"))
    again = console.post(f"{URL}import/", hidden(shown))
    assert again.status_code == 409 and "Ida → Otto" in again.content.decode()
    assert stored() == [("", "1001", "Ida")]
    console.post(f"{URL}import/", hidden(again))
    assert stored() == [("", "1001", "Otto")]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"name\nTess\n", "no column"), (b"PK\x03\x04 no zip", "cannot be read"), (b"\0\0", "neither")],
)
def test_what_is_no_table_is_refused_with_what_to_do(console, content, words):
    answer = upload(console, content)
    assert words in answer.content.decode() or "empty" in answer.content.decode()
    assert answer.status_code == 422


def test_a_workbook_comes_in_with_its_leading_zeros(console):
    workbook = Workbook()
    for row in (["number", "name"], ["0042", "Zero"], [1001.0, "Float"]):
        workbook.active.append(row)
    file = io.BytesIO()
    workbook.save(file)
    console.post(f"{URL}import/", hidden(upload(console, file.getvalue(), "extensions.xlsx", "berlin")))
    assert stored() == [("berlin", "0042", "Zero"), ("berlin", "1001", "Float")]


def test_an_export_has_no_secret_and_no_formula_and_comes_back_as_it_was(console):
    directory.add(Entry("berlin", "1001", '=HYPERLINK("http://evil")', SECRET))
    answer = console.post(f"{URL}export/", {"kind": "csv"})
    text = answer.content.decode("utf-8-sig")
    assert SECRET not in text and "secret" not in text.splitlines()[0] and "\"'=HYPERLINK" in text
    assert 'data-same="1"' in upload(console, answer.content).content.decode()
    book = load_workbook(io.BytesIO(console.post(f"{URL}export/", {"kind": "xlsx"}).content))
    assert [cell.value for cell in book.active[2]][:2] == ["1001", '\'=HYPERLINK("http://evil")']
    assert not LogEntry.objects.exists()


def test_secrets_leave_only_with_the_permission_and_a_trail(console, tess):
    assert console.post(f"{URL}export/", {"secrets": "1"}).status_code == 403
    may = person("revealer", "view_phone", "change_phone", "reveal_secret")
    answer = signed_in(may).post(f"{URL}export/", {"secrets": "1", "kind": "csv"})
    assert SECRET in answer.content.decode() and "no-store" in answer.headers["Cache-Control"]
    entry = LogEntry.objects.get()
    assert entry.user == may and "with their secrets" in entry.change_message
    plain = signed_in(may)
    plain.defaults["HTTP_HOST"] = "10.0.0.1"
    refused = plain.post(f"{URL}export/", {"secrets": "1"}, headers={"host": "10.0.0.1"})
    assert SECRET not in refused.content.decode()


def test_an_export_is_what_the_list_shows(console):
    for number in ("1001", "1002"):
        directory.add(Entry("", number))
    assert "1002" not in console.post(f"{URL}export/", {"q": "1001"}).content.decode()
