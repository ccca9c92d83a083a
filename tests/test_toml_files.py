import os
from pathlib import Path

import pytest

from lsfa_cli.configuration import load_sources
from lsfa_cli.datasets.part_file import load_part_file
from lsfa_cli.errors import DataError
from lsfa_cli.studies import load_study
from lsfa_cli.toml_files import parse_toml, read_toml

READERS = [
    lambda path: read_toml(path, "hint"),
    lambda path: load_part_file([path]),
    lambda path: load_study(str(path)),
    lambda path: load_sources({}, config=path, environment={}),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = ", "is not valid TOML"),
        (b"\xff", "is not valid TOML"),
        (b"a = " + b"9" * 1500 + b"\n" + b"b = 1" * 2, "is not valid TOML"),
        (b"a = " + b"[" * 1500, "is not valid TOML"),
        (b"a = " + b"9" * 5000, "a line of more than 2000 characters"),
        (b"a" + b".a" * 30_000 + b" = 1", "a line of more than 2000 characters"),
        (b"#\n" * 2**16, "bytes, at most 65536 are read"),
    ],
)
def test_what_is_no_toml_is_refused_by_name(tmp_path: Path, read, content: bytes, said: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize("read", READERS[:3])
def test_a_pipe_is_not_waited_for(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / "a.toml")
    with pytest.raises(DataError, match="is a pipe or a device, expected a file"):
        read(tmp_path / "a.toml")


def test_values_come_as_they_are() -> None:
    assert parse_toml("a = 1\n[b]\nc = 'd'", "text", "") == {"a": 1, "b": {"c": "d"}}
