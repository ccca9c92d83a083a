"""Pasted defects: good samples made defective, so that there is something to learn from and to choose settings on.

Defects are pasted into raw samples, at the scan's own resolution and before preprocessing, so that a pasted sample
goes through the same plane removal, clustering, padding and resizing as a real one:

    scene = scene_of(sample, options)          # the part, its size, camera, background and light
    pasted = paste(scene, "bump", generator)   # a Sample with image, scan and mask

What flows: `camera` and `relief` find the geometry, `scene` holds it, `shapes` draws outlines, `draft` applies the
physics of surface, light and sensor, `kinds` are the defects. Adding a kind takes a function there and a row here.

Many of them: `versions.pasted_versions` draws versions of training samples in balanced, seeded order. Each version is
a source with `name` and `read(record)`, as data sets are, so that `datasets.prepared.prepared(version,
version.record, options, cache)` preprocesses it and keeps it under a key of its own. What stores features of them
stores `PreparedSample.mask` (which patches are touched) and the record's `defect` (the kind). A version depends on
nothing but the sample, its kind, the seed and its number: taking more, or other samples, does not change it.
"""

from dataclasses import dataclass

from lsfa_cli.catalog import Entry

PASTING_VERSION = 2
"""Raise it with every change that can change a pasted sample: it is part of the keys of prepared ones."""


@dataclass(frozen=True)
class KindEntry(Entry):
    """A row of `KINDS`: also what a sample needs for it, an image or a scan or either."""

    image: bool = True
    scan: bool = True

    def suits(self, image: bool, scan: bool) -> bool:
        """Whether it can be pasted into samples with an image, with a scan, or with both."""
        return (self.image and image) or (self.scan and scan)


def _kind(module: str, attribute: str, help_text: str, *, scan: bool = True) -> KindEntry:
    needs = "nothing" if scan else "an image"
    return KindEntry(f"lsfa_cli.pasting.kinds.{module}", attribute, help_text, needs, scan=scan)


KINDS: dict[str, KindEntry] = {
    "bump": _kind("surface", "bump", "A smooth swelling, 0.8 to 5 mm high, lit as the part is."),
    "dent": _kind("surface", "dent", "A smooth depression, 0.8 to 5 mm deep, lit as the part is."),
    "hole": _kind("surface", "hole", "A dark pit, 2 to 10 mm deep or without points, often with a lip."),
    "scratch": _kind("surface", "scratch", "A bright or dark groove along a random walk, 0.3 to 3 mm deep."),
    "stain": _kind("colour", "stain", "Oil, dirt, bleach or a tint in an irregular blob.", scan=False),
    "foreign_material": _kind(
        "colour", "foreign_material", "Opaque lumps and fibres of any colour, 0.5 to 4 mm proud."
    ),
    "print_fault": _kind(
        "printing", "print_fault", "Print that is pale, smeared, doubled or out of register; stray ink.", scan=False
    ),
    "cut_and_paste": _kind("material", "cut_and_paste", "Texture and relief from elsewhere on the part."),
    "missing_piece": _kind("material", "missing_piece", "A bite out of the silhouette, the background behind it."),
    "warp": _kind("material", "warp", "Bent: moved sideways by 5 to 11 % of its size, up or down by 0.5 to 3 mm."),
}
"""Millimetres are those of a part whose visible area is 4 x 4 cm; on others they grow and shrink with the part."""


def kinds_for(*, image: bool, scan: bool) -> list[str]:
    """The kinds that can be pasted into samples with an image, with a scan, or with both, in the table's order."""
    return [name for name, entry in KINDS.items() if entry.suits(image, scan)]
