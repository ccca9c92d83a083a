"""Whole stages at the paper's scale, on features made of random clusters: time and peak memory of each.

    python -m tests.benchmarks.whole_stages --scale 1 --folder DIR [--stages bank,score] [--out FILE]

Scale 1 is 244 training and 110 test samples of 3136 x 1152 scan patches, a third of them valid, and 784 x 768 image
patches, float16. Less takes so many samples fewer. Every stage runs in a process of its own through the command line,
so that its peak memory is its own; the first line is what the imports alone take. Before it, `--dry-run` says what
it expects of the same stage.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lsfa_cli.artifacts.features import Layout, SplitWriter
from lsfa_cli.artifacts.store import create
from lsfa_cli.samples import Modality, PatchFeatures, SampleRecord, Split
from lsfa_cli.settings import ExtractSettings, content_of
from tests.benchmarks.measuring import machine, user_environment

TRAINING, TEST = 244, 110
SIZE = 224
LAYOUTS: dict[Modality, Layout] = {"rgb": Layout(28, 768), "xyz": Layout(56, 1152)}
CLUSTERS = 64
SPREAD = 0.5  # of a cluster, beside the distance between clusters of about the root of twice the dimension
DATA, CATEGORY = "folder", "scale"

# name, arguments; in the order in which they need one another
STAGES: dict[str, list[str]] = {
    "bank": ["bank", "--no-adaptor"],
    "score": ["score", "--variant", "baseline"],
    "adapt": ["adapt", "--steps", "3"],
    "bank with adaptor": ["bank"],
    "score with adaptor": ["score"],
}

# Peak memory that issue and documentation promise, bytes.
MOST: dict[str, float] = {"bank": 6e9, "bank with adaptor": 6e9, "score": 3e9, "score with adaptor": 3e9}

# Runs the command line and then tells on stderr how much memory it took; of a dry run also what it expects.
_TELLING = """
import sys, time
import lsfa_cli.__main__ as program
from lsfa_cli.artifacts.lineage import peak_memory_bytes
from lsfa_cli.stages.estimates import Estimate
worded = Estimate.__str__
def tell(estimate):
    print(f"ESTIMATED {estimate.seconds} {estimate.memory}", file=sys.stderr)
    return worded(estimate)
Estimate.__str__ = tell
start = time.perf_counter()
sys.argv = ["lsfa", *sys.argv[1:]]
code = 0
try:
    program.main()
except SystemExit as end:
    code = end.code or 0
print(f"MEASURED {time.perf_counter() - start} {time.process_time()} {peak_memory_bytes()}", file=sys.stderr)
sys.exit(code)
"""


class Measured(NamedTuple):
    """What one stage took: seconds, seconds of processors, and bytes of memory at the peak; expected: by a dry run."""

    stage: str
    seconds: float
    processor_seconds: float
    peak_bytes: int
    expected_seconds: float | None = None
    expected_bytes: float | None = None


def samples_at(scale: float) -> tuple[int, int]:
    """Training and test samples at a scale, at least two of each."""
    return max(2, round(TRAINING * scale)), max(2, round(TEST * scale))


def write_features(path: Path, training: int, test: int, layouts: dict[Modality, Layout] = LAYOUTS) -> None:
    """The features artifact of a made-up category: patches around cluster centres, the part a disc in the middle."""
    recorded = content_of(ExtractSettings(image_size=SIZE)) | {"device": "cpu", "stage_version": 1}
    path.parent.mkdir(parents=True, exist_ok=True)
    with create(path, "features", settings=recorded, inputs={"dataset": "0" * 64}) as writer:
        writer.attribute("dataset", DATA)
        writer.attribute("category", CATEGORY)
        writer.attribute("backbones", json.dumps({modality: {"name": "made up"} for modality in layouts}))
        for modality, layout in layouts.items():
            writer.attribute(f"{modality}_grid", layout.grid)
        generator = np.random.default_rng(0)
        centers = {
            modality: generator.standard_normal((CLUSTERS, layout.dimension), dtype=np.float32)
            for modality, layout in layouts.items()
        }
        splits: tuple[tuple[Split, int], ...] = (("train", training), ("test", test))
        for split, count in splits:
            records = list(_records(split, count))
            target = SplitWriter(writer, split, records, layouts, SIZE)
            for index, record in enumerate(records):
                target.patches(index, {key: _patches(key, layouts[key], centers[key], generator) for key in layouts})
                if split == "test":
                    picture = np.zeros((SIZE, SIZE), dtype=np.uint8)
                    mask = np.zeros((SIZE, SIZE), dtype=bool)
                    mask[100:120, 100:120] = record.label
                    target.pictures(index, mask, np.stack([picture] * 3, axis=2), picture)
            target.close()


def _records(split: Split, count: int) -> Iterator[SampleRecord]:
    for index in range(count):
        defect = "hole" if split == "test" and index % 2 else "good"
        yield SampleRecord(f"{split}/{defect}/{index:03d}", split, defect, {})


def _patches(modality: Modality, layout: Layout, centers: np.ndarray, generator: np.random.Generator) -> PatchFeatures:
    """Patches of one sample: neighbours are of one cluster, so that rows look as a part's do."""
    cells = np.arange(layout.grid) * 8 // layout.grid
    cluster = (cells[:, None] * 8 + cells[None]).reshape(-1)
    valid = np.ones(layout.grid**2, dtype=bool)
    if modality == "xyz":
        place = np.arange(layout.grid) + 0.5 - layout.grid / 2
        valid = (np.hypot(place[:, None], place[None]) < layout.grid * 0.3257).reshape(-1)  # a third of the square
    chosen = cluster[valid]
    noise = generator.standard_normal((len(chosen), layout.dimension), dtype=np.float32)
    return PatchFeatures(centers[chosen] + SPREAD * noise, valid, layout.grid)


def measure(name: str, arguments: Sequence[str], work: Path) -> Measured:
    """Run one command of the program in a process of its own, and where it is a stage its dry run before."""
    if name == IMPORTS:
        (figures,) = _told(name, arguments, "MEASURED")
        return Measured(name, figures[0], figures[1], int(figures[2]))
    command = [*arguments, "--data", DATA, "--work", str(work), "--category", CATEGORY, "--rerun"]
    (expected,) = _told(name, [*command, "--dry-run"], "ESTIMATED")
    (figures,) = _told(name, command, "MEASURED")
    return Measured(name, figures[0], figures[1], int(figures[2]), *expected)


def _told(name: str, command: Sequence[str], word: str) -> list[list[float]]:
    """The numbers of the lines that begin with a word, of what a command tells."""
    program = [sys.executable, "-c", _TELLING, *command]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=user_environment())
    told = [[float(part) for part in line.split()[1:]] for line in done.stderr.splitlines() if line.startswith(word)]
    if done.returncode or not told:
        raise RuntimeError(f"{name} failed:\n{done.stderr}")
    return told


IMPORTS = "imports"


def main() -> None:
    """Make the features where they are not there, run the stages, print a table and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=0.1, help="share of the paper's number of samples")
    parser.add_argument("--folder", type=Path, required=True, help="work folder; features there are used again")
    parser.add_argument("--stages", default=",".join(STAGES), help="which, by comma")
    parser.add_argument("--date", help="noted in the file as it is given")
    parser.add_argument("--out", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    training, test = samples_at(arguments.scale)
    features = arguments.folder / DATA / CATEGORY / "features.h5"
    if not features.exists():
        write_features(features, training, test)
    print(f"{training} training and {test} test samples, features {features.stat().st_size / 1e9:.2f} GB", flush=True)
    found = []
    importing = (IMPORTS, ["list", "backbones"])
    for name, command in (importing, *((name, STAGES[name]) for name in arguments.stages.split(","))):
        found.append(measure(name, command, arguments.folder))
        print(_line(found[-1]), flush=True)
    if arguments.out:
        result = {
            "date": arguments.date,
            "machine": machine(),
            "training": training,
            "test": test,
            "features_bytes": features.stat().st_size,
            "stages": [one._asdict() | {"most_bytes": MOST.get(one.stage)} for one in found],
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def _line(found: Measured) -> str:
    times = f"{found.seconds:8.1f} s {found.processor_seconds:8.1f} s of processors"
    expected = (
        ""
        if found.expected_seconds is None or found.expected_bytes is None
        else f", expected {found.expected_seconds:.1f} s {found.expected_bytes / 1e9:.2f} GB"
    )
    return f"{found.stage:20} {times} {found.peak_bytes / 1e9:6.2f} GB{expected}"


if __name__ == "__main__":
    main()
