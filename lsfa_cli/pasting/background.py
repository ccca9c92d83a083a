"""What is seen where a piece of the part is gone: the background, image and points."""

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.pasting.draft import Draft
from lsfa_cli.pasting.scene import Scene
from lsfa_cli.samples import BoolArray

_TRIES = 60
_OUTLIER = 0.004  # metres: farther from the plane than this is no point of the background


def uncover(scene: Scene, draft: Draft, gone: BoolArray, generator: np.random.Generator) -> bool:
    """Put the background where `gone` (H, W): the image, points and gaps of another place of the background.

    Points lie on the background's plane with the unevenness of that other place; without a plane there are none.
    False, and nothing changed, where no place of the background is as large.
    """
    rows, columns = np.nonzero(gone)
    donor = _donor(scene, rows, columns, generator)
    if donor is None:
        return False
    draft.mask[rows, columns] = True
    if draft.rgb is not None and scene.sample.rgb is not None:
        draft.rgb[rows, columns] = scene.sample.rgb[donor]
    if draft.xyz is None or draft.valid is None:
        return True
    draft.valid[rows, columns] = False
    draft.xyz[rows, columns] = 0
    if scene.plane is None or scene.camera is None or scene.sample.xyz is None or scene.sample.valid is None:
        return True
    normal, offset = scene.plane
    uneven = np.einsum("ij,j->i", scene.sample.xyz[donor].astype(np.float64), normal) + offset
    seen = scene.sample.valid[donor] & (np.abs(uneven) < _OUTLIER)
    points = scene.camera.meet(rows[seen], columns[seen], normal, offset - uneven[seen])
    draft.valid[rows[seen], columns[seen]] = True
    draft.xyz[rows[seen], columns[seen]] = points
    return True


def _donor(
    scene: Scene, rows: NDArray[np.int64], columns: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Pixels of the background in the same arrangement as the given ones, near them rather than far."""
    free = np.argwhere(scene.surroundings)
    if len(free) == 0:
        return None
    middle = np.array([int(rows.mean()), int(columns.mean())])
    picked = free[generator.integers(len(free), size=_TRIES)]
    nearest_first = picked[np.argsort(((picked - middle) ** 2).sum(axis=1), kind="stable")]
    height, width = scene.part.shape
    for place in nearest_first:
        to_rows, to_columns = rows + place[0] - middle[0], columns + place[1] - middle[1]
        if to_rows.min() < 0 or to_columns.min() < 0 or to_rows.max() >= height or to_columns.max() >= width:
            continue
        if scene.surroundings[to_rows, to_columns].all():
            return to_rows, to_columns
    return None
