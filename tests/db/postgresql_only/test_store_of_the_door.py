"""The phones' door keeps its connection to PostgreSQL while phones ask, and needs nobody's help when it breaks."""

import threading

import pytest
from django.db import DatabaseError, connection

from provisioning.door import store

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
SECONDS = 20


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    store._thread.kept_until = 0.0


def backend() -> int:
    """The server's process behind the connection of whoever asks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def end(pid: int) -> None:
    """As a restart of the server does; by another connection."""

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, %s)", [pid, 1000 * SECONDS])
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(SECONDS)


def caught() -> str:
    """As whoever writes later does: what fails is tried again, and nobody is told."""
    try:
        return str(backend())
    except DatabaseError:
        return "away"


def test_a_connection_is_used_again_until_nobody_has_asked_for_a_while(monkeypatch):
    monkeypatch.setattr(store, "KEPT_SECONDS", 1000.0)
    first = store.asked(backend)
    assert connection.connection is not None, "it is not given back"
    assert store.asked(backend) == first
    end(first)
    store._thread.kept_until = 0.0  # it is a while later: it is tried before it is used
    assert store.asked(backend) != first


@pytest.mark.parametrize("question", [backend, caught])
def test_one_question_fails_when_the_connection_breaks_and_the_next_does_not(monkeypatch, question):
    monkeypatch.setattr(store, "KEPT_SECONDS", 1000.0)
    first = store.asked(backend)
    end(first)
    try:
        assert store.asked(question) == "away"
    except DatabaseError:
        assert question is backend
    assert int(store.asked(question)) != first


def test_what_is_wrong_with_a_question_is_not_wrong_with_the_connection(monkeypatch):
    monkeypatch.setattr(store, "KEPT_SECONDS", 1000.0)
    first = store.asked(backend)
    with pytest.raises(ZeroDivisionError):
        store.asked(lambda: 1 // 0)
    assert store.asked(backend) == first
