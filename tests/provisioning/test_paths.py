"""What the phones' door reads from a path: names in any letter case, one secret, and nothing else."""

import pytest

from provisioning.paths import MAX_PATH_CHARS, Ask, read

SECRET = "Zk3rT9qLw2XbVn7YcHs5A_"
MAC = "000B82273B89"
P = f"/p/{SECRET}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{P}/cfg{MAC}", Ask(SECRET, MAC, "", f"cfg{MAC}")),
        (f"{P}/cfg000b82273b89.xml", Ask(SECRET, MAC, ".xml", "cfg000b82273b89.xml")),
        (f"{P}/CFG{MAC}.XML", Ask(SECRET, MAC, ".xml", f"CFG{MAC}.XML")),
        (f"{P}/cfg{MAC}.bin", Ask(SECRET, MAC, ".bin", f"cfg{MAC}.bin")),
        (f"{P}/cfg{MAC}/cfg000b82273b89.xml", Ask(SECRET, MAC, ".xml", "cfg000b82273b89.xml", below=True)),
        (f"{P}/cfg{MAC}.xml/cfg{MAC}", Ask(SECRET, MAC, "", f"cfg{MAC}", below=True)),
        (f"/cfg{MAC}", Ask("", MAC, "", f"cfg{MAC}")),
        (f"/provisioning/cfg{MAC}.xml", Ask("", MAC, ".xml", f"cfg{MAC}.xml")),
        (f"/any/depth/cfg{MAC}.bin", Ask("", MAC, ".bin", f"cfg{MAC}.bin")),
        ("/cfg.xml", Ask("", "", ".xml", "cfg.xml")),
        ("/provisioning/CFGGXP1628.xml", Ask("", "", ".xml", "CFGGXP1628.xml")),
        (f"/p/short/cfg{MAC}", Ask("", MAC, "", f"cfg{MAC}")),
    ],
)
def test_what_a_phone_asks_for_is_understood(path, expected):
    assert read(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/p/", P, f"{P}/", f"{P}/cfg.xml", f"{P}/cfggxp1628.xml", f"{P}/cfg{MAC[:-1]}",
        f"{P}/cfg{MAC}0", f"{P}/cfg{MAC}.xml\n", f"{P}/cfg{MAC}\x00", f"{P}/cfg{MAC} ", f"{P}/cfg{MAC}.xml/",
        f"{P}/a/cfg{MAC}", f"{P}/../cfg{MAC}", f"{P}/cfg{MAC}/../cfg{MAC}", f"{P}/cfg{MAC}/x/cfg{MAC}",
        f"{P}/cfg{MAC}.zip", f"{P}/cfg０00B82273B89", "/gxp1600fw.bin", "/favicon.ico", "/../../etc/passwd",
        "/" + "a" * MAX_PATH_CHARS + f"/cfg{MAC}",
    ],
)  # fmt: skip
def test_anything_else_is_nothing(path):
    assert read(path) is None


def test_a_secret_is_exactly_22_characters_of_its_alphabet():
    for secret in (SECRET[:-1], SECRET + "a", SECRET[:-1] + ".", SECRET[:-1] + "é"):
        ask = read(f"/p/{secret}/cfg{MAC}")
        assert ask is None or ask.secret == ""


def test_the_secret_is_not_in_the_repr():
    assert SECRET not in repr(read(f"{P}/cfg{MAC}"))


def test_a_very_long_path_is_refused_at_once():
    assert read("/" * 10_000_000) is None
