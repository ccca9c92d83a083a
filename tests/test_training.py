"""Whole training runs: repeatable, as Eq. 9 says, stopped when features collapse."""

import gc
import math
import weakref
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from lsfa_cli import training_terms
from lsfa_cli.adaptors import ADAPTORS, build_adaptor, load_adaptor
from lsfa_cli.collapse_guard import GuardPatches
from lsfa_cli.errors import DataError, UnknownNameError, UsageError
from lsfa_cli.learners import AdaptorLearner
from lsfa_cli.repeatable import seed_for
from lsfa_cli.samples import Modality, PatchFeatures
from lsfa_cli.training import FINISHED, TrainingResult, learning_rate, standardise, train
from tests.training_parts import SmallSource, small_options

BOTH: tuple[Modality, ...] = ("rgb", "xyz")
LOSS_NAMES = ["L_LA", "L_GA", "L_LC_rgb", "L_LC_xyz", "L_GC_rgb", "L_GC_xyz", "L_CLC", "L_IFC", "L"]


def bytes_of(result: TrainingResult) -> dict[str, bytes]:
    arrays = {
        f"{modality}/{name}": value for modality, state in result.parameters.items() for name, value in state.items()
    }
    return {name: value.tobytes() for name, value in {**arrays, **result.curves}.items()}


def start_of(result: TrainingResult, adaptor: str = "encoder_1") -> dict[Modality, dict[str, np.ndarray]]:
    """What an untrained run of the same seed has."""
    return train(SmallSource(5), tuple(result.parameters), small_options(adaptor=adaptor, steps=0)).parameters


def differs(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    return any(not np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("update", ["joint", "alternating"])
@pytest.mark.parametrize("prototypes", [1, 3])
def test_equal_seeds_equal_bytes(update: str, prototypes: int) -> None:
    options = small_options(update=update, prototypes=prototypes, patches_per_sample=7)
    first, second = (bytes_of(train(SmallSource(7), BOTH, options)) for _ in range(2))
    assert first == second
    other = train(SmallSource(7), BOTH, small_options(update=update, prototypes=prototypes, seed=1))
    assert bytes_of(other) != first


def test_the_global_generators_are_left_alone() -> None:
    before_torch, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  # the one watched
    train(SmallSource(4), BOTH, small_options(prototypes=2))
    assert torch.equal(torch.get_rng_state(), before_torch)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # noqa: NPY002  # the one watched
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", sorted(ADAPTORS))
def test_every_adaptor_trains_and_lowers_the_loss(name: str) -> None:
    result = train(SmallSource(6), BOTH, small_options(adaptor=name, steps=12, batch_size=6, learning_rate=3e-3))
    assert result.stopped == FINISHED
    assert result.notes == ()
    assert result.curves["L"][12] < result.curves["L"][1]
    for modality, dimension in (("rgb", 8), ("xyz", 5)):
        parameters = result.parameters[modality]
        assert differs(parameters, start_of(result, name)[modality])
        fitted = load_adaptor(name, dimension, parameters, result.standardisation[modality])
        patches = SmallSource(6)[0][modality]
        change = np.abs(fitted.adapt(patches).values - result.standardisation[modality].apply(patches.values))
        assert 0 < change.mean() < 1


@pytest.mark.parametrize("start", ["identity", "random"])
def test_no_steps_leave_the_start(start: str) -> None:
    result = train(SmallSource(3), BOTH, small_options(steps=0, start=start))
    assert result.stopped == FINISHED
    for modality, dimension in (("rgb", 8), ("xyz", 5)):
        fitted = load_adaptor("encoder_1", dimension, result.parameters[modality], result.standardisation[modality])
        patches = SmallSource(3)[0][modality]
        unchanged = result.standardisation[modality].apply(patches.values)
        assert np.array_equal(fitted.adapt(patches).values, unchanged) == (start == "identity")
    assert result.curves["step"].tolist() == [0]
    assert math.isfinite(result.curves["effective_rank_rgb"][0])


def test_curves_hold_every_quantity_and_add_up() -> None:
    result = train(SmallSource(7), BOTH, small_options(steps=5, clc_weight=0.3))
    curves = result.curves
    guard = [f"{name}_{key}" for name in ("effective_rank", "mean_norm", "neighbor_distance") for key in BOTH]
    assert set(curves) == {"step", "learning_rate", "gradient_norm", *LOSS_NAMES, *guard}
    assert all(curve.shape == (6,) and curve.dtype == np.float64 for curve in curves.values())
    assert curves["step"].tolist() == list(range(6))
    for name in (*LOSS_NAMES, "learning_rate", "gradient_norm"):
        assert np.isnan(curves[name]).tolist() == [True] + [False] * 5, name
    for name in guard:  # at the start, every 2 steps, and at the end
        assert np.isnan(curves[name]).tolist() == [False, True, False, True, False, False], name
    row = {name: curve[1:] for name, curve in curves.items()}
    np.testing.assert_allclose(row["L_CLC"], row["L_LA"] + row["L_GA"], rtol=1e-5)
    ifc = row["L_LC_rgb"] + row["L_LC_xyz"] + row["L_GC_rgb"] + row["L_GC_xyz"]
    np.testing.assert_allclose(row["L_IFC"], ifc, rtol=1e-5)
    np.testing.assert_allclose(row["L"], row["L_IFC"] + 0.3 * row["L_CLC"], rtol=1e-5)


def test_on_step_sees_every_step() -> None:
    seen: list[tuple[int, int, dict[str, float]]] = []
    result = train(SmallSource(4), BOTH, small_options(), on_step=lambda *values: seen.append(values))
    assert [(step, steps) for step, steps, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    assert [values["L"] for _, _, values in seen] == result.curves["L"][1:].tolist()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1, 0.25),
        (2, 0.5),
        (4, 1.0),
        (5, (1 + math.cos(math.pi / 6)) / 2),
        (7, 0.5),
        (9, (1 + math.cos(math.pi * 5 / 6)) / 2),
    ],
)
def test_learning_rate_by_hand(step: int, expected: float) -> None:
    # 4 steps up to the peak 1, then 5 steps of cosine that would be 0 at step 10.
    assert learning_rate(step, peak=1.0, warm_up=4, steps=9) == pytest.approx(expected, abs=1e-12)


def test_warm_up_with_few_samples_or_steps() -> None:
    # One step an epoch: the first step is at the peak. An epoch longer than training: still rising at its end.
    one = train(SmallSource(2), BOTH, small_options(steps=2, batch_size=8)).curves["learning_rate"][1:]
    np.testing.assert_allclose(one, [1e-3, 1e-3 * (1 + math.cos(math.pi / 2)) / 2])
    long = train(SmallSource(8), BOTH, small_options(steps=2, batch_size=2))
    np.testing.assert_allclose(long.curves["learning_rate"][1:], [0.25e-3, 0.5e-3])
    assert long.notes == ("2 steps end within the warm-up of one epoch, 4 steps",)


def test_the_gradient_is_clipped() -> None:
    """AdamW's steps do not depend on the gradient's scale, unless it is as small as its 1e-8."""
    result = train(SmallSource(4), BOTH, small_options(steps=1, gradient_clip=1e-12))
    assert result.curves["gradient_norm"][1] > 1e-3
    change = result.parameters["xyz"]["layers.0.mlp_output.weight"]
    # The step is rate * g / (|g| + 1e-8): with g clipped to at most 1e-12, at most 1e-4 of the rate 1e-3.
    assert 0 < np.abs(change).max() <= 1e-3 * 1e-4


def test_one_modality_trains_on_ifc_only_and_says_so() -> None:
    result = train(SmallSource(5), ("xyz",), small_options())
    assert result.notes == ("one modality (xyz): no CLC, training on IFC only",)
    assert list(result.parameters) == ["xyz"]
    assert {name for name in result.curves if name.startswith("L")} == {"L_LC_xyz", "L_GC_xyz", "L_IFC", "L"}
    assert differs(result.parameters["xyz"], start_of(result)["xyz"])


@pytest.mark.parametrize("losses", [("L_LA",), ("L_GA",), ("L_LC",), ("L_GC",), ("L_LC", "L_LA")])
def test_losses_select_terms(losses: tuple[str, ...]) -> None:
    curves = train(SmallSource(5), BOTH, small_options(losses=losses)).curves
    found = {name[:4] for name in curves if name[:4] in {"L_LA", "L_GA", "L_LC", "L_GC"}}
    assert found == set(losses)


def test_without_weight_clc_changes_no_adaptor() -> None:
    weightless = train(SmallSource(5), BOTH, small_options(clc_weight=0.0))
    without = train(SmallSource(5), BOTH, small_options(losses=("L_LC", "L_GC")))
    for modality in BOTH:
        for name, value in without.parameters[modality].items():
            np.testing.assert_allclose(weightless.parameters[modality][name], value, rtol=1e-4, atol=1e-6)


def test_alternating_steps_on_clc_and_then_on_ifc() -> None:
    joint = train(SmallSource(5), BOTH, small_options(steps=1))
    alternating = train(SmallSource(5), BOTH, small_options(steps=1, update="alternating"))
    assert "L" not in alternating.curves
    # CLC is measured first, on the start; IFC after CLC's update.
    assert alternating.curves["L_CLC"][1] == joint.curves["L_CLC"][1]
    assert alternating.curves["L_IFC"][1] != joint.curves["L_IFC"][1]
    assert differs(joint.parameters["rgb"], alternating.parameters["rgb"])


def test_one_training_sample_has_no_neighbour_for_ifc() -> None:
    result = train(SmallSource(1), BOTH, small_options())
    assert result.stopped == FINISHED
    assert sum("no entry of another sample" in note for note in result.notes) == 4
    assert np.isfinite(result.curves["L"][1:]).all()
    alone = train(SmallSource(1), ("rgb",), small_options())
    assert alone.stopped == FINISHED
    assert "L" not in alone.curves
    assert not differs(alone.parameters["rgb"], start_of(alone)["rgb"])


def test_banks_are_first_in_first_out_across_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one sample's 16 RGB patches, the bank holds the sample appended last."""
    seen: list[list[int]] = []
    original = training_terms.local_compactness_term

    def watched(inputs: training_terms.TermInputs) -> dict[str, torch.Tensor]:
        seen.append(inputs.banks["local"]["rgb"].samples.tolist())
        seen.append(list(inputs.features.batch.samples))
        return original(inputs)

    monkeypatch.setattr(training_terms, "local_compactness_term", watched)
    train(SmallSource(5), ("rgb",), small_options(local_bank_size=16, steps=3, losses=("L_LC",)))
    banks, drawn = seen[::2], seen[1::2]
    assert banks[0] == [4] * 16  # after the pass over all samples, the last one
    assert banks[1] == [drawn[0][-1]] * 16
    assert banks[2] == [drawn[1][-1]] * 16


def test_collapse_stops_training_and_the_last_good_state_is_restored() -> None:
    """IFC alone, long and fast, draws all features together: what the guard is for."""
    source = SmallSource(6)
    options = small_options(
        adaptor="linear", losses=("L_LC", "L_GC"), learning_rate=0.1, steps=400, guard_interval=4, batch_size=6
    )
    result = train(source, BOTH, options)
    last = int(result.curves["step"][-1])
    assert last < 400
    assert result.stopped.startswith(f"collapse at step {last}: effective rank of ")
    assert result.stopped.endswith(f"the state after step {last - 4} was restored")
    ranks = {key: result.curves[f"effective_rank_{key}"] for key in BOTH}
    assert any(rank[last] < 0.5 * rank[0] for rank in ranks.values())
    assert all(rank[last - 4] >= 0.5 * rank[0] for rank in ranks.values())
    # The parameters returned have exactly the quantities that were measured at the restored step.
    adaptors = {}
    for key in BOTH:
        adaptors[key] = build_adaptor("linear", source[0][key].dimension, start="identity", seed=0)
        adaptors[key].load_state_dict({name: torch.from_numpy(value) for name, value in result.parameters[key].items()})
    guard = GuardPatches(source, result.standardisation, seed_for(0, "guard"), "cpu")
    learners = {key: AdaptorLearner(adaptor) for key, adaptor in adaptors.items()}
    for key, found in guard.measure(learners).items():
        assert found.effective_rank == ranks[key][last - 4]
        assert found.mean_norm == result.curves[f"mean_norm_{key}"][last - 4]


def test_shrinking_features_are_noted() -> None:
    """A uniform shrink lowers IFC without a change of rank."""
    options = small_options(adaptor="linear", losses=("L_LC",), learning_rate=0.02, steps=60, guard_rank_ratio=0.4)
    result = train(SmallSource(6), BOTH, options)
    shrunk = result.curves["mean_norm_rgb"]
    assert result.stopped == FINISHED
    assert shrunk[-1] < 0.4 * shrunk[0]
    assert any("rgb features shrank" in note for note in result.notes)


def test_a_loss_that_is_not_finite_stops_training() -> None:
    options = small_options(learning_rate=1e30, steps=6, guard_interval=5, batch_size=8)
    result = train(SmallSource(4), BOTH, options)
    assert result.stopped == "loss not finite at step 2; the state after step 0 was restored"
    assert result.curves["step"].tolist() == [0, 1, 2]
    assert not math.isfinite(result.curves["L"][2])
    for modality in BOTH:
        assert not differs(result.parameters[modality], start_of(result)[modality])


def test_features_that_are_not_finite_stop_training_at_the_guard() -> None:
    options = small_options(learning_rate=1e30, steps=6, guard_interval=1, batch_size=8)
    result = train(SmallSource(4), BOTH, options)
    assert result.stopped == "collapse at step 1: rgb features are not finite; the state after step 0 was restored"


def test_a_gradient_that_is_not_finite_stops_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def steep(inputs: training_terms.TermInputs) -> dict[str, torch.Tensor]:
        value = sum(part.sum() for part in inputs.features.adapted["rgb"])
        return {"L_LC_rgb": (value * 0).abs().sqrt()}  # 0, with the gradient 0 times infinity

    monkeypatch.setattr(training_terms, "local_compactness_term", steep)
    result = train(SmallSource(4), ("rgb",), small_options(losses=("L_LC",)))
    assert result.stopped == "gradient not finite at step 1; the state after step 0 was restored"
    assert not differs(result.parameters["rgb"], start_of(result)["rgb"])


class CountingSource(SmallSource):
    """Makes a sample anew at each reading and counts how many are alive."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.alive = 0
        self.most = 0

    def _release(self) -> None:
        self.alive -= 1

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        made = {}
        for modality, patches in self.samples[index].items():
            values = patches.values.copy()
            weakref.finalize(values, self._release)
            self.alive += 1
            made[modality] = PatchFeatures(values, patches.valid, patches.grid)
        self.most = max(self.most, self.alive)
        return made


def test_samples_are_read_a_few_at_a_time() -> None:
    gc.collect()
    source = CountingSource(20)
    train(source, BOTH, small_options(batch_size=4))
    assert source.most <= 2 * 2  # two samples of two modalities: the one in hand and the next


def test_settings_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(UsageError, match="no loss"):
        train(SmallSource(2), ("rgb",), small_options(losses=("L_LA", "L_GA")))
    with pytest.raises(UsageError, match="no loss"):
        train(SmallSource(2), BOTH, small_options(losses=()))
    assert train(SmallSource(2), BOTH, small_options(losses=(), steps=0)).stopped == FINISHED
    with pytest.raises(UnknownNameError, match="L_LB"):
        train(SmallSource(2), BOTH, small_options(losses=("L_LB",)))
    with pytest.raises(UnknownNameError, match="encoder_3"):
        train(SmallSource(2), BOTH, small_options(adaptor="encoder_3"))
    with pytest.raises(DataError, match="no training samples"):
        train(SmallSource(0), BOTH, small_options())
    with pytest.raises(ValueError, match="at least one modality"):
        train(SmallSource(2), (), small_options())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="CUDA"):
        train(SmallSource(2), BOTH, small_options(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_repeats_itself_and_agrees_with_the_cpu() -> None:
    first, second = (train(SmallSource(6), BOTH, small_options(device="cuda", prototypes=2)) for _ in range(2))
    assert bytes_of(first) == bytes_of(second)
    on_cpu = train(SmallSource(6), BOTH, small_options(prototypes=2))
    np.testing.assert_allclose(first.curves["L"][1:], on_cpu.curves["L"][1:], rtol=1e-2)


def test_standardisation_is_returned() -> None:
    source = SmallSource(4)
    result = train(source, BOTH, small_options(steps=0))
    assert result.standardisation == {key: standardise(source, key) for key in BOTH}


def test_large_samples_of_one_modality_train_by_a_subset_and_say_so() -> None:
    note = "samples of more than 12 patches train by a subset of them"
    limited = train(SmallSource(4), ["xyz"], small_options(largest_sample=12, steps=2))
    assert note in limited.notes
    again = train(SmallSource(4), ["xyz"], small_options(largest_sample=12, steps=2))
    for name, values in limited.parameters["xyz"].items():
        np.testing.assert_array_equal(values, again.parameters["xyz"][name])
    assert note not in train(SmallSource(4), BOTH, small_options(largest_sample=12, steps=2)).notes
