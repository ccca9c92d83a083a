"""The losses of LSFA, Eq. 2 to 6, 8 and 9, one function an equation, and the table of the terms in use.

Cross-modal local-to-global consistency (CLC) aligns the two modalities; intra-modal feature compactness (IFC)
draws features to their nearest entry of a training bank. Eq. 7, the banks' update, is in `training_banks`.
All functions take and return torch tensors, in any floating type, and are differentiable where it says so.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lsfa_cli.catalog import Entry
from lsfa_cli.nearest_entries import nearest_entries, search_rows

Contrast = Literal["row", "pairs"]
Distance = Literal["l2", "squared"]

# Below this length a vector has no direction; the bound also limits the gradient of normalisation.
SMALLEST_LENGTH = 1e-6


def _alignment(first: Tensor, second: Tensor, temperature: float, contrast: Contrast) -> Tensor:
    """The contrast that Eq. 2 and Eq. 3 share, over n pairs of rows; first, second: (n, d)."""
    if first.shape != second.shape or first.ndim != 2 or len(first) == 0:
        raise ValueError(f"alignment needs two arrays of n pairs, n at least 1, not {first.shape} and {second.shape}")
    first = functional.normalize(first, dim=1, eps=SMALLEST_LENGTH)
    second = functional.normalize(second, dim=1, eps=SMALLEST_LENGTH)
    logits = first @ second.T / temperature
    matching = logits.diagonal()
    if contrast == "pairs":
        # All pairs are one set: both directions have the same denominator.
        return torch.logsumexp(logits.flatten(), dim=0) - matching.mean()
    if contrast != "row":
        raise ValueError(f"contrast must be row or pairs, not {contrast!r}")
    denominators = torch.logsumexp(logits, dim=1) + torch.logsumexp(logits, dim=0)
    return (denominators / 2 - matching).mean()


def local_alignment(rgb: Tensor, xyz: Tensor, *, temperature: float, contrast: Contrast) -> Tensor:
    """L_LA, Eq. 2: corresponding patches of one sample agree across modalities, others do not.

    rgb, xyz: (n, d) head outputs at the same n patches, of any length; they are normalised here. Row j of one
    modality is to be nearest to row j of the other, among the rows (`contrast="row"`), averaged over both
    directions and over j. `contrast="pairs"` divides by the sum over all pairs (j, k), as printed.
    """
    return _alignment(rgb, xyz, temperature, contrast)


def global_alignment(rgb: Tensor, xyz: Tensor, *, temperature: float, contrast: Contrast) -> Tensor:
    """L_GA, Eq. 3: as `local_alignment`, over the prototypes of all samples of the batch, (m, d) each."""
    return _alignment(rgb, xyz, temperature, contrast)


def cross_modal_consistency(terms: Iterable[Tensor]) -> Tensor:
    """L_CLC, Eq. 4: the sum of its terms, L_LA + L_GA."""
    return torch.stack(list(terms)).sum()


def nearest_entry(queries: Tensor, bank: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Index (n,) of each query's nearest bank entry; queries (n, D), bank (m, D), allowed (m,) bool or None.

    In blocks, so that memory does not grow with n times m. `ValueError` when no entry is allowed.
    """
    if len(bank) == 0 or (allowed is not None and not bool(allowed.any())):
        raise ValueError("no bank entry is allowed as a neighbour")
    rows = search_rows(bank.detach())
    if allowed is not None:
        rows[:, -1].masked_fill_(~allowed, torch.inf)
    return nearest_entries([queries], rows, [[]])[0]


def compactness(features: Tensor, nearest: Tensor, distance: Distance) -> Tensor:
    """Mean distance of (n, D) features to their nearest entries (n, D) of a bank, which get no gradient.

    What Eq. 5 and Eq. 6 share once the entries are known. The search for them may round: the distance is taken by
    differences. `ValueError` when there is no feature.
    """
    if len(features) == 0:
        raise ValueError("compactness needs at least one feature")
    differences = features - nearest.detach()
    if distance == "squared":
        return differences.square().sum(dim=1).mean()
    if distance != "l2":
        raise ValueError(f"distance must be l2 or squared, not {distance!r}")
    # vector_norm has the gradient 0 at 0, where a square root's would be infinite.
    lengths: Tensor = torch.linalg.vector_norm(differences, dim=1)
    return lengths.mean()


def local_compactness(patches: Tensor, bank: Tensor, *, distance: Distance, allowed: Tensor | None = None) -> Tensor:
    """L_LC, Eq. 5: mean distance of a sample's adapted patches to their nearest entries of the local bank M^L.

    patches: (n, D), in units of the features' standard deviation. bank: (m, D), gets no gradient. allowed: (m,)
    bool, the entries that may be neighbours; None all. distance: "l2" the Euclidean distance as printed,
    "squared" its square, as the text says. `ValueError` when no entry is allowed.
    """
    return compactness(patches, bank[nearest_entry(patches, bank, allowed)], distance)


def global_compactness(
    prototypes: Tensor, bank: Tensor, *, distance: Distance, allowed: Tensor | None = None
) -> Tensor:
    """L_GC, Eq. 6: as `local_compactness`, of a sample's (k, D) prototypes and the global bank M^G."""
    return compactness(prototypes, bank[nearest_entry(prototypes, bank, allowed)], distance)


def intra_modal_compactness(terms: Iterable[Tensor]) -> Tensor:
    """L_IFC, Eq. 8: the sum of its terms, L_LC + L_GC of every modality."""
    return torch.stack(list(terms)).sum()


def total_loss(ifc: Tensor | None, clc: Tensor | None, *, clc_weight: float) -> Tensor | None:
    """L, Eq. 9: L_IFC + lambda L_CLC with lambda = `clc_weight`. A part that is not in use is None."""
    weighted = None if clc is None else clc_weight * clc
    if ifc is None or weighted is None:
        return ifc if weighted is None else weighted
    return ifc + weighted


def _entry(attribute: str, help_text: str, needs: str = "nothing") -> Entry:
    return Entry("lsfa_cli.training_terms", attribute, help_text, needs)


# The terms that Eq. 4 and Eq. 8 sum. A new loss is a function in `training_terms` and a row in one of the two.
CLC_LOSSES: dict[str, Entry] = {
    "L_LA": _entry("local_alignment_term", "local alignment of corresponding patches (Eq. 2)", "both modalities"),
    "L_GA": _entry("global_alignment_term", "global alignment of corresponding prototypes (Eq. 3)", "both modalities"),
}
IFC_LOSSES: dict[str, Entry] = {
    "L_LC": _entry("local_compactness_term", "local compactness: patches near the local bank (Eq. 5)"),
    "L_GC": _entry("global_compactness_term", "global compactness: prototypes near the global bank (Eq. 6)"),
}
LOSSES: dict[str, Entry] = {**CLC_LOSSES, **IFC_LOSSES}
