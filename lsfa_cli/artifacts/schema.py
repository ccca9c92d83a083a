"""What is in each artifact: names, shapes, types and meaning of the data sets.

This is the one place that knows. `store` checks every file against it, and the reference page is made from it.
Symbols in shapes: n samples, G*G patches, D values a patch, S pixels a side, V valid patches of all samples together,
P points of all samples together, M bank entries, T training steps at which a curve was taken, O x I a weight of a
network, r a rank. `*` in a path stands for one name of any kind.

Unorganized clouds have groups of points in place of patches: the xyz grid is 0, all groups are valid, and what a mask
and a map are to an image, `points/...` are to a cloud.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Kind = Literal["float16", "float32", "float64", "int32", "int64", "uint8", "bool", "text"]


@dataclass(frozen=True)
class DataSet:
    """One data set (or a family of them): its path pattern, shape in symbols, type and meaning."""

    path: str
    shape: tuple[str, ...]
    kind: Kind
    meaning: str
    required: bool = True


@dataclass(frozen=True)
class Schema:
    """One kind of artifact. `version` rises with every change that old readers cannot take."""

    name: str
    version: int
    meaning: str
    data_sets: tuple[DataSet, ...]
    attributes: Mapping[str, str]

    def find(self, path: str) -> DataSet | None:
        """The data set that a path belongs to, or None when the schema has no such path."""
        return next((row for row in self.data_sets if _matches(path, row.path)), None)


def _matches(path: str, pattern: str) -> bool:
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def _samples(split: str, required: bool) -> tuple[DataSet, ...]:
    return (
        DataSet(f"{split}/names", ("n",), "text", "sample names, as in test/hole/003", required),
        DataSet(f"{split}/labels", ("n",), "uint8", "1 for a defective part, 0 for a good one", required),
        DataSet(f"{split}/defects", ("n",), "text", "defect kind, `good` where there is none", required),
        DataSet(f"{split}/rgb", ("n", "G*G", "D"), "float16", "image patches, row by row", False),
        DataSet(
            f"{split}/xyz/values", ("V", "D"), "float16", "3D patches, the valid ones only; groups of a cloud", False
        ),
        DataSet(f"{split}/xyz/offsets", ("n+1",), "int64", "sample i has the values from offsets[i] on", False),
        DataSet(f"{split}/xyz/valid", ("n", "G*G"), "bool", "which patches have a point; not of clouds", False),
    )


def _pasted(split: str) -> tuple[DataSet, ...]:
    """Versions of a split's samples with a defect pasted in, laid out as a split; `defects` are the kinds."""
    group = f"pasted/{split}"
    return (
        *_samples(group, False),
        DataSet(f"{group}/originals", ("n",), "int64", f"which {split} sample each was made from", False),
        DataSet(f"{group}/masks", ("n", "S", "S"), "bool", "pixels that the pasted defect touches", False),
    )


FEATURES = Schema(
    "features",
    2,
    "Patch features of every sample of one category (METHOD 1 and 2).",
    (
        *_samples("train", True),
        *_samples("validation", False),
        *_samples("test", False),
        DataSet("test/masks", ("n", "S", "S"), "bool", "defect pixels", False),
        DataSet("test/masked", ("n",), "bool", "whose defects are marked; all where this is absent", False),
        DataSet("test/pictures/rgb", ("n", "S", "S", "3"), "uint8", "preprocessed image, for the report", False),
        DataSet("test/pictures/depth", ("n", "S", "S"), "uint8", "shaded scan, for the report", False),
        DataSet(
            "test/pictures/point", ("n", "S", "S"), "int32", "cloud: the point that is shown there; -1 none", False
        ),
        DataSet("test/points/offsets", ("n+1",), "int64", "cloud i has the points from offsets[i] on", False),
        DataSet("test/points/defect", ("P",), "bool", "cloud: points on a defect, in the file's order", False),
        DataSet("test/points/group", ("P",), "int32", "cloud: nearest group, counted within its sample", False),
        *_pasted("train"),
        *_pasted("validation"),
    ),
    {
        "dataset": "name of the data set",
        "category": "name of the category",
        "rgb_grid": "image patches a side, where there are any",
        "xyz_grid": "3D patches a side, where there are any; 0 for groups of a cloud",
        "backbones": "JSON: modality -> what made its features (name, arguments, hash of the weights)",
    },
)

FINETUNED = Schema(
    "finetuned",
    1,
    "What training through the backbones changed in their weights, and how it went (Tables 8 and 10).",
    (
        DataSet(
            "*/identity", ("1",), "text", "JSON: the backbone before training (name, arguments, hash of the weights)"
        ),
        DataSet("*/weights/*", ("any",), "float32", "the new values of one parameter, by its name", False),
        DataSet("*/left/*", ("O", "r"), "float32", "LoRA, AdaLoRA: left @ right is added to the parameter", False),
        DataSet("*/right/*", ("r", "I"), "float32", "see left; I is all axes of the parameter but the first", False),
        DataSet("curves/*", ("T",), "float64", "one curve of training; NaN where it was not measured", False),
    ),
    {
        "dataset": "name of the data set",
        "category": "name of the category",
        "stopped": "what ended training",
        "notes": "JSON: remarks of training",
    },
)

ADAPTOR = Schema(
    "adaptor",
    2,
    "Trained adaptors, or another method's networks, and how training went (METHOD 3).",
    (
        DataSet("*/standardisation", ("2",), "float64", "mean and deviation of the training patches' values"),
        DataSet(
            "*/parameters/*",
            ("any",),
            "float32",
            "one parameter, by its name; of CFM: of the network that predicts the modality",
            False,
        ),
        DataSet("curves/*", ("T",), "float64", "one curve of training; NaN where it was not measured", False),
        DataSet(
            "discriminator/*/statistics",
            ("2", "D"),
            "float32",
            "discriminator of pasted defects: mean and deviation of each channel",
            False,
        ),
        DataSet("discriminator/*/parameters/*", ("any",), "float32", "one parameter of it, by its name", False),
        DataSet("discriminator/curves/*", ("T",), "float64", "one curve of the training of discriminators", False),
    ),
    {"category": "name of the category", "stopped": "what ended training", "notes": "JSON: remarks of training"},
)

BANK = Schema(
    "bank",
    2,
    "Memory banks and their calibration on normal samples (METHOD 4, 1 to 5). CFM has the calibration alone.",
    (
        DataSet("*/entries", ("M", "D"), "float32", "adapted patches kept, in order of choice", False),
        DataSet("*/indices", ("M",), "int64", "which of the training patches they are", False),
        DataSet("*/standardisation", ("2",), "float64", "mean and deviation applied before the adaptor"),
        DataSet("*/image_statistics", ("2",), "float64", "mean and deviation of normal samples' image scores"),
        DataSet("*/map_statistics", ("2",), "float64", "mean and deviation over the pixels of normal maps, or groups"),
        DataSet(
            "*/patch_statistics",
            ("2",),
            "float64",
            "rgb_pasted, xyz_pasted: mean and deviation of a discriminator's logits of normal patches on the part",
            False,
        ),
        DataSet("normal/names", ("n",), "text", "the normal samples of the calibration"),
        DataSet(
            "normal/image/*",
            ("n",),
            "float64",
            "their image scores, by modality; of CFM also fused, of a third bank uff or btf, of discriminators "
            "rgb_pasted and xyz_pasted",
        ),
        DataSet(
            "one_class/image",
            ("3",),
            "float64",
            "one-class SVM on image scores: weights (rgb, xyz[, uff]), offset",
            False,
        ),
        DataSet(
            "one_class/map", ("3",), "float64", "one-class SVM on map values: weights (rgb, xyz[, uff]), offset", False
        ),
    ),
    {
        "category": "name of the category",
        "calibration": "which normal samples: validation, or train scored without their own patches (CFM: as they are)",
    },
)

SCORES = Schema(
    "scores",
    2,
    "Scores and anomaly maps of the test samples (METHOD 4).",
    (
        DataSet("names", ("n",), "text", "sample names"),
        DataSet("labels", ("n",), "uint8", "1 for a defective part, 0 for a good one"),
        DataSet("defects", ("n",), "text", "defect kind, `good` where there is none"),
        DataSet("masks", ("n", "S", "S"), "bool", "defect pixels", False),
        DataSet("masked", ("n",), "bool", "whose defects are marked; all where this is absent", False),
        DataSet(
            "image/*",
            ("n",),
            "float64",
            "image scores: rgb, xyz, fused; a third bank's too: of M3DM uff, of BTF btf; with discriminators of pasted "
            "defects also rgb_bank, rgb_pasted, ...: banks alone, discriminators alone",
        ),
        DataSet(
            "distances/*",
            ("n", "G*G"),
            "float32",
            "of each patch to its bank's nearest entry; NaN without patch",
            False,
        ),
        DataSet(
            "maps/*",
            ("n", "S", "S"),
            "float32",
            "anomaly maps: the same names as image scores, but for those in mixtures",
            False,
        ),
        DataSet(
            "mixtures/*/*",
            ("3",),
            "float64",
            "a map that is a weighted mean of others, by source: share, and mean and deviation of the source on normal "
            "samples; the map is the sum of share x (source - mean) / deviation",
            False,
        ),
        DataSet("points/offsets", ("n+1",), "int64", "cloud i has the points from offsets[i] on", False),
        DataSet("points/defect", ("P",), "bool", "cloud: points on a defect, in the file's order", False),
        DataSet("points/xyz", ("P",), "float32", "cloud: scores of its points", False),
        DataSet("normal/names", ("n",), "text", "normal samples, for setting thresholds"),
        DataSet("normal/image/*", ("n",), "float64", "their image scores, by the same names"),
    ),
    {
        "dataset": "name of the data set",
        "category": "name of the category",
        "method": "what made the scores: LSFA, baseline (no adaptor), control (untrained adaptor), CFM, M3DM, "
        "LSFA + pasted, ...",
        "backbones": "JSON: modality -> what made its features",
        "remarks": "JSON: what a reader of the figures must know, such as a training that was stopped",
    },
)

JUDGED = Schema(
    "judged",
    1,
    "What banks or discriminators say of normal validation samples and of their versions with pasted defects, for "
    "lsfa tune, before maps are blurred and sources put together.",
    (
        DataSet("normal/names", ("n",), "text", "names of the validation samples"),
        DataSet("pasted/names", ("n",), "text", "names of their pasted versions"),
        DataSet("*/image/*", ("n",), "float64", "normal and pasted: image scores of banks, by modality", False),
        DataSet(
            "*/patches/*",
            ("n", "G*G"),
            "float32",
            "normal and pasted: scores of patches, of banks by modality, of discriminators rgb_pasted, xyz_pasted",
        ),
        DataSet("one_class/*", ("any",), "float64", "image and map: one-class SVM as in the bank", False),
    ),
    {"dataset": "name of the data set", "category": "name of the category"},
)

FIGURES = Schema(
    "figures",
    1,
    "The figures of one variant, seed and category of a study or of lsfa tune, and the sums that resampling them "
    "takes. Of lsfa tune: on normal validation samples and their pasted versions.",
    (
        DataSet("labels", ("n",), "uint8", "1 for a defective sample, 0 for a good one"),
        DataSet("names", ("n",), "text", "lsfa tune: names of the samples", False),
        DataSet("owners", ("n",), "int64", "lsfa tune: which validation sample each is, or was made from", False),
        DataSet(
            "*/*/value",
            ("1",),
            "float64",
            "the figure, by modality (rgb, xyz, rgb+xyz), or by what was left out, and by metric",
        ),
        DataSet("*/*/wins", ("n", "n"), "float64", "AUROC: comparisons won by sample i against sample j", False),
        DataSet("*/*/positives", ("n",), "float64", "AUROC: positives of each sample", False),
        DataSet("*/*/negatives", ("n",), "float64", "AUROC: negatives of each sample", False),
        DataSet("*/*/upper", ("n",), "float64", "distance ratio: sum over a sample's defective patches", False),
        DataSet("*/*/lower", ("n",), "float64", "distance ratio: sum over a sample's normal patches", False),
        DataSet("*/*/upper_count", ("n",), "float64", "distance ratio: defective patches of each sample", False),
        DataSet("*/*/lower_count", ("n",), "float64", "distance ratio: normal patches of each sample", False),
        DataSet("*/*/false_positives", ("n", "R"), "float64", "AUPRO: normal pixels at or above a threshold", False),
        DataSet("*/*/overlaps", ("n", "R"), "float64", "AUPRO: summed overlap of each sample's components", False),
        DataSet("*/*/normals", ("n",), "float64", "AUPRO: normal pixels of each sample", False),
        DataSet("*/*/components", ("n",), "float64", "AUPRO: components of each sample", False),
        DataSet("curves/*", ("T",), "float64", "one curve of training; NaN where it was not measured", False),
    ),
    {
        "dataset": "name of the data set",
        "category": "name of the category",
        "backbones": "JSON: modality -> what made its features",
        "remarks": "JSON: what a reader of the figures must know, such as a training that was stopped",
    },
)

SCHEMAS: Mapping[str, Schema] = {
    schema.name: schema for schema in (FINETUNED, FEATURES, ADAPTOR, BANK, SCORES, JUDGED, FIGURES)
}

ROOT_ATTRIBUTES: Mapping[str, str] = {
    "schema": "features, adaptor, bank or scores",
    "schema_version": "integer; a reader refuses a newer one",
    "lsfa_version": "version of lsfa that wrote the file",
    "settings": "canonical JSON of everything that can change the content",
    "inputs": "JSON: role -> content hash of what the file was made from",
    "content_hash": "SHA-256 over all data sets and the attributes",
}
