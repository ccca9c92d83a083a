"""CFM in the stages: networks in place of adaptors, no banks, the product of two distances as the fused score."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.adaptor import read_pair
from lsfa_cli.artifacts.bank import write_normal, write_statistics
from lsfa_cli.artifacts.features import Features
from lsfa_cli.artifacts.scores import FUSED
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.crossmodal import CrossModalMapping, MappingOptions, load_mapping, mapped_image_scores, train_mapping
from lsfa_cli.errors import ArtifactError
from lsfa_cli.fusion import score_statistics
from lsfa_cli.maps import score_maps
from lsfa_cli.samples import MODALITIES, Split
from lsfa_cli.settings import AdaptSettings, BankSettings, ScoreSettings
from lsfa_cli.stages.methods import unusual_fusion
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.recorded import device_of
from lsfa_cli.stages.trained import read_trained_pair, write_trained
from lsfa_cli.training_batches import epoch_length


def write_mapping(features: Features, settings: AdaptSettings, writer: ArtifactWriter, progress: Progress) -> str:
    """Train CFM's networks and write them as the adaptor."""
    options = MappingOptions(
        network=settings.cfm_network,
        epochs=settings.cfm_epochs,
        batch_size=settings.cfm_batch_size,
        learning_rate=settings.cfm_learning_rate,
        seed=settings.seed,
        device=device_of(settings.device),
    )
    train = features.split("train")
    steps = options.epochs * epoch_length(len(train), options.batch_size)
    with progress.track(f"adapt {features.category}", steps) as advance:
        result = train_mapping(train, options, on_step=lambda step, total: advance(1))
    write_trained(writer, features, result, progress)
    return f"CFM, {options.network} networks, {options.epochs} epochs"


def write_calibration(
    features: Features, adaptor: Artifact, settings: BankSettings, writer: ArtifactWriter, progress: Progress
) -> str:
    """What the bank artifact has for CFM: no entries, but the scores of normal samples.

    Those of the validation split. Training samples, where there is none, score lower than other normal samples do:
    the networks have learned them.
    """
    if settings.ocsvm or settings.rgb_foreground:
        progress.warn("CFM has no banks: ocsvm and rgb_foreground change nothing")
    calibration: Split = "validation" if features.has("validation") else "train"
    if calibration == "train":
        progress.warn("no validation samples: the normal scores are those of CFM's training samples, biased low")
    writer.attribute("category", features.category)
    writer.attribute("calibration", calibration)
    images: dict[str, NDArray[np.floating]] = {}
    what = f"calibrate {features.category}"
    for name, maps in _maps(features, adaptor, calibration, settings.blur_sigma, settings.device, what, progress):
        images[name] = mapped_image_scores(maps)
        write_statistics(writer, name, score_statistics(images[name]), score_statistics(maps))
    for modality in MODALITIES:
        writer.write(f"{modality}/standardisation", read_pair(adaptor, f"{modality}/standardisation"))
    write_normal(writer, features.split(calibration).names, images)
    return f"no bank, normal scores of {len(features.split(calibration))} samples"


def write_mapped_scores(
    features: Features,
    adaptor: Artifact,
    bank: Artifact,
    settings: ScoreSettings,
    writer: ArtifactWriter,
    progress: Progress,
) -> None:
    """Write the image scores and maps of the test samples, and the normal samples' scores."""
    if told := unusual_fusion(settings):
        progress.warn(f"CFM fuses by the product of both maps: {told} changes nothing")
    sigma, what = float(bank.settings["blur_sigma"]), f"score {features.category}"
    for name, maps in _maps(features, adaptor, "test", sigma, settings.device, what, progress):
        writer.write(f"image/{name}", mapped_image_scores(maps))
        writer.write(f"maps/{name}", maps, compress=True)
    normal = {name: bank.read(f"normal/image/{name}") for name in bank.names("normal/image")}
    write_normal(writer, bank.text("normal/names"), normal)


def _maps(
    features: Features, adaptor: Artifact, split: Split, sigma: float, device: str, what: str, progress: Progress
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The maps (n, S, S) of a split, of each modality and fused: the product of both distances, then the blur."""
    mapping = _load(features, adaptor, device_of(device))
    samples = features.split(split)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (*MODALITIES, FUSED)}
    with progress.track(what, len(samples)) as advance:
        for index in range(len(samples)):
            distances = mapping.distances(samples.patches(index, "rgb"), samples.patches(index, "xyz"))
            for modality in MODALITIES:
                found[modality].append(distances[modality])
            found[FUSED].append(distances["rgb"] * distances["xyz"])
            advance(1)
    for name, rasters in found.items():
        yield name, score_maps(np.stack(rasters), size=features.image_size, sigma=sigma)


def _load(features: Features, adaptor: Artifact, device: str) -> CrossModalMapping:
    try:
        return load_mapping(adaptor.settings["cfm_network"], *read_trained_pair(features, adaptor), device=device)
    except ValueError as error:
        raise ArtifactError(f"{adaptor.path}: {error}", hint="Run: lsfa adapt --method cfm") from error
