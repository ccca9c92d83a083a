import dataclasses
import inspect
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st

from lsfa_cli.backbones import BACKBONES, SHORT_NAMES, load_backbone, split_name
from lsfa_cli.backbones.base import BackboneArguments, argument, average_neighbours, dense_patches
from lsfa_cli.catalog import Entry
from lsfa_cli.errors import UnknownNameError, UsageError


@dataclasses.dataclass(frozen=True)
class Every(BackboneArguments):
    """One field of each type."""

    flag: bool = argument(True, "A switch.")
    count: int = argument(3, "A number of things.")
    ratio: float = argument(0.5, "A share.")
    name: str = argument("plain", "A text.")
    kind: Literal["first", "second"] = argument("first", "One of two.")
    indices: tuple[int, ...] = argument((1, 2), "Places.")
    mean: tuple[float, ...] = argument((), "Numbers.")


class Recorder:
    """Stands for a backbone and keeps what it was built with."""

    Arguments = Every

    def __init__(self, arguments, **rest):
        self.arguments, self.rest = arguments, rest


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setitem(BACKBONES, "recorder", Entry(__name__, "Recorder", "A test."))


# --- the table


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_each_row_names_a_class_built_by_the_convention(name):
    backbone_class = BACKBONES[name].load()
    assert issubclass(backbone_class.Arguments, BackboneArguments)
    assert dataclasses.is_dataclass(backbone_class.Arguments)
    assert backbone_class.modality in ("rgb", "xyz")
    assert BACKBONES[name].help.startswith("RGB: " if backbone_class.modality == "rgb" else "3D: ")
    call = {"weights": None, "device": "cpu", "image_size": 224, "grid": 56, "projection": "public"}
    inspect.signature(backbone_class).bind(backbone_class.Arguments(), **call, local_average=False)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_argument_of_every_row_has_a_line_of_help(name):
    for field in dataclasses.fields(BACKBONES[name].load().Arguments):
        assert field.metadata["help"].endswith(".")


@pytest.mark.parametrize("name", sorted(SHORT_NAMES))
def test_short_names_stand_for_models_with_published_weights(name):
    row, model, _ = split_name(SHORT_NAMES[name])
    assert row == "timm"
    assert model in timm.list_models(pretrained=True)
    assert BACKBONES[name].load() is BACKBONES["timm"].load()


# --- names


def test_a_name_is_split_into_row_model_and_arguments():
    assert split_name("texture") == ("texture", "", {})
    assert split_name("timm:resnet18.a1_in1k?out_indices=1,2&mean=0.5") == (
        "timm",
        "resnet18.a1_in1k",
        {"out_indices": "1,2", "mean": "0.5"},
    )
    assert split_name("fpfh?") == ("fpfh", "", {})
    assert split_name("a? b = c ") == ("a", "", {"b": "c"})


@pytest.mark.parametrize("text", ["fpfh?orient", "fpfh?=false", "fpfh? =1", "fpfh?orient=1&orient=0"])
def test_a_malformed_name_is_a_usage_error(text):
    with pytest.raises(UsageError, match=r"form argument=value|given twice"):
        split_name(text)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown backbone 'textur'\. Did you mean 'texture'"):
        load_backbone("textur")


@pytest.mark.parametrize("name", ["surface:resnet18", "dino_vitb8:resnet18"])
def test_only_timm_takes_a_model(name):
    with pytest.raises(UnknownNameError, match="unknown backbone"):
        load_backbone(name)


def test_timm_without_a_model_says_how_to_name_one():
    with pytest.raises(UsageError, match="timm:MODEL"):
        load_backbone("timm")


# --- load_backbone


def test_the_defaults_and_the_types_that_reach_a_backbone(recorder):
    built = load_backbone("recorder", "some/file.pth")
    assert built.arguments == Every()
    assert built.rest == {
        "weights": Path("some/file.pth"),
        "device": "cpu",
        "image_size": 224,
        "grid": 56,
        "projection": "public",
        "local_average": False,
    }
    assert load_backbone("recorder", Path("some/file.pth")).rest == built.rest
    assert load_backbone("recorder").rest["weights"] is None


def test_what_is_given_reaches_a_backbone(recorder):
    built = load_backbone(
        "recorder?flag=no", None, "cuda", grid=28, projection="paper", local_average=True, image_size=448
    )
    assert not built.arguments.flag
    assert built.rest == {
        "weights": None,
        "device": "cuda",
        "image_size": 448,
        "grid": 28,
        "projection": "paper",
        "local_average": True,
    }


def test_an_argument_overrides_that_of_the_short_name(monkeypatch):
    monkeypatch.setitem(BACKBONES, "timm", Entry(__name__, "Recorder", "A test."))
    monkeypatch.setitem(BACKBONES, "short", Entry(__name__, "Recorder", "A test."))
    monkeypatch.setattr("lsfa_cli.backbones.SHORT_NAMES", {"short": "timm:model?indices=2,3&count=7"})
    assert load_backbone("short").arguments == Every(indices=(2, 3), count=7)
    assert load_backbone("short?indices=1").arguments == Every(indices=(1,), count=7)


# --- arguments


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"flag": "false"}, Every(flag=False)),
        ({"flag": "0"}, Every(flag=False)),
        ({"flag": "TRUE"}, Every(flag=True)),
        ({"count": "-4"}, Every(count=-4)),
        ({"ratio": "1e-3"}, Every(ratio=0.001)),
        ({"ratio": "2"}, Every(ratio=2.0)),
        ({"name": "same=x"}, Every(name="same=x")),
        ({"kind": "second"}, Every(kind="second")),
        ({"indices": "2"}, Every(indices=(2,))),
        ({"indices": "2,3"}, Every(indices=(2, 3))),
        ({"indices": "2-3"}, Every(indices=(2, 3))),
        ({"mean": "0.5,-1,1e-3"}, Every(mean=(0.5, -1.0, 0.001))),
    ],
)
def test_texts_become_typed_values(given, expected):
    assert Every.parse("some", given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"flag": "maybe"}, "expected true or false"),
        ({"count": "1.5"}, "expected a whole number"),
        ({"ratio": "half"}, "expected a number"),
        ({"ratio": "nan"}, "expected a finite number"),
        ({"kind": "third"}, "expected one of first, second"),
        ({"indices": "1,,2"}, "expected a whole number"),
        ({"mean": "0.5,x"}, "expected a number"),
    ],
)
def test_a_bad_value_says_what_was_expected_and_what_the_argument_is(given, expected):
    (name,) = given
    with pytest.raises(UsageError, match=expected) as caught:
        Every.parse("some", given)
    assert "backbone some" in str(caught.value)
    assert f"{name}: " in str(caught.value.hint)


def test_an_unknown_argument_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown argument of backbone some 'cuont'\. Did you mean 'count'"):
        Every.parse("some", {"cuont": "1"})


def test_arguments_as_text_hold_the_defaults_in_order():
    assert Every().canonical() == "count=3&flag=true&indices=1,2&kind=first&mean=&name=plain&ratio=0.5"


@given(
    flag=st.booleans(),
    count=st.integers(),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    indices=st.lists(st.integers(0, 9), min_size=1).map(tuple),
    mean=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1).map(tuple),
)
def test_arguments_as_text_are_read_back(flag, count, ratio, indices, mean):
    arguments = Every(flag=flag, count=count, ratio=ratio, indices=indices, mean=mean, kind="second")
    _, _, texts = split_name(f"some?{arguments.canonical()}")
    assert Every.parse("some", texts) == arguments


# --- what backbones share


def test_the_mean_of_neighbours_against_a_plain_one():
    maps = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
    plain = np.empty_like(maps)
    for row in range(5):
        for column in range(4):
            window = maps[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            plain[:, row, column] = window.mean(axis=(1, 2))
    before = maps.copy()
    np.testing.assert_allclose(average_neighbours(maps), plain, atol=1e-6)
    np.testing.assert_array_equal(maps, before)


def test_the_mean_of_neighbours_keeps_a_constant_map():
    np.testing.assert_allclose(average_neighbours(np.full((1, 3, 3, 2), 7, np.float32)), 7)
    np.testing.assert_allclose(average_neighbours(np.full((1, 1, 1, 2), 7, np.float32)), 7)


def test_maps_become_patches_row_by_row():
    maps = np.arange(2 * 3 * 3 * 2, dtype=np.float32).reshape(2, 3, 3, 2)
    first, second = dense_patches(maps)
    assert first.grid == 3
    assert first.dimension == 2
    assert first.valid.all()
    assert first.valid.shape == (9,)
    np.testing.assert_array_equal(second.values[1 * 3 + 2], maps[1, 1, 2])
