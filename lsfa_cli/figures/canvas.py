"""A figure of known size on which things are placed in inches from the upper left corner, written as a PNG."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsfa_cli.errors import ResourceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.0  # inches
DPI = 120  # 1080 pixels wide: sharp where it is shown 900 wide, and small
MARGIN = 0.08
GAP = 0.1  # between panels
LINE = 0.2  # a line of text

_STYLE: dict[Any, Any] = {  # matplotlib types the keys as several hundred literals
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same on every machine
    "font.size": 9.0,
    "axes.linewidth": 0.6,
    "axes.unicode_minus": True,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
}


class Canvas:
    """`figure` is `WIDTH` inches wide and `height` inches high. Made by `write`, which sets the style."""

    def __init__(self, figure: "Figure", height: float) -> None:
        self.figure = figure
        self.height = height

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """One line of text in the `LINE` inches below `top`. A dollar sign is a dollar sign, not mathematics."""
        text = "".join(letter if letter.isprintable() else " " for letter in text)  # names may hold line breaks
        x, y = left / WIDTH, 1 - (top + LINE / 2) / self.height
        self.figure.text(x, y, text, va="center", ha="left", parse_math=False, **style)

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        """Axes that fill this rectangle; ticks and labels go around it."""
        below = self.height - top - height
        return self.figure.add_axes((left / WIDTH, below / self.height, width / WIDTH, height / self.height))


def write(path: Path, height: float, draw: Callable[[Canvas], None]) -> None:
    """Draw in our own style, whatever the user's is, and write a PNG without date or version, whole or not at all."""
    import matplotlib
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
        draw(Canvas(figure, height))
        with warnings.catch_warnings():
            # A letter that the font lacks is drawn as a box; the name stands in the text beside the picture.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(stream, format="png", metadata={"Software": None})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.tmp")
        try:
            unfinished.write_bytes(stream.getvalue())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise ResourceError(f"{path} cannot be written: {error.strerror or error}.") from error
