"""The settings: one typed model a stage, and where each value came from.

A field's description is its `--help` text, so it carries the unit and the place in the paper.
Every field of a stage's model can change the content of that stage's artifact and is recorded in it;
what cannot (folders, worker counts, verbosity) is in `RunSettings` and never recorded.

Precedence: command line, environment (`LSFA_SEED`, `LSFA_BANK_CORESET_RATIO`), `lsfa.toml`, default.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lsfa_cli.errors import UsageError
from lsfa_cli.samples import Split
from lsfa_cli.source_weights import SourceWeights, parse_weights

ModalityChoice = Literal["rgb", "xyz", "both"]
PrecisionChoice = Literal["auto", "fp32", "bf16"]
WEIGHTS_FILES = ("rgb_weights", "xyz_weights")
"""The settings that name a file; what an artifact records of them is its content."""


class StageSettings(BaseModel):
    """What every stage's settings share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: ModalityChoice = Field(
        "both", description="Which data to use: the image, the 3D scan, or both (all there is)."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where networks run; auto takes cuda where there is one."
    )
    seed: int = Field(0, ge=0, description="Seed of every random choice of this stage.")

    def without_effect(self) -> set[str]:
        """The settings that change nothing, because of others."""
        return set()


class ExtractSettings(StageSettings):
    """Preprocessing (METHOD 1), backbones and the projection to patches (METHOD 2)."""

    rgb_backbone: str = Field(
        "texture", description="Image backbone: texture, dino_vitb8, timm:MODEL, ... (lsfa list backbones)."
    )
    rgb_weights: Path | None = Field(
        None, description="Weights of the image backbone: a .safetensors, .pth or .npz file. Default: timm's download."
    )
    xyz_backbone: str = Field(
        "surface",
        description="3D backbone: surface, fpfh, point_mae; of unorganized clouds: fpfh, point_mae, coordinates (lsfa "
        "list backbones).",
    )
    xyz_weights: Path | None = Field(None, description="Weights of the 3D backbone, for point_mae its pretrain.pth.")
    projection: Literal["public", "paper"] = Field(
        "public", description="Eq. 1: 3 nearest centres and zero-padded pooling (public), or as printed (paper)."
    )
    xyz_grid: int = Field(56, ge=4, le=224, description="Patches a side of the 3D grid (paper 56, BTF 28).")
    local_average: bool = Field(
        False, description="Average each image patch with its 3 x 3 neighbours (PatchCore does, LSFA does not)."
    )
    image_size: int = Field(224, ge=32, description="Side of the preprocessed image and cloud, pixels.")
    rgb_fine: int = Field(
        1,
        ge=1,
        le=4,
        description="2: image features also of an image twice as wide and high, averaged to the same patches and put "
        "beside the others, for small defects; images take five times as long. 1: of the image alone.",
    )
    border_width: int = Field(10, ge=1, description="Width of the border that the plane is fitted to, pixels.")
    plane_sample_points: int = Field(50, ge=3, description="Points a RANSAC draw.")
    plane_draws: int = Field(1000, ge=1, description="RANSAC draws.")
    remove_plane: bool | None = Field(
        None, description="Remove the background plane. Default: as the data set asks; mvtec3d does."
    )
    plane_inlier_distance: float | None = Field(
        None, gt=0, description="RANSAC inlier distance of the plane, metres. Default: the data set's; mvtec3d 0.004."
    )
    plane_removal_distance: float | None = Field(
        None,
        ge=0,
        description="Points nearer than this to the plane are background, metres. Default: the data set's; "
        "mvtec3d 0.005.",
    )
    keep_largest_cluster: bool | None = Field(
        None, description="Keep only the largest cluster of points. Default: as the data set asks; mvtec3d does."
    )
    cluster_distance: float | None = Field(
        None, gt=0, description="DBSCAN neighbourhood of a cluster, metres. Default: the data set's; mvtec3d 0.006."
    )
    cluster_min_points: int | None = Field(
        None, ge=1, description="DBSCAN points a neighbourhood. Default: the data set's; mvtec3d 30."
    )
    pad_multiple: int | None = Field(
        None,
        ge=1,
        description="Samples are padded to a square whose side is a multiple of this, pixels. Default: the data "
        "set's; mvtec3d 100.",
    )
    register_clouds: bool = Field(
        True, description="Bring each unorganized cloud into the pose of the category's template, as Reg3D-AD does."
    )
    cloud_spacing: float = Field(
        0.0005,
        ge=0,
        description="Spacing that unorganized clouds are thinned to for the backbone, metres; 0: all points.",
    )
    precision: PrecisionChoice = Field(
        "auto",
        description="Type of transformers' matrix products: fp32, bf16 (features change by up to 1 percent), or auto: "
        "bf16 where processor or GPU have matrix units for it. Other backbones compute in fp32.",
    )
    light: int = Field(4, ge=0, le=5, description="Which light of eyecandies; published figures use 4.")
    pasted: int = Field(
        0,
        ge=0,
        description="Also store features of so many versions of every training and validation sample with a defect "
        "pasted in, never of test samples: adapt --objective pasted learns from them. lsfa data paste shows such "
        "defects.",
    )
    pasted_at_least: int = Field(
        0,
        ge=0,
        description="With --pasted, more versions of the training samples where there are few of them, so that there "
        "are at least so many together.",
    )

    def without_effect(self) -> set[str]:
        """What is not asked for is not recorded: features made when there was no choice stay up to date."""
        unused = set() if self.rgb_fine > 1 else {"rgb_fine"}
        if not self.pasted:
            return unused | {"pasted", "pasted_at_least"}
        return unused if self.pasted_at_least else unused | {"pasted_at_least"}

    def versions_of(self, samples: int, split: Split) -> int:
        """How many pasted versions so many samples of a split have together."""
        if not self.pasted or not samples:
            return 0
        return max(self.pasted * samples, self.pasted_at_least if split == "train" else 0)


class LearningSettings(StageSettings):
    """LSFA's losses and the training loop, whatever learns by them."""

    losses: str = Field(
        "L_LA,L_GA,L_LC,L_GC", description="Loss terms in use, by comma: L_LA, L_GA (CLC), L_LC, L_GC (IFC)."
    )
    clc_weight: float = Field(0.6, ge=0, description="lambda of Eq. 9, the weight of CLC.")
    update: Literal["joint", "alternating"] = Field(
        "joint", description="One step on the sum (Eq. 9), or a step on CLC and then one on IFC (Algorithm 1)."
    )
    contrast: Literal["row", "pairs"] = Field(
        "row", description="Denominator of Eq. 2 and 3: over one row, or over all pairs as printed."
    )
    temperature: float = Field(0.2, gt=0, description="Temperature T of the contrast (public code: 1).")
    patches_per_sample: int = Field(1024, ge=1, description="Patches a sample that enter L_LA, a seeded subset.")
    prototypes: int = Field(1, ge=1, description="Prototypes a sample and modality (Eq. 3); 1 is the mean.")
    distance: Literal["l2", "squared"] = Field(
        "l2", description="Distance of IFC: as printed in Eq. 5 and 6 (l2), or as the text says (squared)."
    )
    exclude_same_sample: bool = Field(True, description="A bank entry of the same sample is not a neighbour in IFC.")
    local_bank_size: int = Field(50_000, ge=1, description="Patches kept in the local training bank (Eq. 7).")
    global_bank_size: int = Field(100, ge=1, description="Prototypes kept in the global training bank (Eq. 7).")
    head_dimension: int = Field(512, ge=1, description="Output width of the projection heads.")
    steps: int = Field(100, ge=0, description="Training steps; 0 leaves what would learn as it starts.")
    train_samples: int | None = Field(
        None, ge=1, description="Train on so many samples, drawn by the seed. Default: all."
    )
    batch_size: int = Field(8, ge=1, description="Samples a step.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    guard_interval: int = Field(5, ge=1, description="Steps between checks of the collapse guard.")
    guard_rank_ratio: float = Field(
        0.5, ge=0, le=1, description="Training stops when the effective rank falls below this share of its start."
    )


class _AdaptorSettings(StageSettings):
    """What comes first in the settings of `adapt`: pydantic puts the fields of the last base before those of others."""

    method: Literal["lsfa", "cfm", "uff", "btf"] = Field(
        "lsfa",
        description="What is trained: adaptors (lsfa), networks that predict each modality from the other (cfm), "
        "M3DM's fused features for a third bank (uff), or nothing, for a bank of both features side by side (btf).",
    )
    adaptor: str = Field("encoder_1", description="Adaptor (Table 7): linear, conv1x1, encoder_1, encoder_2.")
    start: Literal["identity", "random"] = Field(
        "identity", description="Initial weights: identity gives the backbone's features before training."
    )


class AdaptSettings(LearningSettings, _AdaptorSettings):
    """Adaptors, losses and training (METHOD 3), or another method's training in their place."""

    largest_sample: int = Field(
        4096, ge=1, description="With one modality, larger samples (clouds) train by a subset of so many patches."
    )
    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate of AdamW.")
    precision: PrecisionChoice = Field(
        "auto",
        description="Type of matrix products: fp32, bf16 (of training, and those that the search for nearest entries "
        "begins with), or auto: bf16 where processor or GPU have matrix units for it.",
    )
    cfm_network: Literal["small", "big"] = Field(
        "small",
        description="Networks of CFM: small has 3 linear layers, big has 7 (its authors' advice for eyecandies).",
    )
    cfm_epochs: int = Field(50, ge=0, description="Epochs of CFM; 0 leaves the networks as they start.")
    cfm_batch_size: int = Field(4, ge=1, description="Samples a step of CFM (its authors: 2 for eyecandies).")
    cfm_learning_rate: float = Field(1e-3, gt=0, description="Learning rate of CFM's Adam.")
    uff_epochs: int = Field(3, ge=0, description="Epochs of M3DM's fused features; 0 leaves them as they start.")
    uff_batch_size: int = Field(16, ge=1, description="Samples a step of M3DM's fused features.")
    uff_learning_rate: float = Field(3e-3, gt=0, description="Peak learning rate of M3DM's AdamW.")
    objective: Literal["lsfa", "pasted", "lsfa+pasted", "none"] = Field(
        "lsfa",
        description="What the method lsfa trains: adaptors (lsfa), discriminators that tell patches with pasted "
        "defects from others (pasted; needs extract --pasted), both, or nothing.",
    )
    leave_out: str = Field(
        "", description="Kinds of pasted defects that discriminators do not learn from, by comma, as in hole,scratch."
    )
    pasted_steps: int = Field(2000, ge=0, description="Training steps of a discriminator; 0 leaves it as it starts.")
    pasted_batch_size: int = Field(512, ge=4, description="Patches a step, one touched to three untouched ones.")
    pasted_width: int = Field(128, ge=1, description="Width of a discriminator's two hidden layers.")
    pasted_dropout: float = Field(0.2, ge=0, lt=1, description="Share of hidden values that dropout sets to 0.")
    pasted_learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of a discriminator's AdamW.")
    pasted_shuffled: bool = Field(
        False, description="The control: every pasted sample learns from the mask of another one."
    )

    def without_effect(self) -> set[str]:
        """The settings of the other methods.

        LSFA's adaptors do not record their method: those made when there was no other one stay up to date.
        """
        fields = set(type(self).model_fields)
        own = {name for name in fields if name.startswith(f"{self.method}_")}
        others = {name for name in fields if name.startswith(("cfm_", "uff_"))} - own
        if self.method == "lsfa":
            return others | {"method"} | self._without_effect_on_lsfa()
        return fields - own - {"method", "train_samples"} - set(StageSettings.model_fields)

    def _without_effect_on_lsfa(self) -> set[str]:
        """What its objective leaves unused. The first objective is not recorded, as there was no other one."""
        fields = set(type(self).model_fields)
        common = {"objective", "train_samples"} | set(StageSettings.model_fields)
        discriminators = {name for name in fields if name.startswith("pasted_")} | {"leave_out"}
        unused = set() if self.trains_adaptors else fields - common - discriminators
        if not self.trains_discriminators:
            unused |= discriminators
        return unused | ({"objective"} if self.objective == "lsfa" else set())

    @property
    def trains_adaptors(self) -> bool:
        """Whether LSFA's adaptors are trained."""
        return self.method == "lsfa" and self.objective in ("lsfa", "lsfa+pasted")

    @property
    def trains_discriminators(self) -> bool:
        """Whether discriminators of pasted defects are trained."""
        return self.method == "lsfa" and self.objective in ("pasted", "lsfa+pasted")

    def untrained(self) -> "AdaptSettings":
        """The control: networks that start at random and are never trained, or that learn from shuffled masks."""
        control = {"start": "random", "steps": 0, "cfm_epochs": 0, "uff_epochs": 0, "pasted_shuffled": True}
        return self.model_copy(update=control)


class _BackboneTuningSettings(StageSettings):
    """What comes first in the settings of `finetune`."""

    how: Literal["lora", "adalora", "last_1", "last_2", "last_3", "all"] = Field(
        "lora",
        description="What learns in the backbones: factors of low rank (lora, adalora; Table 8), the weights of the "
        "last 1, 2 or 3 blocks, or all weights (Table 10).",
    )
    rank: int = Field(8, ge=1, description="Rank of LoRA's factors; of AdaLoRA's the average at the end.")
    alpha: float = Field(16.0, gt=0, description="Scale of the factors: their product is multiplied by alpha / rank.")


class FinetuneSettings(LearningSettings, _BackboneTuningSettings):
    """Training through the backbones with LSFA's losses, no adaptor (Tables 8 and 10)."""

    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate of AdamW. Default: 1e-3 for factors of low rank, which start at 0; 1e-4 for "
        "weights.",
    )

    def without_effect(self) -> set[str]:
        """What is of low rank alone."""
        return set() if self.how in ("lora", "adalora") else {"rank", "alpha"}

    @property
    def effective_learning_rate(self) -> float:
        """The learning rate, or the default that `how` has."""
        return self.learning_rate or (1e-3 if self.how in ("lora", "adalora") else 1e-4)


class BankSettings(StageSettings):
    """Memory banks and their calibration on normal samples (METHOD 4, 1 to 5)."""

    coreset: Literal["greedy", "random", "all"] = Field("greedy", description="How bank entries are chosen.")
    coreset_ratio: float = Field(0.1, gt=0, le=1, description="Share of a modality's training patches kept.")
    rgb_foreground: bool = Field(False, description="Image patches only where they touch the part, in bank and map.")
    blur_sigma: float = Field(4.0, ge=0, description="Standard deviation of the map's Gaussian blur, pixels.")
    train_samples: int | None = Field(
        None, ge=1, description="Make the banks from so many training samples, drawn by the seed. Default: all."
    )
    ocsvm: bool = Field(False, description="Also fit M3DM's one-class SVMs, which score --fusion ocsvm needs.")


class ScoreSettings(StageSettings):
    """Fusion of the modalities' scores (METHOD 4, 6)."""

    fusion: Literal["average", "average_raw", "ocsvm"] = Field(
        "average", description="Mean of calibrated scores (paper), of raw distances, or M3DM's one-class SVM."
    )
    sources: Literal["all", "bank", "pasted"] = Field(
        "all",
        description="Where there are discriminators of pasted defects: score by banks and discriminators (all, the "
        "mean of their calibrated scores; each alone is told beside), by banks or by discriminators alone.",
    )

    image_weights: str = Field(
        "",
        description="Weights of the sources in image scores, as in rgb_bank=1,xyz_bank=0.5,rgb_pasted=2; a source that "
        "is left out has 0. Nothing: all alike.",
    )
    map_weights: str = Field("", description="The same for anomaly maps.")

    @model_validator(mode="after")
    def _weigh_calibrated_scores(self) -> "ScoreSettings":
        """Weights are read when they are given, and not only after the stages before."""
        if any(self.weights) and self.fusion != "average":
            raise UsageError(
                f"--fusion {self.fusion} has no place for weights of the sources, which are of calibrated scores",
                hint="Use --fusion average, or leave image_weights and map_weights empty.",
            )
        return self

    @property
    def weights(self) -> SourceWeights:
        """The weights of the sources. Raises UsageError where they are none."""
        return SourceWeights(
            parse_weights(self.image_weights, "image_weights"), parse_weights(self.map_weights, "map_weights")
        )

    def without_effect(self) -> set[str]:
        """All sources alike are not recorded: scores made when there were banks alone stay up to date."""
        unused = {"sources"} if self.sources == "all" else set()
        return unused | {name for name in ("image_weights", "map_weights") if not getattr(self, name).strip()}


class ReportSettings(BaseModel):
    """Metrics of the report (METHOD 5)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: ModalityChoice = Field("both", description="Which rows to show; both shows rgb, xyz and rgb+xyz.")
    aupro_limits: str = Field("0.3", description="False-positive rates up to which AUPRO integrates, by comma.")
    aupro_thresholds: int | None = Field(
        None, ge=2, description="Thresholds of AUPRO: none is exact, 100 the published protocol."
    )


class RunSettings(BaseModel):
    """Where things are and how much of the machine to use. Never recorded in an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field("mvtec3d", description="Dataset (lsfa list datasets).")
    root: Path | None = Field(None, description="Folder that holds the dataset's categories (LSFA_DATA_ROOT).")
    work: Path = Field(Path("lsfa-work"), description="Folder of the artifacts: WORK/DATA/CATEGORY/*.h5.")
    cache: Path | None = Field(None, description="Folder of the preprocessing cache. Default: the user's cache folder.")
    jobs: int = Field(
        0, ge=0, description="Workers that read and preprocess ahead; 0 takes one a processor. No result depends on it."
    )
    search: Literal["own", "faiss"] = Field(
        "own",
        description="What finds nearest bank entries: matrix products of NumPy, on CUDA of PyTorch (own), or faiss. "
        "Both are exact and give the same result.",
    )


STAGES: Mapping[str, type[BaseModel]] = {
    "extract": ExtractSettings,
    "adapt": AdaptSettings,
    "finetune": FinetuneSettings,
    "bank": BankSettings,
    "score": ScoreSettings,
    "report": ReportSettings,
}


def content_of(settings: BaseModel) -> dict[str, Any]:
    """The settings as plain JSON values, for an artifact: those that can change its content.

    A precision that the machine decides is left out, as before there was a choice: `recorded` knows what it became.
    """
    unused = settings.without_effect() if isinstance(settings, StageSettings) else set()
    if getattr(settings, "precision", None) == "auto":
        unused = unused | {"precision"}
    return settings.model_dump(mode="json", exclude=unused)
