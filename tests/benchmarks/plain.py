"""Faithful plain implementations of what public code does, to be timed against and to agree with.

Each follows the published steps (3D-ADS, M3DM, PatchCore and the code of Point-MAE) with the same library calls, so
that its time is the time of that way of working and not of a bad imitation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import integrate, ndimage
from torch.nn import functional

from lsfa_cli.preprocessing.resize import pad_to_square, resize_nearest
from lsfa_cli.samples import Sample

EIGHT_CONNECTED = np.ones((3, 3), dtype=int)


def valid_pixels_by_open3d(open3d: Any, sample: Sample) -> NDArray[np.bool_]:
    """Which pixels of 224 x 224 are left: Open3D's RANSAC plane of the border, then the largest cluster of its DBSCAN.

    All steps of the published script but reading: image and mask are padded and resized too.
    """
    xyz, rgb, valid = sample.xyz.copy(), sample.rgb.copy(), sample.valid.copy()
    height, width = valid.shape
    edge = np.concatenate([xyz[:10].reshape(-1, 3), xyz[-10:].reshape(-1, 3), xyz[:, :10].reshape(-1, 3)])
    edge = np.concatenate([edge, xyz[:, -10:].reshape(-1, 3)])
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(edge[edge.all(axis=1)].astype(np.float64)))
    (a, b, c, d), _ = cloud.segment_plane(distance_threshold=0.004, ransac_n=50, num_iterations=1000)
    points = xyz.reshape(-1, 3).astype(np.float64)
    distance = np.abs(points @ np.array([a, b, c]) + d) / np.sqrt(a * a + b * b + c * c)
    background = (distance < 0.005).reshape(height, width) & valid
    valid &= ~background
    rgb[background] = 0
    valid &= largest_cluster_by_open3d(open3d, xyz, valid)
    rgb[~valid] = 0
    Image.fromarray(pad_to_square(rgb, 100)).resize((224, 224), Image.Resampling.BICUBIC)
    resize_nearest(pad_to_square(np.where(valid[..., None], xyz, 0), 100), 224)
    return resize_nearest(pad_to_square(valid, 100), 224)


def largest_cluster_by_open3d(open3d: Any, xyz: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which valid points are in the largest cluster of Open3D's DBSCAN."""
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(xyz[valid].astype(np.float64)))
    labels = np.asarray(cloud.cluster_dbscan(eps=0.006, min_points=30))
    keep = np.zeros_like(valid)
    keep[valid] = labels == np.bincount(labels[labels >= 0]).argmax()
    return keep


def farthest_points(points: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Farthest-point sampling as the usual NumPy loop on (N, 3), from index 0."""
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    picked = np.zeros(count, dtype=np.int64)
    for position in range(1, count):
        distance = ((points - points[picked[position - 1]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, distance)
        picked[position] = nearest.argmax()
    return picked


def dense_projection(
    points: NDArray[np.float32], centers: NDArray[np.float32], features: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Eq. 1 and pooling through the dense map (D, 224, 224): all distances, sorted, three nearest; (3136, D)."""
    cloud, middle, values = (torch.from_numpy(array) for array in (points, centers, features))
    squared, index = torch.cdist(cloud, middle, compute_mode="donot_use_mm_for_euclid_dist").square().sort(dim=1)
    inverse = 1.0 / (squared[:, :3] + 1e-8)
    weight = inverse / inverse.sum(dim=1, keepdim=True)
    interpolated = (values[index[:, :3]] * weight[:, :, None]).sum(dim=1)
    side = len(valid)
    dense = torch.zeros(features.shape[1], side * side)
    dense[:, torch.from_numpy(np.flatnonzero(valid))] = interpolated.T
    smoothed = functional.avg_pool2d(dense.reshape(1, -1, side, side), 3, stride=1)
    pooled = functional.adaptive_avg_pool2d(smoothed, (56, 56))
    return pooled.reshape(features.shape[1], -1).T.contiguous().numpy()


def greedy_loop(points: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Greedy k-centre, one pick a pass over all points, float32, from index 0."""
    library = torch.from_numpy(points)
    picked = [0]
    nearest = torch.linalg.vector_norm(library - library[0], dim=1)
    for _ in range(count - 1):
        latest = int(nearest.argmax())
        picked.append(latest)
        distance = torch.linalg.vector_norm(library - library[latest], dim=1)
        nearest = torch.minimum(nearest, distance)
    return np.array(picked)


def greedy_loop_in_place(points: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The same in memory that is used again: `greedy_loop` asks the system for new pages at each pick."""
    library = torch.from_numpy(points)
    difference = library - library[0]
    nearest = torch.linalg.vector_norm(difference, dim=1)
    distance = torch.empty_like(nearest)
    picked = [0]
    for _ in range(count - 1):
        latest = int(nearest.argmax())
        picked.append(latest)
        torch.sub(library, library[latest], out=difference)
        torch.linalg.vector_norm(difference, dim=1, out=distance)
        torch.minimum(nearest, distance, out=nearest)
    return np.array(picked)


def exact_greedy_loop(points: NDArray[np.float32], count: int, rows: int = 1024) -> NDArray[np.int64]:
    """The same by differences in float64, in pieces that stay in the cache: the order that is right."""
    exact = points.astype(np.float64)
    nearest = np.full(len(exact), np.inf)
    picked = [0]
    for _ in range(count - 1):
        latest = exact[picked[-1]]
        for first in range(0, len(exact), rows):
            difference = exact[first : first + rows] - latest
            part = nearest[first : first + rows]
            np.minimum(part, np.einsum("ij,ij->i", difference, difference), out=part)
        picked.append(int(nearest.argmax()))
    return np.array(picked)


def nearest_by_cdist(queries: NDArray[np.float32], entries: NDArray[np.float32]) -> tuple[Any, Any]:
    """Distance and index of the nearest entry, from all distances at once."""
    return tuple(values.numpy() for values in torch.cdist(torch.from_numpy(queries), torch.from_numpy(entries)).min(1))


def exact_distances(queries: NDArray[np.float32], entries: NDArray[np.float32], index: Any) -> NDArray[np.float64]:
    """The distance of each query to the entry of that index, by differences in float64."""
    return np.linalg.norm(queries.astype(np.float64) - entries[index].astype(np.float64), axis=1)


def eight_bit_map(patch_scores: NDArray[np.float32], size: int = 224) -> NDArray[np.float32]:
    """One anomaly map as published: bilinear by torch, then Pillow's Gaussian blur of an 8-bit image."""
    grid = round(len(patch_scores) ** 0.5)
    raster = torch.from_numpy(patch_scores).reshape(1, 1, grid, grid)
    upsampled = functional.interpolate(raster, size=(size, size), mode="bilinear")[0, 0]
    largest = float(upsampled.max()) or 1.0
    picture = Image.fromarray((upsampled / largest * 255).byte().numpy())
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(radius=4)), dtype=np.float32)
    return blurred / 255 * largest


def exact_map(patch_scores: NDArray[np.float32], size: int = 224) -> NDArray[np.float64]:
    """The same in floating point: bilinear by torch, SciPy's Gaussian."""
    grid = round(len(patch_scores) ** 0.5)
    raster = torch.from_numpy(patch_scores.astype(np.float64)).reshape(1, 1, grid, grid)
    upsampled = functional.interpolate(raster, size=(size, size), mode="bilinear", align_corners=False)[0, 0]
    return ndimage.gaussian_filter(upsampled.numpy(), 4.0, mode="reflect", truncate=4.0)


def aupro_at_ranks(maps: NDArray[np.float32], masks: NDArray[np.bool_], thresholds: int = 100) -> float:
    """AUPRO to 0.3 as published: every component's scores sorted and searched for each of 100 thresholds."""
    normal, components = [], []
    for scored, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
        normal.append(scored[labels == 0])
        for number in range(count):
            components.append(np.sort(scored[labels == number + 1]))
    ordered = np.sort(np.concatenate(normal))
    rates, overlaps = [1.0], [1.0]
    for position in np.linspace(0, len(ordered) - 1, num=thresholds, dtype=int):
        threshold = ordered[position]
        rates.append(1.0 - (position + 1) / len(ordered))
        overlaps.append(
            float(np.mean([1.0 - np.searchsorted(one, threshold, side="right") / len(one) for one in components]))
        )
    x, y = np.array(rates[::-1]), np.array(overlaps[::-1])
    inside = x <= 0.3
    x, y = np.append(x[inside], 0.3), np.append(y[inside], np.interp(0.3, x, y))
    return float(integrate.trapezoid(y, x) / 0.3)


def aupro_by_sorting_all(maps: NDArray[np.float32], masks: NDArray[np.bool_], limit: float = 0.3) -> float:
    """The exact AUPRO from one sort of every pixel: each distinct score is a threshold."""
    weights = np.zeros(maps.shape)
    components = 0
    for weight, mask in zip(weights, masks, strict=True):
        labels, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
        sizes = np.bincount(labels.ravel())
        weight[labels > 0] = 1.0 / sizes[labels[labels > 0]]
        components += count
    order = np.argsort(-maps, axis=None, kind="stable")
    scores = maps.ravel()[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    rates = np.append(0.0, np.cumsum(~masks.ravel()[order])[last] / np.count_nonzero(~masks))
    overlaps = np.append(0.0, np.cumsum(weights.ravel()[order])[last] / components)
    inside = rates <= limit
    x = np.append(rates[inside], limit)
    y = np.append(overlaps[inside], np.interp(limit, rates, overlaps))
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2 / limit)


def compactness_of_pieces(features: torch.Tensor, pieces: Sequence[torch.Tensor]) -> torch.Tensor:
    """L_LC of one sample with a bank kept as a list of pieces: joined, all distances, their least; with gradient."""
    bank = torch.cat(list(pieces))
    return torch.cdist(features, bank).min(dim=1).values.mean()
