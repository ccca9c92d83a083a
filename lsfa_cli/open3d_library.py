"""The import of Open3D, whose failure says what to install."""

import re
from collections.abc import Mapping
from typing import Any

from lsfa_cli.errors import MissingDependencyError

# Shared libraries that Open3D's wheels expect of the system, and the Debian (and Ubuntu) packages that hold them.
DEBIAN_PACKAGES: Mapping[str, str] = {
    "libusb-1.0.so": "libusb-1.0-0",
    "libGL.so": "libgl1",
    "libGLX.so": "libgl1",
    "libEGL.so": "libegl1",
    "libX11.so": "libx11-6",
    "libgomp.so": "libgomp1",
    "libudev.so": "libudev1",
    "libtbb.so": "libtbb12",
    "libc++.so": "libc++1",
    "libc++abi.so": "libc++abi1",
}


def import_open3d(user: str = "lsfa", instead: str = "") -> Any:
    """Open3D, or a `MissingDependencyError` that says what to install.

    user: what needs it ("backbone fpfh"). instead: a sentence on what does without it.
    """
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise open3d_missing(error, user, instead) from None
    return open3d


def open3d_missing(error: ImportError | OSError, user: str = "lsfa", instead: str = "") -> MissingDependencyError:
    """What an error of `import open3d` means to the user, in one line: which package to install."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "open3d").partition(".")[0]
        missing = "is not installed" if package == "open3d" else f"needs the Python package {package}"
        return MissingDependencyError(f"{user}: Open3D {missing}: pip install {package}. {instead}".rstrip())
    library = re.search(r"(lib[\w.+-]*?\.so)[\w.]*: cannot open shared object file", str(error))
    if library is None:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        return MissingDependencyError(f"{user}: Open3D cannot be imported: {first_line}. {instead}".rstrip())
    file, name = library.group(0).partition(":")[0], library.group(1)
    package = DEBIAN_PACKAGES.get(name, f"the package that holds {file}")
    needs = f"{user}: Open3D needs the system library {file}: apt-get install {package}. {instead}"
    return MissingDependencyError(needs.rstrip())
