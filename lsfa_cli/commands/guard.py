"""From exceptions to messages and exit codes."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

import typer

from lsfa_cli.errors import LsfaError, ResourceError

INTERRUPTED = 130
BROKEN_PIPE = 141


@contextlib.contextmanager
def reporting_errors() -> Iterator[None]:
    """Print an error's message on stderr and leave with its exit code. A traceback is shown with -vv only.

    What is no error of ours is a bug: its last line is shown with the way to see the rest.
    """
    try:
        yield
    except LsfaError as error:
        _leave(error, error.exit_code, str(error))
    except KeyboardInterrupt as error:
        _leave(error, INTERRUPTED, "interrupted; what was finished is kept, nothing is half-written")
    except BrokenPipeError:
        # whoever read our output has gone; Python would complain once more when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
    except MemoryError as error:
        _leave(error, ResourceError.exit_code, OUT_OF_MEMORY)
    except Exception as error:
        if isinstance(error, typer.Exit | typer.Abort) or _is_parsing(error):
            raise
        if _is_torch_memory(error):
            _leave(error, ResourceError.exit_code, OUT_OF_MEMORY)
        what = f"{type(error).__name__}: {error}"
        _leave(
            error, LsfaError.exit_code, f"unexpected {what}\nThis is a bug in lsfa. Run again with -vv to see where."
        )


OUT_OF_MEMORY = (
    "out of memory\nTry fewer --jobs, a smaller --batch-size or --coreset-ratio, or a backbone with shorter features."
)


def _leave(error: BaseException, code: int, message: str) -> None:
    if "-vv" in sys.argv or sys.argv.count("-v") > 1:
        traceback.print_exception(error)
    sys.stderr.write(f"error: {message}\n")
    raise typer.Exit(code) from None


def _is_parsing(error: Exception) -> bool:
    """Typer's own usage errors, which it prints itself; it does not make their class public."""
    return hasattr(error, "exit_code") and hasattr(error, "show")


def _is_torch_memory(error: Exception) -> bool:
    text = str(error)
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in text or "std::bad_alloc" in text
