"""Extract, for unorganized clouds: read, register to the template, thin, features of groups (reference notes 1.3)."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lsfa_cli.artifacts.features import NO_GRID, CloudWriter
from lsfa_cli.artifacts.store import ArtifactWriter
from lsfa_cli.backbones import load_cloud_backbone
from lsfa_cli.backbones.base import CloudBackbone, GroupFeatures
from lsfa_cli.datasets.base import CloudDataset
from lsfa_cli.errors import DataError
from lsfa_cli.figures.shading import render_cloud
from lsfa_cli.precision import precision_of, products_in
from lsfa_cli.preprocessing.cache import SampleCache, dataset_digest
from lsfa_cli.registration import (
    FEWEST_POINTS,
    MOST_POINTS,
    Keypoints,
    Registration,
    RegistrationOptions,
    describe,
    poor_note,
    register,
)
from lsfa_cli.samples import SPLITS, BoolArray, CloudSample, FloatArray, SampleRecord
from lsfa_cli.settings import ExtractSettings
from lsfa_cli.stages.clouds import file_of, thinned_cloud
from lsfa_cli.stages.costs import PatchSizes, Sizes
from lsfa_cli.stages.estimates import START_SECONDS, Estimate, peak_so_far, timed
from lsfa_cli.stages.finite import require_finite
from lsfa_cli.stages.making import Mode, Outcome, make
from lsfa_cli.stages.progress import Advance, Progress
from lsfa_cli.stages.read_ahead import read_ahead, worker_count
from lsfa_cli.stages.recorded import device_of, recorded

WAITING_COPIES = 8  # of a cloud's points, with what is computed from them while it is registered and waits
POSE_VERSION = 1
"""Raise it with every change that can change a pose: it is part of the cache's keys."""


def extract_clouds(
    dataset: CloudDataset,
    category: str,
    out: Path,
    settings: ExtractSettings,
    *,
    cache: SampleCache,
    jobs: int = 0,
    mode: Mode = Mode(),
    progress: Progress | None = None,
) -> Outcome:
    """Make the features artifact of one category of unorganized clouds; as `stages.extract.extract`."""
    records = dataset.records(category)
    device = device_of(settings.device)

    def write(writer: ArtifactWriter, progress: Progress) -> str:
        backbone = load_cloud_backbone(settings.xyz_backbone, settings.xyz_weights, device)
        for note in backbone.notes:
            progress.warn(note)
        writer.attribute("dataset", dataset.name)
        writer.attribute("category", category)
        writer.attribute("xyz_grid", NO_GRID)
        writer.attribute("backbones", json.dumps({"xyz": backbone.identity}, sort_keys=True))
        poses = _Poses(dataset, records, settings, cache) if settings.register_clouds else None
        source = _Clouds(dataset, settings, poses)
        groups = 0
        products = products_in(precision_of(settings.precision, device), device)
        with progress.track(f"extract {category}", len(records)) as advance, products:
            for split in SPLITS:
                chosen = [record for record in records if record.split == split]
                if chosen:
                    target = CloudWriter(writer, split, chosen, backbone.dimension, settings.image_size)
                    groups += _write_split(target, read_ahead(source.read, chosen, jobs), backbone, progress, advance)
        for warning in cache.warnings:
            progress.warn(warning)
        return f"{len(records)} samples, xyz {groups} groups x {backbone.dimension}"

    return make(
        out,
        "features",
        settings=recorded("extract", settings, device=device, digest=cache.digests.digest),
        inputs={"dataset": dataset_digest(records, cache.digests.digest)},
        write=write,
        mode=mode,
        progress=progress,
        foreseen=_Sampled(dataset, records, settings, cache, jobs),
    )


@dataclass(frozen=True)
class _Sampled:
    """What an extraction takes, measured on a training and a test cloud, if possible of unknown pose."""

    dataset: CloudDataset
    records: Sequence[SampleRecord]
    settings: ExtractSettings
    cache: SampleCache
    jobs: int

    def require(self) -> None:
        """Memory depends on the backbone and on single clouds: nothing is known before they are read."""

    def estimate(self) -> Estimate:
        """Loads the backbone, and registers and extracts the two; their poses are kept, as everywhere."""
        poses = _Poses(self.dataset, self.records, self.settings, self.cache) if self.settings.register_clouds else None
        source = _Clouds(self.dataset, self.settings, poses)
        device = device_of(self.settings.device)
        name, weights = self.settings.xyz_backbone, self.settings.xyz_weights
        seconds, backbone = timed(lambda: load_cloud_backbone(name, weights, device))
        threads = worker_count(self.jobs)
        groups: list[int] = []
        points = 0
        for among in self._kinds():
            waiting = [record for record in among if poses is not None and not poses.known(record)]
            chosen = (waiting or among)[0]
            registering, cloud = timed(functools.partial(source.read, chosen))
            with products_in(precision_of(self.settings.precision, device), device):
                running, found = timed(functools.partial(_group_features, cloud, backbone))
            reading = timed(functools.partial(source.read, chosen))[0]
            seconds += len(among) * running
            seconds += (len(waiting) * registering + (len(among) - len(waiting)) * reading) / threads
            groups.append(len(found.features))
            points = max(points, cloud.points.nbytes)
        patches = PatchSizes(backbone.dimension, NO_GRID, float(groups[0]), max(groups))
        sizes = Sizes(Counter(record.split for record in self.records), {"xyz": patches}, self.settings.image_size)
        return Estimate(START_SECONDS + seconds, peak_so_far() + WAITING_COPIES * threads * points, sizes)

    def _kinds(self) -> list[list[SampleRecord]]:
        """Training clouds, which are seen from all sides, and the others."""
        training = [record for record in self.records if record.split == "train"]
        others = [record for record in self.records if record.split != "train"]
        return [kind for kind in (training, others) if kind]


def _write_split(
    target: CloudWriter, clouds: Iterator["_Cloud"], backbone: CloudBackbone, progress: Progress, advance: Advance
) -> int:
    """Write the samples of one split; returns how many groups they have."""
    total = 0
    for cloud in clouds:
        record = cloud.record
        if cloud.note:
            progress.warn(f"{record.name}: {cloud.note}")
        centers, features = _group_features(cloud, backbone)
        require_finite(record, "xyz", features)
        target.groups(features)
        if record.split == "test":
            tree: Any = cKDTree(centers)
            _, group = tree.query(cloud.points)
            target.points(cloud.defect, group.astype(np.int32), cloud.picture, cloud.shown)
        total += len(features)
        advance(1)
    target.close()
    return total


def _group_features(cloud: "_Cloud", backbone: CloudBackbone) -> GroupFeatures:
    if len(cloud.thinned) < backbone.minimum_points:
        raise DataError(
            f"{file_of(cloud.record)}: {len(cloud.thinned)} points are left after thinning, and backbone "
            f"{backbone.identity['name']} needs {backbone.minimum_points}.",
            hint="Lower --cloud-spacing, or check the unit of the file.",
        )
    return backbone.group_features(cloud.thinned)


class _Cloud(NamedTuple):
    """One sample before its features. points, thinned: registered; picture, shown: of the raw cloud, test only."""

    record: SampleRecord
    points: FloatArray
    defect: BoolArray
    thinned: FloatArray
    picture: NDArray[np.uint8]
    shown: NDArray[np.int32]
    note: str


class _Clouds:
    """Reads, registers and thins clouds. May be used by threads."""

    def __init__(self, dataset: CloudDataset, settings: ExtractSettings, poses: "_Poses | None") -> None:
        self._dataset, self._poses = dataset, poses
        self._spacing, self._size = settings.cloud_spacing, settings.image_size

    def read(self, record: SampleRecord) -> _Cloud:
        """One cloud as features are made from it. `DataError` names the file that cannot be used."""
        points, note = None, ""
        if self._poses is None:
            sample = self._dataset.read_cloud(record)
            points = sample.points
        else:
            sample, found = self._poses.registered(record)
            points, note = found.apply(sample.points), found.note
        empty = np.zeros((0, 0), dtype=np.uint8), np.zeros((0, 0), dtype=np.int32)
        picture, shown = render_cloud(sample.points, self._size) if record.split == "test" else empty
        thinned = thinned_cloud(record, points, self._spacing)
        return _Cloud(record, points, sample.defect, thinned, picture, shown, note)


class _Poses:
    """Poses of clouds relative to their template, kept in the cache's folder. May be used by threads."""

    def __init__(
        self, dataset: CloudDataset, records: Sequence[SampleRecord], settings: ExtractSettings, cache: SampleCache
    ) -> None:
        self._dataset, self._cache = dataset, cache
        self._options = RegistrationOptions(seed=settings.seed)
        self._templates = {record.files["xyz"]: record for record in records if record.split == "train"}
        self._described: dict[Path, Keypoints] = {}
        self._lock = threading.Lock()

    def registered(self, record: SampleRecord) -> tuple[CloudSample, Registration]:
        """A sample as read, and how it comes onto its template; the template itself stays where it is."""
        key = self._key(record)
        sample = self._dataset.read_cloud(record)
        template = record.files.get("template")
        if template is None or template == record.files["xyz"]:
            return sample, Registration(np.eye(4), 1.0, "")

        def compute() -> NDArray[np.float64]:
            found = register(self._keypoints(sample), self._template(template), self._options)
            return np.append(found.transform.ravel(), found.inlier_share)

        values = self._cache.fetch_numbers(key, 17, compute)
        if self._key(record) != key:
            files = ", ".join(str(path) for path in record.files.values())
            raise DataError(f"a file changed while it was read: {files}.", hint="Run the command again.")
        share = float(values[16])
        return sample, Registration(values[:16].reshape(4, 4), share, poor_note(share, self._options))

    def known(self, record: SampleRecord) -> bool:
        """Whether the sample's pose need not be found: it is in the cache, or the sample is its own template."""
        template = record.files.get("template")
        return template is None or template == record.files["xyz"] or self._cache.holds(self._key(record))

    def _template(self, file: Path) -> Keypoints:
        with self._lock:
            if file not in self._described:
                self._described[file] = self._keypoints(self._dataset.read_cloud(self._templates[file]))
            return self._described[file]

    def _keypoints(self, sample: CloudSample) -> Keypoints:
        record, spacing = sample.record, self._options.voxel_size
        thinned = thinned_cloud(record, sample.points, spacing)
        if not FEWEST_POINTS <= len(thinned) <= MOST_POINTS:
            raise DataError(
                f"{file_of(record)}: {len(thinned)} points are left after thinning to {spacing * 1000:g} mm; "
                f"registration takes {FEWEST_POINTS} to {MOST_POINTS}.",
                hint="Is the file in millimetres, and the object some centimetres large? "
                "--no-register-clouds takes clouds as they are.",
            )
        return describe(thinned, self._options)

    def _key(self, record: SampleRecord) -> str:
        content = {
            "version": POSE_VERSION,
            # Their rounding is part of the result.
            "libraries": {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "open3d")},
            "reader": self._dataset.name,
            "options": dataclasses.asdict(self._options),
            "files": {role: self._cache.digests.digest(path) for role, path in record.files.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
