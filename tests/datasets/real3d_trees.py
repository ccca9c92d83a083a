"""A small made-up data set in the layout of Real3D-AD, for tests that read, register and score clouds.

The object is a lopsided pebble of 16 x 10 x 8 mm with knobs and a notch, so that no turn brings it onto itself.
Training clouds show it whole; test scans show one side, turned and moved, some with a bulge or a sink of half a
millimetre to a millimetre.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pypcd4 import Encoding, PointCloud
from scipy.spatial.transform import Rotation

WHOLE_POINTS = 6000
NOISE = 0.01  # mm
DEFECT_RADIUS = 1.6  # mm
DEFECT_HEIGHT = {"bulge": 0.8, "sink": -0.8}  # mm
_AXES = np.array([8.0, 5.0, 4.0])  # mm
# Direction, width (radians) and height (mm) of what sticks out of the ellipsoid or is cut into it.
_KNOBS = (
    ((1.0, 0.3, 0.2), 0.25, 1.8),
    ((-0.4, 1.0, 0.5), 0.30, 1.4),
    ((0.2, -0.7, 0.8), 0.22, 1.6),
    ((-0.6, -0.2, 0.9), 0.28, -1.1),
    ((0.3, 0.6, -0.8), 0.30, 1.5),
    ((0.6, -0.1, 1.0), 0.18, 1.0),
    ((-1.0, -0.6, -0.1), 0.25, 1.2),
)

Points = NDArray[np.float64]


def directions(count: int, seed: int) -> Points:
    """Unit vectors spread evenly over the sphere, turned at random."""
    steps = np.arange(count) + 0.5
    height = 1 - 2 * steps / count
    angle = steps * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - height**2)
    spiral = np.stack([flat * np.cos(angle), flat * np.sin(angle), height], axis=1)
    return Rotation.random(random_state=seed).apply(spiral)


def surface(unit: Points) -> Points:
    """The object's surface, mm, in the directions given."""
    radius = 1 / np.linalg.norm(unit / _AXES, axis=1)
    for direction, width, height in _KNOBS:
        cosine = unit @ (np.array(direction) / np.linalg.norm(direction))
        radius = radius + height * np.exp(-0.5 * (np.arccos(np.clip(cosine, -1, 1)) / width) ** 2)
    return unit * radius[:, None]


def whole(seed: int, count: int = WHOLE_POINTS) -> Points:
    """The complete object (count, 3), mm, in its own frame."""
    noise = np.random.default_rng(seed).normal(0, NOISE, (count, 3))
    return surface(directions(count, seed)) + noise


def scan(seed: int, kind: str = "good", count: int = WHOLE_POINTS) -> tuple[Points, NDArray[np.bool_], Rotation]:
    """One side of the object, seen from about +z of its frame: points (n, 3), mm, which are defective, and the turn.

    The points are in the object's frame; the turn is what the scanner adds.
    """
    rng = np.random.default_rng(seed)
    unit = directions(count, seed)
    points = surface(unit)
    normals = _normals(unit)
    view = np.array([*rng.uniform(-0.25, 0.25, 2), 1.0])
    seen = normals @ (view / np.linalg.norm(view)) > 0.15
    defect = np.zeros(count, dtype=bool)
    if kind in DEFECT_HEIGHT:
        middle = points[rng.choice(np.flatnonzero(normals[:, 2] > 0.7))]
        distance = np.linalg.norm(points - middle, axis=1)
        defect = distance < DEFECT_RADIUS
        height = DEFECT_HEIGHT[kind] * np.cos(0.5 * np.pi * np.minimum(distance / DEFECT_RADIUS, 1)) ** 2
        points = points + normals * height[:, None]
    points = points + rng.normal(0, NOISE, points.shape)
    return points[seen], defect[seen], Rotation.random(random_state=seed + 1000)


def write_pcd(path: Path, points: NDArray[np.floating], encoding: Encoding = Encoding.BINARY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PointCloud.from_xyz_points(points.astype(np.float32)).save(path, encoding=encoding)


def write_labels(path: Path, points: Points, defect: NDArray[np.bool_]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.column_stack([points, defect]), fmt=("%.5f", "%.5f", "%.5f", "%.1f"))


def write_category(
    category: Path, train: int = 4, test: int = 3, kinds: tuple[str, ...] = ("good", "bulge", "sink")
) -> None:
    """A whole category: `train` complete clouds, and `test` scans of each kind, each moved 100 mm away."""
    encodings = list(Encoding)[:3]
    for number in range(train):
        write_pcd(category / "train" / f"{number + 1}_template.pcd", whole(number), encodings[number % 3])
    for place, kind in enumerate(kinds):
        for number in range(test):
            seed = 100 * place + number
            points, defect, turn = scan(seed, kind)
            moved = turn.apply(points) + np.array([20.0, -10.0, 100.0])
            stem = f"{number + 1}_{kind}"
            write_pcd(category / "test" / f"{stem}.pcd", moved, encodings[number % 3])
            if kind != "good":
                write_labels(category / "gt" / f"{stem}.txt", moved, defect)


def _normals(unit: Points, step: float = 1e-4) -> Points:
    """Outward normals of the surface in the directions given, by differences."""
    helper = np.where(np.abs(unit[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    across = np.cross(unit, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    along = np.cross(unit, across)
    first, second = (
        surface(_unit(unit + step * side)) - surface(_unit(unit - step * side)) for side in (across, along)
    )
    normals = _unit(np.cross(first, second))
    return normals * np.sign((normals * unit).sum(axis=1, keepdims=True))


def _unit(vectors: Points) -> Points:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
