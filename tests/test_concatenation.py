"""BTF's concatenated features, by hand."""

import numpy as np

from lsfa_cli.concatenation import concatenate
from lsfa_cli.samples import PatchFeatures


def test_features_side_by_side_unscaled_and_zero_where_invalid() -> None:
    rgb = PatchFeatures(np.array([[1, 2], [3, 4], [5, 6]], np.float16), np.array([True, True, False, True]), grid=2)
    valid = np.zeros(16, dtype=bool)
    valid[[0, 7, 8]] = True
    xyz = PatchFeatures(np.array([[100], [200], [300]], np.float16), valid, grid=4)
    found = concatenate(rgb, xyz)
    expected = np.zeros((16, 3))
    for position in range(16):
        row, column = divmod(position, 4)
        expected[position, :2] = [[1, 2], [3, 4], [0, 0], [5, 6]][row // 2 * 2 + column // 2]
    expected[[0, 7, 8], 2] = [100, 200, 300]
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.dtype == np.float32
    assert found.valid.all()
    assert found.grid == 4
