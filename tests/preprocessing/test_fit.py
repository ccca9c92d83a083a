"""Constants measured on good samples: of the published order on a real part, and the same at every scale."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lsfa_cli.datasets.tiffs import read_cloud
from lsfa_cli.preprocessing import PreprocessOptions, prepare
from lsfa_cli.preprocessing.fit import NoNeighborsError, Proposal, propose
from lsfa_cli.samples import BoolArray, Sample, Scan
from tests.preprocessing.scenes import RECORD, background, part_on_background

METHOD = PreprocessOptions()
SMALL = PreprocessOptions(border_width=4)


def fit(scans: Sequence[Scan]) -> Proposal:
    return propose(lambda: scans, SMALL)


def scene() -> Scan:
    """A part 30 mm above a plane with noise of 0.3 mm, points 1 mm apart, a block and specks beside it."""
    sample = part_on_background()
    assert sample.xyz is not None
    assert sample.valid is not None
    return Scan(sample.xyz, sample.valid)


def scaled(scan: Scan, factor: float) -> Scan:
    return Scan(scan.xyz * np.float32(factor), scan.valid)


def kept(scan: Scan, options: PreprocessOptions) -> BoolArray:
    found = prepare(Sample(RECORD, None, scan.xyz, scan.valid, None), options).valid
    assert found is not None
    return found


def scan_of(xyz: NDArray[np.float64]) -> Scan:
    return Scan(xyz.astype(np.float32), np.isfinite(xyz).all(axis=2))


def part_alone(height: int = 60, width: int = 60) -> Scan:
    """A dome of 0.1 m with nothing around it, as a scanner gives whose background is out of reach."""
    rows, columns = np.mgrid[:height, :width] * 2e-3
    z = 0.5 + (rows - 0.06) ** 2 * 5 + (columns - 0.06) ** 2 * 5
    xyz = np.stack([columns, rows, z], axis=2)
    xyz[(rows - 0.06) ** 2 + (columns - 0.06) ** 2 > 0.045**2] = np.nan
    return scan_of(xyz)


def test_on_a_scene_whose_noise_and_sizes_are_known() -> None:
    proposal = fit([scene()])
    measured = proposal.measured
    assert (measured.samples, measured.planes) == (1, 1)
    assert measured.spacing == pytest.approx(1.05e-3, rel=0.1)  # 1 mm in x and y, and the tilt
    assert measured.noise == pytest.approx(3e-4, rel=0.1)
    assert measured.height == pytest.approx(0.03, rel=0.05)
    assert measured.part_size == pytest.approx(np.hypot(32e-3, 32e-3), rel=0.15)  # a disc of 35 mm, without its rim
    assert proposal.values["plane_inlier_distance"] == pytest.approx(8 * 3e-4, rel=0.12)
    assert proposal.values["plane_removal_distance"] == pytest.approx(10 * 3e-4, rel=0.12)
    assert proposal.values["cluster_distance"] == pytest.approx(4.6e-3, rel=0.15)
    assert proposal.values["cluster_min_points"] == 4
    assert proposal.values["remove_plane"] is True
    assert proposal.values["keep_largest_cluster"] is True
    assert set(proposal.reasons) == set(proposal.values)
    assert proposal.remarks == ()
    stays = kept(scene(), PreprocessOptions(border_width=4, image_size=100, **proposal.values))
    disc = np.hypot(*(np.mgrid[:100, :100] - 49.5)) < 17
    assert stays[disc].mean() > 0.85  # a tenth of the points is missing from the start
    assert not stays[~(np.hypot(*(np.mgrid[:100, :100] - 49.5)) < 19)].any()


@pytest.mark.parametrize("factor", [10, 0.1, 3.7, 1e-4])
def test_at_another_scale_the_same_points_stay(factor: float) -> None:
    proposal, other = fit([scene()]), fit([scaled(scene(), factor)])
    assert proposal.values.keys() == other.values.keys()
    for key, value in proposal.values.items():
        expected = value * factor if key.endswith("distance") else value
        assert other.values[key] == pytest.approx(expected, rel=0.06), key  # two digits are kept
    before = kept(scene(), PreprocessOptions(border_width=4, **proposal.values))
    after = kept(scaled(scene(), factor), PreprocessOptions(border_width=4, **other.values))
    assert (before == after).mean() > 0.9995


@pytest.mark.parametrize(("factor", "asked"), [(1000, True), (10, False), (0.1, False), (0.001, True)])
def test_a_part_of_an_unlikely_size_is_asked_about(factor: float, asked: bool) -> None:
    remarks = fit([scaled(scene(), factor)]).remarks
    assert any("the unit of the scans is another one" in remark for remark in remarks) == asked


def test_real_part_gives_about_the_published_constants(shared: Callable[[str], Path]) -> None:
    folder = shared("data/mvtec3d/cable_gland/train/good/xyz")
    scans = [Scan(*read_cloud(path)) for path in sorted(folder.iterdir())[:20:5]]
    proposal = propose(lambda: scans)
    values = proposal.values
    for key in ("plane_inlier_distance", "plane_removal_distance", "cluster_distance", "cluster_min_points"):
        assert 1 / 1.6 < values[key] / getattr(METHOD, key) < 1.6, key
    assert values["remove_plane"] is True
    assert proposal.remarks == ()
    large = [scaled(scan, 10) for scan in scans]
    other = propose(lambda: large)
    for scan, larger in zip(scans, large, strict=True):
        expected = kept(scan, METHOD)
        found = kept(scan, PreprocessOptions(**values))
        assert (found & expected).sum() / (found | expected).sum() > 0.99  # of the part, not of the whole image
        np.testing.assert_array_equal(kept(larger, PreprocessOptions(**other.values)), found)


def test_without_noise_the_distance_of_the_points_decides() -> None:
    flat = background(60, 60, spacing=1e-3)
    flat[..., 2] = 0.5
    flat[20:40, 20:40, 2] -= 0.02
    values = fit([scan_of(flat)]).values
    assert values["plane_inlier_distance"] == pytest.approx(2e-3)
    assert values["plane_removal_distance"] == pytest.approx(2.5e-3)


def test_without_border_points_there_is_no_plane() -> None:
    proposal = fit([part_alone()])
    assert proposal.values == {"remove_plane": False, "keep_largest_cluster": False}
    assert "a plane in 0 of 1 samples" in proposal.reasons["remove_plane"]
    assert proposal.reasons["keep_largest_cluster"] == "every sample is one cluster anyway"
    assert proposal.measured.noise is None
    assert proposal.measured.height is None


def test_a_curved_border_is_no_plane() -> None:
    bent = background(60, 60)
    bent[..., 2] += 8 * (bent[..., 0] - 0.03) ** 2
    assert fit([scan_of(bent)]).values["remove_plane"] is False


def test_a_flat_part_that_fills_the_view_is_no_background() -> None:
    proposal = fit([scan_of(background(60, 60))])
    assert proposal.values["remove_plane"] is False
    assert "the part itself is that flat" in proposal.reasons["remove_plane"]


def test_one_odd_sample_does_not_change_the_answer() -> None:
    usual = scene()
    assert fit([usual] * 4 + [part_alone()]).values["remove_plane"] is True
    assert fit([part_alone()] * 4 + [usual]).values["remove_plane"] is False


def test_a_part_that_is_alone_needs_no_clusters_and_one_with_a_speck_does() -> None:
    clean = background(60, 60)
    clean[20:40, 20:40, 2] -= 0.02
    assert fit([scan_of(clean)]).values["keep_largest_cluster"] is False
    clean[10, 10, 2] -= 0.1
    proposal = fit([scan_of(clean)])
    assert proposal.values["keep_largest_cluster"] is True
    assert "cluster_distance" in proposal.values


def test_pieces_and_shallow_parts_are_remarked() -> None:
    pieces = background(60, 60)
    pieces[10:30, 10:50, 2] -= 0.03
    pieces[36:46, 10:50, 2] -= 0.03
    assert any("set keep_largest_cluster = false" in remark for remark in fit([scan_of(pieces)]).remarks)
    shallow = background(60, 60)
    shallow[20:40, 20:40, 2] -= 6e-3
    remarks = fit([scan_of(shallow)]).remarks
    assert any("are taken for background" in remark for remark in remarks)


def test_scans_without_neighbours_cannot_be_measured() -> None:
    xyz = background(20, 20)
    xyz[np.indices((20, 20)).sum(axis=0) % 2 == 0] = np.nan
    with pytest.raises(NoNeighborsError):
        fit([scan_of(xyz)])
    with pytest.raises(ValueError, match="no scans"):
        fit([])
