"""Image features of two input sizes on one grid of patches: small defects are seen in the larger image.

The same backbone runs on the image of `image_size` and on one of a multiple of that, whose finer grid is averaged to
that of the first; both lie side by side in a feature.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.backbones.base import Backbone, IdentityValue
from lsfa_cli.errors import UsageError
from lsfa_cli.samples import Modality, PatchFeatures, PreparedSample


class FinerImages:
    """A backbone for images of one size, and the same one for images `factor` times as wide and as high."""

    modality: Modality = "rgb"

    def __init__(self, coarse: Backbone, fine: Backbone, factor: int) -> None:
        """Raises `UsageError` where the finer grid does not divide into the patches of the coarser one."""
        if fine.grid % coarse.grid:
            name = coarse.identity["name"]
            raise UsageError(
                f"{name} has {coarse.grid} x {coarse.grid} patches, and {fine.grid} x {fine.grid} of an image of "
                f"{factor} times the size, which do not divide evenly",
                hint="Leave --rgb-fine out, or choose an --image-size that is a multiple of the backbone's stride.",
            )
        self._coarse, self._fine = coarse, fine
        self.grid, self.dimension = coarse.grid, coarse.dimension + fine.dimension
        self.identity: dict[str, IdentityValue] = {**coarse.identity, "rgb_fine": factor}
        self.notes = coarse.notes

    def patches(self, samples: Sequence[PreparedSample]) -> list[PatchFeatures]:
        """Features (grid**2, D + D') of each sample, every patch valid."""
        finer = [replace(sample, rgb=_fine_image(sample), rgb_fine=None) for sample in samples]
        pairs = zip(self._coarse.patches(samples), self._fine.patches(finer), strict=True)
        return [
            PatchFeatures(
                np.concatenate([coarse.values, _averaged(fine.values, self.grid)], axis=1), coarse.valid, self.grid
            )
            for coarse, fine in pairs
        ]


def _fine_image(sample: PreparedSample) -> NDArray[np.float32]:
    if sample.rgb_fine is None:
        raise ValueError(f"{sample.record.name} was prepared without a finer image")
    return sample.rgb_fine


def _averaged(values: NDArray[np.floating], grid: int) -> NDArray[np.float32]:
    """Means (grid**2, D) over the patches of a finer raster, row by row, that lie in each patch."""
    side = round(len(values) ** 0.5)
    blocks = values.reshape(grid, side // grid, grid, side // grid, -1)
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32).reshape(grid * grid, -1)
    return means
