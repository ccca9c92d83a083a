"""The table of backbones, and `load_backbone`, which turns a name such as `fpfh?orient=false` into one.

To add a backbone, write its class in a module of this folder (see `base`) and add one line to the table.
Importing this module imports no network library.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsfa_cli.catalog import Entry, lookup
from lsfa_cli.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from lsfa_cli.backbones.base import Backbone, CloudBackbone, Projection

_WEIGHTS = "weights (download or --rgb-weights)"
_OPEN3D = "Open3D and its system library"


def _timm(help: str) -> Entry:
    return Entry("lsfa_cli.backbones.timm_images", "TimmImages", help, _WEIGHTS)


BACKBONES: dict[str, Entry] = {
    "texture": Entry("lsfa_cli.backbones.texture", "Texture", "RGB: filter banks and colour statistics; no download."),
    "timm": _timm("RGB: any model of timm, as timm:MODEL or timm:MODEL?argument=value."),
    "dino_vitb8": _timm("RGB: ViT-B/8 trained by DINO, the paper's (M3DM, CFM too)."),
    "dino_vits8": _timm("RGB: ViT-S/8 trained by DINO, four times cheaper."),
    "dinov2_vits14": _timm("RGB: ViT-S/14 trained by DINOv2."),
    "dinov2_vitb14": _timm("RGB: ViT-B/14 trained by DINOv2."),
    "dinov2_vits14_reg4": _timm("RGB: ViT-S/14 trained by DINOv2, with four registers."),
    "dinov2_vitb14_reg4": _timm("RGB: ViT-B/14 trained by DINOv2, with four registers."),
    "wide_resnet50": _timm("RGB: WideResNet-50-2, the maps of strides 8 and 16 (BTF)."),
    "resnet18": _timm("RGB: ResNet-18, the maps of strides 8 and 16."),
    "mobilenetv2_100": _timm("RGB: MobileNetV2, the maps of strides 8 and 16; 9 MB."),
    "surface": Entry("lsfa_cli.backbones.surface", "Surface", "3D: local shape of the surface; no download."),
    "fpfh": Entry("lsfa_cli.backbones.fpfh", "FPFH", "3D: fast point feature histograms, 33 values (BTF).", _OPEN3D),
    "point_mae": Entry(
        "lsfa_cli.backbones.point_mae",
        "PointMAE",
        "3D: Point-MAE trained on ShapeNet, the paper's (M3DM too).",
        "weights (--xyz-weights)",
    ),
    "coordinates": Entry(
        "lsfa_cli.backbones.coordinates",
        "Coordinates",
        "3D: where a point lies on the registered part; unorganized clouds only (Reg3D-AD).",
    ),
}

CLOUD_BACKBONES = ("fpfh", "point_mae", "coordinates")
"""Those that work on unorganized point clouds; all but the last work on organized ones too."""

SHORT_NAMES: Mapping[str, str] = {
    "dino_vitb8": "timm:vit_base_patch8_224.dino",
    "dino_vits8": "timm:vit_small_patch8_224.dino",
    "dinov2_vits14": "timm:vit_small_patch14_dinov2.lvd142m",
    "dinov2_vitb14": "timm:vit_base_patch14_dinov2.lvd142m",
    "dinov2_vits14_reg4": "timm:vit_small_patch14_reg4_dinov2.lvd142m",
    "dinov2_vitb14_reg4": "timm:vit_base_patch14_reg4_dinov2.lvd142m",
    "wide_resnet50": "timm:wide_resnet50_2.racm_in1k?out_indices=2,3",
    "resnet18": "timm:resnet18.a1_in1k",
    "mobilenetv2_100": "timm:mobilenetv2_100.ra_in1k",
}


def load_backbone(
    name: str,
    weights: str | Path | None = None,
    device: str = "cpu",
    *,
    grid: int = 56,
    projection: "Projection" = "public",
    local_average: bool = False,
    image_size: int = 224,
    rgb_fine: int = 1,
) -> "Backbone":
    """The backbone called `name`, ready to turn prepared samples into patch features.

    name: a name of the table, with arguments after `?`: "fpfh?orient=false", "timm:resnet18?out_indices=1,2&mean=0.5".
    weights: a file of weights, for backbones that have any. device: a torch device. grid, projection: of the 3D
    backbones (Eq. 1); image backbones keep their native grid. image_size: side of the prepared samples, pixels.
    rgb_fine: an image backbone also takes the image of so many times that size (see `finer_images`).

    Raises `UnknownNameError` (backbone, model or argument), `UsageError` (a bad value), `WeightsError`,
    `MissingDependencyError`.
    """
    row, _, _ = split_name(name)
    if row in CLOUD_BACKBONES and not hasattr(lookup(BACKBONES, "backbone", row).load(), "patches"):
        raise UsageError(
            f"backbone {row} works on unorganized point clouds only, and this data set has organized ones.",
            hint="Use --xyz-backbone surface, fpfh or point_mae.",
        )
    options = {"device": device, "grid": grid, "projection": projection, "local_average": local_average}
    backbone: Backbone = _build(name, weights, image_size=image_size, **options)
    if rgb_fine == 1 or backbone.modality != "rgb":
        return backbone
    from lsfa_cli.backbones.finer_images import FinerImages

    return FinerImages(backbone, _build(name, weights, image_size=image_size * rgb_fine, **options), rgb_fine)


def load_cloud_backbone(name: str, weights: str | Path | None = None, device: str = "cpu") -> "CloudBackbone":
    """The backbone called `name`, ready to turn unorganized point clouds into features of groups.

    Arguments and errors as in `load_backbone`; `UsageError` also for one that works on rasters only, which names those
    that work.
    """
    row, _, _ = split_name(name)
    lookup(BACKBONES, "backbone", row)
    if row not in CLOUD_BACKBONES:
        raise UsageError(
            f"backbone {row} does not work on unorganized point clouds, and this data set has nothing else.",
            hint=f"Use --xyz-backbone {CLOUD_BACKBONES[0]} (or {', '.join(CLOUD_BACKBONES[1:])}).",
        )
    backbone: CloudBackbone = _build(name, weights, device=device)
    return backbone


def _build(name: str, weights: str | Path | None, **options: object) -> Any:
    row, model, given = split_name(name)
    entry = lookup(BACKBONES, "backbone", row)
    if row in SHORT_NAMES and not model:
        row, model, preset = split_name(SHORT_NAMES[row])
        given = {**preset, **given}
    if model and row != "timm":
        raise UnknownNameError("backbone", f"{row}:{model}", BACKBONES)
    backbone_class = entry.load()
    return backbone_class(
        backbone_class.Arguments.parse(f"{row}:{model}" if model else row, given),
        weights=None if weights is None else Path(weights),
        **options,
    )


def split_name(text: str) -> tuple[str, str, dict[str, str]]:
    """The parts of `row:model?argument=value&argument=value`: row, model ("" when absent), arguments."""
    name, _, query = text.partition("?")
    row, _, model = name.partition(":")
    arguments: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key:
            raise UsageError(f"backbone '{text}': '{part}' is not of the form argument=value.")
        if key in arguments:
            raise UsageError(f"backbone '{text}': {key} is given twice.")
        arguments[key] = value
    return row.strip(), model.strip(), arguments
