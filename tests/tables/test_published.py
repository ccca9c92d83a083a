import csv
from importlib.resources import files

import pytest

from lsfa_cli.tables.published import PUBLISHED_DATASETS, ablations, matching, published
from lsfa_cli.tables.results import MEAN, Result, by_series

DATA = files("lsfa_cli.tables") / "published"
KEYS = ("dataset", "source", "metric", "modality", "method", "category")


def lines(name):
    return list(csv.DictReader((DATA / name).read_text(encoding="utf-8").splitlines()))


def ablation_lines():
    return [
        {
            "dataset": "mvtec3d",
            "source": f"LSFA Table {line['table']}",
            "metric": metric,
            "modality": line["modality"],
            "method": line["variant"],
            "category": MEAN,
        }
        for line in lines("ablations.csv")
        for metric in ("i_auroc", "aupro", "p_auroc")
        if line[metric]
    ]


def value(dataset, metric, modality, method, category, source):
    found = [
        r
        for r in [*published(dataset), *ablations()]
        if (r.metric, r.modality, r.method, r.category, r.source) == (metric, modality, method, category, source)
    ]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("name", ["mvtec3d.csv", "eyecandies.csv", "real3d_ad.csv", "ablations.csv"])
def test_the_data_is_the_reference_material_to_the_byte(shared, name):
    assert (DATA / name).read_bytes() == shared(f"published/{name}").read_bytes()


@pytest.mark.parametrize(("dataset", "count"), [("mvtec3d", 1054), ("eyecandies", 154), ("real3d_ad", 455)])
def test_every_line_becomes_one_published_value_with_its_source(dataset, count):
    rows = published(dataset)
    assert len(rows) == len(lines(f"{dataset}.csv")) == count
    assert [r.value for r in rows] == [float(line["value"]) for line in lines(f"{dataset}.csv")]
    assert all(r.published and r.source and r.dataset == dataset for r in rows)
    by_series(rows)  # refuses two values for one cell


def test_ablations_keep_every_printed_number():
    rows = ablations()
    assert len(rows) == len(ablation_lines()) == 80
    assert all(r.category == MEAN and r.count == 10 and r.published for r in rows)
    assert value("mvtec3d", "aupro", "rgb+xyz", "IFC+CLC", MEAN, "LSFA Table 5").value == 0.968
    by_series(rows)


def test_metrics_can_be_chosen_and_unknown_data_sets_have_none():
    assert {r.metric for r in published("mvtec3d", ["p_auroc"])} == {"p_auroc"}
    assert len(published("mvtec3d", ["p_auroc"])) == 2 * 7 * 11
    assert published("synthetic") == []


def test_sources_keep_the_sets_of_results_and_lose_the_remarks():
    sources = {dataset: {r.source for r in published(dataset)} for dataset in PUBLISHED_DATASETS}
    assert sources == {
        "mvtec3d": {
            "LSFA Table 1",
            "LSFA Table 2",
            "3D-ADS README (raw data)",
            "3D-ADS README (preprocessed data)",
        },
        "eyecandies": {"LSFA Table 3"},
        "real3d_ad": {"Real3D-AD README (4 prototypes)", "Real3D-AD README (other methods)"},
    }


def test_every_doubt_concerns_a_published_number():
    cells = [line for name in PUBLISHED_DATASETS for line in lines(f"{name}.csv")] + ablation_lines()
    for doubt in lines("doubtful.csv"):
        assert doubt["kind"] in ("doubtful", "inferred", "recomputed"), doubt
        assert doubt["note"], doubt
        assert any(all(doubt[key] in ("*", cell[key]) for key in KEYS) for cell in cells), doubt
    assert len({tuple(doubt.values()) for doubt in lines("doubtful.csv")}) == len(lines("doubtful.csv"))


def test_every_remark_in_the_data_has_its_doubt():
    for dataset in PUBLISHED_DATASETS:
        for line, row in zip(lines(f"{dataset}.csv"), published(dataset), strict=True):
            if line["source"] != row.source:
                kinds = [note.partition(":")[0] for note in row.notes]
                assert kinds, line
                remark = line["source"].removeprefix(row.source.partition(" (")[0])
                expected = {"recomputed": "recomputed", "doubtful": "doubtful", "inferred": "inferred"}
                for word, kind in expected.items():
                    assert word not in remark or kind in kinds, line


@pytest.mark.parametrize(
    ("cell", "kind", "words"),
    [
        # The nine numbered notes of the reference material, and its mean check.
        (("mvtec3d", "i_auroc", "rgb", "LSFA", "tire", "LSFA Table 1"), "inferred", "tenth"),
        (("mvtec3d", "i_auroc", "xyz", "LSFA", MEAN, "LSFA Table 1"), "recomputed", "mean of the ten"),
        (("mvtec3d", "i_auroc", "rgb+xyz", "LSFA", MEAN, "LSFA Table 1"), "inferred", "Table 9"),
        (("mvtec3d", "i_auroc", "xyz", "Depth GAN", MEAN, "LSFA Table 1"), "inferred", "0.524"),
        (("mvtec3d", "i_auroc", "rgb", "DifferNet", MEAN, "LSFA Table 1"), "inferred", "0.707"),
        (("mvtec3d", "i_auroc", "rgb+xyz", "3D-ST", "rope", "LSFA Table 1"), "doubtful", "Table 2"),
        (("mvtec3d", "i_auroc", "rgb+xyz", "3D-ST", MEAN, "LSFA Table 1"), "doubtful", "ten doubtful"),
        (("mvtec3d", "i_auroc", "rgb+xyz", "PatchCore+FPFH", "foam", "LSFA Table 1"), "doubtful", "0.657"),
        (("mvtec3d", "i_auroc", "rgb+xyz", "PatchCore+FPFH", "cookie", "LSFA Table 1"), "doubtful", "0.022"),
        (("mvtec3d", "aupro", "xyz", "FPFH", "foam", "LSFA Table 2"), "doubtful", "0.005"),
        (("eyecandies", "i_auroc", "xyz", "M3DM", "Lollipop", "LSFA Table 3"), "inferred", "caption"),
        (("eyecandies", "i_auroc", "rgb+xyz", "EasyNet", MEAN, "LSFA Table 3"), "inferred", "caption"),
        (("eyecandies", "i_auroc", "rgb", "GANomaly", "Lollipop", "LSFA Table 3"), "inferred", "G [7]"),
        (("eyecandies", "i_auroc", "rgb", "STFPM", "Lollipop", "LSFA Table 3"), "inferred", "STFFPM"),
        (("eyecandies", "i_auroc", "rgb", "LSFA", "ChocolateCookie", "LSFA Table 3"), "inferred", "Choco late"),
        (("eyecandies", "i_auroc", "rgb", "LSFA", MEAN, "LSFA Table 3"), "doubtful", "0.875"),
        (("mvtec3d", "i_auroc", "rgb+xyz", "CLC", MEAN, "LSFA Table 5"), "doubtful", "swapped"),
        (("mvtec3d", "aupro", "rgb+xyz", "IFC", MEAN, "LSFA Table 5"), "doubtful", "swapped"),
        (("mvtec3d", "i_auroc", "rgb+xyz", "encoder_1", MEAN, "LSFA Table 7"), "doubtful", "0.971"),
        (("mvtec3d", "i_auroc", "rgb+xyz", "50", MEAN, "LSFA Table 9"), "inferred", "modality"),
        (
            ("real3d_ad", "p_aupr", "xyz", "Reg3D-AD", "fish", "Real3D-AD README (4 prototypes)"),
            "inferred",
            "Our baseline",
        ),
        (("real3d_ad", "o_auroc", "xyz", "CPMF", "fish", "Real3D-AD README (other methods)"), "inferred", "cited"),
        (("real3d_ad", "p_aupr", "xyz", "CPMF", "fish", "Real3D-AD README (other methods)"), "inferred", "Point AP"),
        (("mvtec3d", "aupro", "xyz", "SIFT", "rope", "3D-ADS README (raw data)"), "inferred", "modality"),
        (("mvtec3d", "aupro", "xyz", "Voxel GAN", MEAN, "LSFA Table 2"), "doubtful", "0.588"),
        (("mvtec3d", "aupro", "xyz", "Voxel GAN", "carrot", "LSFA Table 2"), "doubtful", "0.825"),
    ],
)
def test_doubtful_cells_carry_the_reason(cell, kind, words):
    notes = value(*cell).notes
    assert any(note.startswith(f"{kind}: ") and words in note for note in notes), notes


@pytest.mark.parametrize(
    "cell",
    [
        ("mvtec3d", "i_auroc", "rgb+xyz", "LSFA", "bagel", "LSFA Table 1"),
        ("mvtec3d", "aupro", "rgb+xyz", "LSFA", MEAN, "LSFA Table 2"),
        ("mvtec3d", "aupro", "rgb+xyz", "lora", MEAN, "LSFA Table 8"),
        ("eyecandies", "i_auroc", "rgb", "AE", "Lollipop", "LSFA Table 3"),
        ("real3d_ad", "o_auroc", "xyz", "BTF_Raw", "car", "Real3D-AD README (4 prototypes)"),
    ],
)
def test_other_cells_carry_none(cell):
    assert value(*cell).note == ""


def test_the_cells_that_differ_from_the_readme_of_btf_are_those_marked():
    pairs = [("xyz", "FPFH", "FPFH"), ("rgb+xyz", "PatchCore+FPFH", "BTF")]
    for metric, table in (("i_auroc", "LSFA Table 1"), ("aupro", "LSFA Table 2")):
        for modality, name, other in pairs:
            rows = {
                (r.source, r.method, r.category): r for r in published("mvtec3d", [metric]) if r.modality == modality
            }
            readme = "3D-ADS README (preprocessed data)"
            for (source, method, category), row in rows.items():
                if (source, method) == (table, name) and category != MEAN:
                    differs = row.value != rows[readme, other, category].value
                    assert any("3D-ADS README" in note for note in row.notes) == differs, row


def test_printed_means_are_those_of_the_categories():
    """Within 0.0015, but for the one mismatch that is known; a row without its tenth number cannot be checked."""
    mismatches = []
    for dataset in PUBLISHED_DATASETS:
        for series, rows in by_series(published(dataset)).items():
            values = [r.value for r in rows if r.category != MEAN]
            (mean,) = [r for r in rows if r.category == MEAN]
            if len(values) == mean.count and abs(mean.value - sum(values) / len(values)) > 0.0015:
                mismatches.append((series.metric, series.modality, series.method))
    assert mismatches == [("aupro", "xyz", "Voxel GAN")]


def measured(categories, metrics=("i_auroc",), modalities=("rgb",)):
    return [
        Result("mvtec3d", category, modality, "LSFA", metric, 0.5)
        for category in categories
        for metric in metrics
        for modality in modalities
    ]


def test_matching_keeps_what_was_measured_and_the_printed_mean_of_all_categories():
    everything = sorted({r.category for r in published("mvtec3d")} - {MEAN})
    rows = matching(published("mvtec3d"), measured(everything, ["aupro"], ["rgb+xyz"]))
    assert {(r.metric, r.modality) for r in rows} == {("aupro", "rgb+xyz")}
    lsfa = {r.category: r.value for r in rows if r.method == "LSFA"}
    assert lsfa[MEAN] == 0.968
    assert len(lsfa) == 11


def test_matching_some_categories_recomputes_the_mean_over_them():
    rows = matching(published("mvtec3d"), measured(["cable_gland", "foam"]))
    assert {r.category for r in rows} == {"cable_gland", "foam", MEAN}
    (mean,) = [r for r in rows if (r.method, r.category, r.source) == ("LSFA", MEAN, "LSFA Table 1")]
    assert mean.value == pytest.approx((0.920 + 0.770) / 2)
    assert mean.count == 2
    assert mean.note == "recomputed: mean of the published values of the categories shown"


def test_matching_says_when_a_recomputed_mean_holds_doubtful_values():
    rows = matching(published("mvtec3d"), measured(["bagel", "foam"], modalities=["rgb+xyz"]))
    (mean,) = [r for r in rows if (r.method, r.category) == ("PatchCore+FPFH", MEAN)]
    assert mean.note.endswith("some of them doubtful")


def test_matching_never_recomputes_over_a_category_that_has_no_value():
    rows = matching(published("mvtec3d"), measured(["foam", "tire"]))
    (mean,) = [r for r in rows if (r.method, r.category) == ("DifferNet", MEAN)]
    assert (mean.value, mean.count) == (0.790, 1)


def test_matching_nothing():
    assert matching(published("mvtec3d"), measured(["my_part"])) == []
    assert matching(published("mvtec3d"), []) == []
