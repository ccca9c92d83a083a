"""`lsfa` and `python -m lsfa_cli`."""

import os
import signal
import sys
from types import FrameType

from lsfa_cli.commands import app
from lsfa_cli.commands.guard import INTERRUPTED


def main() -> None:
    """Run the command line."""
    # By default threads spin while they wait for each other, which on a busy machine is several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(prog_name="lsfa")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A polite kill is handled as Ctrl-C, so that no temporary file stays."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
