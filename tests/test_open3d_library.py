"""What is said when Open3D cannot be imported."""

import pytest

from lsfa_cli.open3d_library import open3d_missing

LOADER = "cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError(f"libusb-1.0.so.0: {LOADER}"), "system library libusb-1.0.so.0: apt-get install libusb-1.0-0."),
        (OSError(f"libGL.so.1: {LOADER}"), "system library libGL.so.1: apt-get install libgl1."),
        (OSError(f"/opt/env/lib/libEGL.so.1: {LOADER}"), "system library libEGL.so.1: apt-get install libegl1."),
        (ImportError(f"libX11.so.6: {LOADER}"), "libX11.so.6: apt-get install libx11-6."),
        (ImportError(f"libgomp.so.1: {LOADER}"), "libgomp.so.1: apt-get install libgomp1."),
        (ImportError(f"libc++abi.so.1: {LOADER}"), "libc++abi.so.1: apt-get install libc++abi1."),
        (
            ImportError(f"libfoo-2.so.7: {LOADER}"),
            "libfoo-2.so.7: apt-get install the package that holds libfoo-2.so.7.",
        ),
        (ModuleNotFoundError("No module named 'open3d'", name="open3d"), "is not installed: pip install open3d."),
        (ModuleNotFoundError("No module named 'dash.dcc'", name="dash.dcc"), "package dash: pip install dash."),
        (ImportError("/lib/libc.so.6: version `GLIBC_2.31' not found\n(required by x)"), "GLIBC_2.31' not found."),
        (OSError(), "cannot be imported: OSError."),
    ],
)
def test_a_failed_import_says_what_to_install_in_one_line(error, words):
    message = str(open3d_missing(error, "registration", "surface needs no Open3D."))
    assert words in message
    assert "\n" not in message
    assert message.startswith("registration: ")
    assert message.endswith(" surface needs no Open3D.")
