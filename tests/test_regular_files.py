from pathlib import Path

import pytest

from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import content_of, length_of


def test_length_and_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert length_of(tmp_path / "a", 3) == 3
    assert content_of(tmp_path / "a", 3) == b"abc"
    with pytest.raises(DataError, match="has 3 bytes, at most 2 are read") as caught:
        content_of(tmp_path / "a", 2, hint="Look.")
    assert caught.value.hint == "Is it this file? Look."
    assert length_of(tmp_path / "a", None) == 3


def test_what_is_no_file_is_refused_with_the_callers_hint(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for path, said in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "is a folder, expected a file"),
        (tmp_path / "circle", "cannot be read"),
        (Path("/dev/null"), "is a pipe or a device"),
    ):
        with pytest.raises(DataError, match=said) as caught:
            length_of(path, hint="Look.")
        assert str(path) in caught.value.message
        assert caught.value.hint
