import os

import pytest

from lsfa_cli.stages import identical_files as module
from lsfa_cli.stages.identical_files import identical_files

LONG = bytes(range(256)) * 4000  # a megabyte, longer than all pieces together


def written(folder, **contents):
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / name
        paths[name].write_bytes(content)
    return paths


def test_equal_files_share_a_key_that_others_do_not(tmp_path):
    paths = written(tmp_path, a=b"one", b=b"one", c=b"two", d=b"two", e=b"six", f=b"other length")
    found = identical_files(paths.values())
    assert set(found) == {paths[name] for name in "abcd"}
    assert found[paths["a"]] == found[paths["b"]] != found[paths["c"]] == found[paths["d"]]


def test_a_difference_of_one_byte_between_the_pieces_is_seen(tmp_path):
    changed = bytearray(LONG)
    changed[100_000] ^= 1
    paths = written(tmp_path, a=LONG, b=bytes(changed), c=LONG)
    assert set(identical_files(paths.values())) == {paths["a"], paths["c"]}


@pytest.mark.parametrize("place", [0, len(LONG) - 1])
def test_files_that_differ_in_a_piece_are_not_read_whole(tmp_path, monkeypatch, place):
    changed = bytearray(LONG)
    changed[place] ^= 1
    paths = written(tmp_path, a=LONG, b=bytes(changed))
    read = []
    monkeypatch.setattr(module, "_digest", read.append)
    identical_files(paths.values())
    assert read == []


def test_one_file_given_twice_is_not_two(tmp_path):
    paths = written(tmp_path, a=b"one")
    assert identical_files([paths["a"], paths["a"]]) == {}


def test_what_cannot_be_read_is_left_out(tmp_path):
    paths = written(tmp_path, a=b"one", b=b"one", empty=b"", void=b"")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    others = [tmp_path / name for name in ("folder", "pipe", "loop", "absent")]
    assert set(identical_files([*paths.values(), *others])) == {paths["a"], paths["b"]}
