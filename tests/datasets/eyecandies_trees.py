"""A small made-up data set in the published layout of Eyecandies, and its conversion as M3DM's script does it.

A dome stands on a conveyor, seen by the camera of the published scenes: 45 degrees from above, 512 x 512 pixels.
"""

from pathlib import Path

import numpy as np
import tifffile
import yaml
from numpy.typing import NDArray
from PIL import Image

SIDE = 512
FOCAL = 711.11
CONVEYOR = 2.15  # y of the conveyor, metres; y points down
NEAREST, FARTHEST = 1.5, 6.0
POSE = np.array(
    [
        [1, 0, 0, 0],
        [0, np.sqrt(0.5), -np.sqrt(0.5), -2.12],
        [0, np.sqrt(0.5), np.sqrt(0.5), 2.22],
        [0, 0, 0, 1],
    ]
)
KINDS = ("bumps", "dents", "colors", "normals")
Pixels = NDArray[np.generic]


def camera() -> NDArray[np.float64]:
    return np.array([[FOCAL, 0, 256, 0], [0, FOCAL, 256, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def dome(seed: int) -> NDArray[np.uint16]:
    """The depth image of a dome on the conveyor, at a place that the seed chooses."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    x, y = 256 + np.random.default_rng(seed).uniform(-20, 20, 2)
    height = 0.3 * np.clip(1 - ((rows - y) / 60) ** 2 - ((columns - x) / 80) ** 2, 0, 1)
    inverse = np.linalg.inv(camera() @ POSE)
    depth = (CONVEYOR - height - inverse[1, 3]) / (inverse[1, 0] * columns + inverse[1, 1] * rows + inverse[1, 2])
    return np.rint((depth - NEAREST) / (FARTHEST - NEAREST) * 65535).astype(np.uint16)


def picture(seed: int, light: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.stack([rows // 2, columns // 2, np.full_like(rows, 10 * light + seed)], axis=2).astype(np.uint8)


def mask(marked: bool) -> NDArray[np.uint8]:
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    pixels[250:260, 240:270] = 255 * marked
    return pixels


def write_png(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def write_sample(
    folder: Path, stem: str, seed: int, kinds: tuple[str, ...] = (), lights: tuple[int, ...] = (4,)
) -> None:
    """The files of one sample that are read, and the masks of each kind, which are not."""
    for light in lights:
        write_png(folder / f"{stem}_image_{light}.png", picture(seed, light))
    write_png(folder / f"{stem}_depth.png", dome(seed))
    write_png(folder / f"{stem}_mask.png", mask(bool(kinds)))
    for kind in KINDS:
        write_png(folder / f"{stem}_{kind}_mask.png", mask(kind in kinds))
    flags = {"anomalous": int(bool(kinds))} | {f"anomalous_{kind}": int(kind in kinds) for kind in KINDS}
    (folder / f"{stem}_metadata.yaml").write_text(yaml.safe_dump(flags))
    (folder / f"{stem}_info_depth.yaml").write_text(
        yaml.safe_dump({"normalization": {"max": FARTHEST, "min": NEAREST}})
    )
    np.savetxt(folder / f"{stem}_pose.txt", POSE)


def write_category(category: Path) -> None:
    """A whole category: 2 training, 1 validation and 4 test samples. Light 5 is there for training alone."""
    for number in range(2):
        write_sample(category / "train" / "data", f"{number:03}", number, lights=(4, 5))
    write_sample(category / "val" / "data", "00", 2)
    for number, kinds in enumerate(((), (), ("bumps",), KINDS)):
        write_sample(category / "test_public" / "data", f"{number:02}", 10 + number, kinds)


def script_cloud(data: Path, stem: str) -> NDArray[np.float64]:
    """The cloud (512, 512, 3) of a published sample as M3DM's script computes it, removed points included."""
    limits = yaml.safe_load((data / f"{stem}_info_depth.yaml").read_text())["normalization"]
    pixels = np.asarray(Image.open(data / f"{stem}_depth.png")).astype(np.float32)
    depth = pixels / 65535.0 * (limits["max"] - limits["min"]) + limits["min"]
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    flat = depth.reshape(-1)
    vectors = np.stack([columns, rows, np.ones(SIDE * SIDE), 1 / flat])
    homogeneous = np.linalg.inv(camera() @ np.loadtxt(data / f"{stem}_pose.txt")) @ vectors
    points = flat[:, None] * homogeneous[:3].T
    top, bottom = points[256], points[-256]
    dz, dy = top[1] - bottom[1], top[2] - bottom[2]
    cos, sin = dy / np.hypot(dz, dy), dz / np.hypot(dz, dy)
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    start = np.array([0, bottom[1], bottom[2]])
    turned = (points - start) @ rotation.T
    removed = (turned[:, 1] > -0.02) | (turned[:, 2] > 1.8) | (turned[:, 0] > 1) | (turned[:, 0] < -1)
    turned[removed] = -start
    back = turned @ rotation + start
    return (back[:, [0, 2, 1]] * [0.1, -0.1, 0.1]).reshape(SIDE, SIDE, 3)


def convert(category: Path, out: Path) -> None:
    """Write a published category as M3DM's script does: its folders, names of files and float64 clouds."""
    for split, into in (("train", "train"), ("test_public", "test")):
        data = category / split / "data"
        numbers = {"good": 0, "bad": 0}
        for path in sorted(data.glob("*_depth.png")):
            stem = path.name.partition("_")[0]
            bad = yaml.safe_load((data / f"{stem}_metadata.yaml").read_text())["anomalous"]
            folder = out / into / ("bad" if bad else "good")
            name = f"{numbers[folder.name]:03}"
            numbers[folder.name] += 1
            for role in ("rgb", "xyz", "gt"):
                (folder / role).mkdir(parents=True, exist_ok=True)
            (folder / "rgb" / f"{name}.png").write_bytes((data / f"{stem}_image_4.png").read_bytes())
            tifffile.imwrite(folder / "xyz" / f"{name}.tiff", script_cloud(data, stem), photometric="rgb")
            if into == "test":
                (folder / "gt" / f"{name}.png").write_bytes((data / f"{stem}_mask.png").read_bytes())
