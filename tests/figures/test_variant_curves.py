"""Curves of several variants in one picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsfa_cli.figures import variant_curves_picture

STEPS = np.arange(5.0)


def repetition(scale: float) -> dict[str, np.ndarray]:
    """A loss at every step but the first, a rank at every other step."""
    loss = np.r_[np.nan, scale / (1 + STEPS[1:])]
    rank = np.where(STEPS % 2 == 0, scale * (9 - STEPS), np.nan)
    return {"step": STEPS, "L_LA": loss, "effective_rank_xyz": rank, "learning_rate": STEPS}


def picture(path: Path) -> np.ndarray:
    """Its pixels."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_every_variant_has_a_line_in_its_colour(tmp_path: Path) -> None:
    variants = {"one": [repetition(1.0), repetition(1.2)], "two": [repetition(3.0)]}
    variant_curves_picture(tmp_path / "both.png", variants, title="two variants")
    variant_curves_picture(tmp_path / "one.png", {"one": variants["one"]}, title="two variants")
    blue, orange = (31, 119, 180), (255, 127, 14)
    both, one = picture(tmp_path / "both.png"), picture(tmp_path / "one.png")
    assert (both == blue).all(axis=2).sum() > 300
    assert (both == orange).all(axis=2).sum() > 300
    assert not (one == orange).all(axis=2).any()
    variant_curves_picture(tmp_path / "again.png", variants, title="two variants")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "both.png").read_bytes()


def test_what_was_never_trained_shows_as_a_point(tmp_path: Path) -> None:
    start = {"step": np.zeros(1), "effective_rank_xyz": np.array([7.0])}
    variant_curves_picture(tmp_path / "one.png", {"trained": [repetition(1.0)]}, title="")
    variant_curves_picture(tmp_path / "both.png", {"trained": [repetition(1.0)], "control": [start]}, title="")
    orange = (picture(tmp_path / "both.png") == (255, 127, 14)).all(axis=2)
    rows = np.flatnonzero(orange.any(axis=1))
    assert rows.max() > 100  # in the plot, not in the key alone


def test_shorter_repetitions_count_where_they_were_measured(tmp_path: Path) -> None:
    long, short = repetition(1.0), {"step": STEPS[:2], "L_LA": np.array([np.nan, 9.0])}
    variant_curves_picture(tmp_path / "a.png", {"one": [long, short]}, title="")
    variant_curves_picture(tmp_path / "b.png", {"one": [long]}, title="")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no curves"):
        variant_curves_picture(tmp_path / "none.png", {"one": [{"learning_rate": STEPS}]}, title="")
