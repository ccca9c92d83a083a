"""The judged artifact: what sources of scores say of normal and pasted validation samples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.store import Artifact, ArtifactWriter

NORMAL, PASTED = "normal", "pasted"


def write_judged(
    writer: ArtifactWriter, part: str, source: str, patches: NDArray[np.float32], image: NDArray[np.float64] | None
) -> None:
    """Write what a source says of a `part`, NORMAL or PASTED samples: patch scores, and a bank's image scores."""
    writer.write(f"{part}/patches/{source}", patches)
    if image is not None:
        writer.write(f"{part}/image/{source}", image)


def judging_sources(artifact: Artifact) -> Sequence[str]:
    """The names of the sources: rgb, xyz of banks, or rgb_pasted, xyz_pasted of discriminators."""
    return artifact.names(f"{NORMAL}/patches")


def read_patches(artifact: Artifact, part: str, source: str) -> NDArray[np.float32]:
    """(n, G * G), scores of patches; a place without patch has 0."""
    return artifact.read(f"{part}/patches/{source}")


def read_image(artifact: Artifact, part: str, source: str) -> NDArray[np.float64] | None:
    """(n,), image scores of a bank; None of a discriminator, whose image scores follow from its blurred map."""
    path = f"{part}/image/{source}"
    return artifact.read(path) if path in artifact else None


def read_one_class(artifact: Artifact, kind: str) -> NDArray[np.float64] | None:
    """The one-class SVM of image scores or of maps: weights, then offset; None where there is none."""
    path = f"one_class/{kind}"
    return artifact.read(path) if path in artifact else None
