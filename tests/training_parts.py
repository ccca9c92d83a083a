"""Small training samples and options that the tests of training share."""

from collections.abc import Mapping

import numpy as np

from lsfa_cli.samples import Modality, PatchFeatures
from lsfa_cli.training import TrainingOptions

RGB_DIMENSION, XYZ_DIMENSION = 8, 5
RGB_GRID, XYZ_GRID = 4, 8


class SmallSource:
    """Seeded parts: RGB on a 4 x 4 grid, 3D on 8 x 8 where the part is, both from the same latent values."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        to_rgb = generator.standard_normal((4, RGB_DIMENSION))
        to_xyz = generator.standard_normal((4, XYZ_DIMENSION))
        self.samples = [self._sample(generator, index, to_rgb, to_xyz) for index in range(count)]

    @staticmethod
    def _sample(generator, index: int, to_rgb: np.ndarray, to_xyz: np.ndarray) -> dict[Modality, PatchFeatures]:
        latent = generator.standard_normal((XYZ_GRID, XYZ_GRID, 4))
        valid = np.zeros((XYZ_GRID, XYZ_GRID), bool)
        valid[1:6, 2 : 5 + index % 3] = True  # samples differ in their number of valid patches
        rgb = latent[::2, ::2].reshape(RGB_GRID**2, 4) @ to_rgb
        xyz = latent[valid] @ to_xyz
        return {
            "rgb": PatchFeatures(rgb.astype(np.float16), np.ones(RGB_GRID**2, bool), RGB_GRID),
            "xyz": PatchFeatures(xyz.astype(np.float16), valid.ravel(), XYZ_GRID),
        }

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        return self.samples[index]


def small_options(**changes: object) -> TrainingOptions:
    """Options that finish in a moment; name what a test is about."""
    options: dict[str, object] = {
        "adaptor": "encoder_1",
        "start": "identity",
        "losses": ("L_LA", "L_GA", "L_LC", "L_GC"),
        "clc_weight": 0.6,
        "update": "joint",
        "contrast": "row",
        "temperature": 0.2,
        "patches_per_sample": 1024,
        "prototypes": 1,
        "distance": "l2",
        "exclude_same_sample": True,
        "local_bank_size": 50_000,
        "global_bank_size": 100,
        "head_dimension": 6,
        "steps": 3,
        "batch_size": 3,
        "largest_sample": 4096,
        "learning_rate": 1e-3,
        "gradient_clip": 1.0,
        "guard_interval": 2,
        "guard_rank_ratio": 0.5,
        "seed": 0,
        "device": "cpu",
    }
    return TrainingOptions(**{**options, **changes})
