"""Prepared trees: the same bytes as a fresh tree, never the texts of another phone, whatever threads and faults do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from xml.etree import ElementTree

import pytest

from devices.catalog import MODELS
from provisioning.gxp import prepared
from provisioning.gxp.document import render
from provisioning.gxp.prepared import MAX_SHAPES, Tree
from tests.golden.cases import account, device

THREADS, ROUNDS = 16, 60


@pytest.fixture(autouse=True)
def trees(monkeypatch) -> dict:
    """The trees that wait, of this test alone."""
    free: dict = {}
    monkeypatch.setattr(prepared, "_free", free)
    return free


def written(*texts: str, names: tuple[str, ...] = ("P1", "P2"), mac: str | None = "000b82273b89") -> bytes:
    with prepared.tree(mac is not None, names, str) as tree:
        return tree.written(mac, texts)


def waiting(free: dict) -> int:
    return sum(map(len, free.values()))


def test_the_elements_stand_one_to_a_line_with_the_texts_escaped():
    assert written("a&b", "") == (
        b'<gs_provision version="1">\n  <mac>000b82273b89</mac>\n  <config version="1">\n'
        b"    <P1>a&amp;b</P1>\n    <P2></P2>\n  </config>\n</gs_provision>\n"
    )
    assert (
        written(names=(), mac=None) == b'<gs_provision version="1">\n  <config version="1"></config>\n</gs_provision>\n'
    )


def test_a_tree_that_was_used_before_writes_what_a_fresh_one_writes(trees):
    for texts in (("1", "2"), ("1", ""), ("", "2"), ("x" * 1000, "<&>"), ("1", "2")):
        assert written(*texts) == Tree(True, ("P1", "P2")).written("000b82273b89", texts)
    assert waiting(trees) == 1, "it is one and the same"


def test_a_file_without_a_mac_and_one_with_it_are_no_same_tree():
    assert b"<mac>" in written("1", "2")
    assert b"<mac>" not in written("1", "2", mac=None)
    assert b"<mac>c074ad000001</mac>" in written("1", "2", mac="c074ad000001")


def test_two_at_the_same_time_have_a_tree_each(trees):
    with prepared.tree(True, ("P1",), str) as one, prepared.tree(True, ("P1",), str) as other:
        assert one is not other
        assert b">mine<" in one.written("0", ["mine"])
        assert b">yours<" in other.written("0", ["yours"])
    assert waiting(trees) == 2


@pytest.mark.parametrize("text", ["\x00", "\x0b", "\ud800", "\ufffe"])
def test_a_text_that_cannot_stand_in_xml_leaves_nothing_behind(trees, text):
    written("old-1", "old-2")
    with pytest.raises(ValueError):
        written("half-way", text)
    assert waiting(trees) == 0, "a tree with half of the texts is thrown away"
    assert written("new-1", "new-2") == Tree(True, ("P1", "P2")).written("000b82273b89", ("new-1", "new-2"))


def test_an_exception_of_whoever_uses_the_tree_leaves_nothing_behind(trees):
    with pytest.raises(KeyError), prepared.tree(True, ("P1",), str) as tree:
        tree.written("0", ["secret"])
        raise KeyError
    assert waiting(trees) == 0


@pytest.mark.parametrize("texts", [("1",), ("1", "2", "3")])
def test_too_many_or_too_few_texts_are_refused(trees, texts):
    with pytest.raises(ValueError):
        written(*texts)
    assert waiting(trees) == 0


def test_only_so_many_sets_of_elements_are_kept(trees):
    for number in range(3 * MAX_SHAPES):
        written("1", names=(f"P{number + 1}",))
        assert len(trees) <= MAX_SHAPES


def test_the_element_names_are_asked_for_once():
    asked: list[str] = []
    for _ in range(3):
        with prepared.tree(True, ("one", "two"), lambda name: asked.append(name) or f"P{len(asked)}") as tree:
            tree.written("0", ["", ""])
    assert asked == ["one", "two"]


def test_threads_that_render_different_phones_never_mix_their_texts():
    """Each phone's texts name the phone; all of a model share their set of elements."""
    models, gate = list(MODELS), Barrier(THREADS)

    def phone(thread: int, number: int):
        model = models[(thread + number) % len(models)]
        mine = f"{thread}-{number}"
        mac = f"000B82{thread:02X}{number:04X}"
        accounts = [
            account(one, user_id=f"u-{mine}", password=f"p-{mine}", display_name=f"n-{mine}", voicemail=f"v-{mine}")
            for one in range(1, MODELS[model].accounts + 1)
        ]
        return mac, mine, device(model, *accounts, mac=mac, settings={"syslog_keyword_filter": mine})

    def work(thread: int) -> list[str]:
        mixed = []
        gate.wait()
        for number in range(ROUNDS):
            mac, mine, config = phone(thread, number)
            root = ElementTree.fromstring(render(config))
            texts = {one.text or "" for one in root.find("config")}
            theirs = {text for text in texts if "-" in text and not text.endswith(f"-{mine}") and text != mine}
            if root.find("mac").text != mac.lower() or theirs or f"p-{mine}" not in texts:
                mixed.append(mac)
        return mixed

    with ThreadPoolExecutor(THREADS) as pool:
        assert [mac for mixed in pool.map(work, range(THREADS)) for mac in mixed] == []
