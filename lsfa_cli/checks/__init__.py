"""Checks of raw data, by name. Adding one takes a file with a `Check` class and a row here.

Checks see samples as arrays and plain values; what reads files and tells the user is `stages/check_data.py`.
"""

from collections.abc import Mapping

from lsfa_cli.catalog import Entry

CHECKS: Mapping[str, Entry] = {
    "counts": Entry("lsfa_cli.checks.counts", "Counts", "Enough good parts to train, good and defective ones to test."),
    "sizes": Entry("lsfa_cli.checks.sizes", "Sizes", "Images and organized clouds of one size in each category."),
    "values": Entry("lsfa_cli.checks.values", "Values", "Images that show something, scans that have points."),
    "units": Entry(
        "lsfa_cli.checks.units", "Units", "Coordinates in metres: extent and distance that a part can have."
    ),
    "axes": Entry("lsfa_cli.checks.axes", "Axes", "x to the right, y down and z away from the camera."),
    "alignment": Entry(
        "lsfa_cli.checks.alignment", "Alignment", "Image and scan aligned: their edges are at the same pixels."
    ),
    "masks": Entry("lsfa_cli.checks.masks", "Masks", "Defect pixels on defective parts, none on good ones."),
    "duplicates": Entry(
        "lsfa_cli.checks.duplicates", "Duplicates", "No image or scan twice, above all not in training and test."
    ),
    "outliers": Entry("lsfa_cli.checks.outliers", "Outliers", "Good samples unlike the rest of their category."),
}
