"""What is selected in the list can be edited as one and taken out as a table."""

import csv
import io
import json
from unittest.mock import patch

import pytest
from django.db import OperationalError

from provisioning.importing.models import PhoneImport
from tests import cast
from tests.support.import_pages import streamed

OTHER = "000B82000002"


@pytest.fixture
def two(db):
    cast.assigned()
    cast.assigned(OTHER, "10.0.0.2")


def exported(answer) -> set[str]:
    text = streamed(answer).decode("utf-8-sig")
    return {row["mac"].replace(":", "").upper() for row in csv.DictReader(io.StringIO(text))}


def test_selected_phones_are_exported(console, two):
    answer = console.post("/phones/export/", {"phones": json.dumps([[OTHER, "10.0.0.2"]])})
    assert exported(answer) == {OTHER}


def test_all_that_the_list_finds_but_one_is_exported(console, two):
    answer = console.post("/phones/export/", {"query": "?stage=assigned", "except": json.dumps([OTHER])})
    assert exported(answer) == {cast.MAC}


def test_selected_phones_come_into_the_form_for_many(console, two):
    page = console.post("/phones/edit/", {"phones": json.dumps([[OTHER, "10.0.0.2"]])}).content.decode()
    assert f'value="{OTHER}"' in page
    assert cast.MAC not in page


@pytest.mark.parametrize("path", ["/phones/export/", "/phones/edit/"])
def test_a_selection_that_is_none_is_refused_in_words(console, two, path):
    page = console.post(path, {"phones": "{"}, follow=True).content.decode()
    assert "The selection cannot be read." in page


def test_a_form_that_names_nobody_means_nobody(console, two):
    """The phones that it named are forgotten meanwhile: it must not become a form for all of them."""
    page = console.post("/phones/edit/", {"macs": "", "do": "preview", "set-site": "1", "site": ""})
    assert page.status_code == 422 and not PhoneImport.objects.exists()
    assert exported(console.post("/phones/export/", {"macs": ""})) == set()
    assert exported(console.post("/phones/export/", {})) == {cast.MAC, OTHER}


def test_what_the_database_refuses_is_an_error_and_no_half_a_file(two, technician):
    """The first rows are read before the answer begins."""
    from tests.console.conftest import signed_in

    client = signed_in(technician)
    client.raise_request_exception = False
    with patch("provisioning.importing.planning.targets_of", side_effect=OperationalError("no such table")):
        answer = client.post("/phones/export/", {})
    assert answer.status_code == 500 and not answer.streaming
