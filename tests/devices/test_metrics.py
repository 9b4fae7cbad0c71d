"""Who may read metrics, and what the database's time is made of."""

import pytest
from django.db import connection, transaction
from django.test import override_settings

from devices import metrics

NETWORKS = ["127.0.0.0/8", "::1/128", "10.1.0.0/16"]


@pytest.mark.parametrize(
    ("peer", "headers", "may"),
    [
        ("127.0.0.1", ["host", "accept", "x-prometheus-scrape-timeout-seconds"], True),
        ("::1", [], True),
        ("::ffff:127.0.0.1", [], True),
        ("10.1.2.3", [], True),
        ("10.2.0.1", [], False),
        ("", [], False),
        ("127.0.0.1", ["x-forwarded-for"], False),
        ("127.0.0.1", ["X-Forwarded-Proto"], False),
        ("127.0.0.1", ["Forwarded"], False),
        ("127.0.0.1", ["via"], False),
        ("127.0.0.1", ["X-Real-IP"], False),
    ],
)
@override_settings(GSPNP_METRICS_NETWORKS=NETWORKS, GSPNP_TRUSTED_PROXIES=["127.0.0.1"])
def test_the_peer_decides_and_no_proxy_opens_it(peer, headers, may):
    assert metrics.may_read(peer, headers) is may


def counts() -> dict[str, float]:
    return {
        sample.labels["what"]: sample.value
        for family in metrics.DATABASE.collect()
        for sample in family.samples
        if sample.name.endswith("_count")
    }


@pytest.mark.django_db(transaction=True)
def test_a_question_and_a_commit_are_measured_each_once():
    connection.close()
    metrics.watch_database()
    metrics.watch_database()
    try:
        connection.ensure_connection()
        before = counts()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        after = counts()
    finally:
        metrics.connection_created.disconnect(dispatch_uid="gspnp.metrics")
        connection.execute_wrappers.clear()
        for name in ("_commit", "_start_transaction_under_autocommit"):
            vars(connection).pop(name, None)
    gained = {what: after[what] - before[what] for what in after}
    assert (gained["query"], gained["commit"]) == (1, 1)
    assert gained["begin"] == (connection.vendor == "sqlite")


def test_what_is_read_at_a_scrape_is_gone_with_what_it_was_of():
    def read():
        yield metrics.gauge("gspnp_test_thing", "A thing.", {"a": 1}, "kind")

    with metrics.reading(read):
        assert b'gspnp_test_thing{kind="a"} 1.0' in metrics.exposition()[1]
    assert b"gspnp_test_thing" not in metrics.exposition()[1]
