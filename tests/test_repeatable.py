"""Deterministic kernels inside, what was set before outside."""

import os

import pytest
import torch

from lsfa_cli import repeatable
from lsfa_cli.repeatable import WORKSPACE, repeatable_kernels


def settings() -> tuple[bool, bool, bool, str | None]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        os.environ.get(WORKSPACE),
    )


def test_settings_are_set_and_put_back() -> None:
    before = settings()
    with repeatable_kernels("cpu") as repeatable_here:
        assert repeatable_here
        assert settings()[:3] == (True, False, False)
    assert settings() == before


def test_settings_are_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, ":16:8")
    before = settings()

    def fail() -> None:
        with repeatable_kernels("cpu"):
            assert settings()[3] == ":16:8"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert settings() == before


def test_a_device_that_cannot_repeat_products_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeatable, "_products_are_repeatable", lambda device: False)
    with repeatable_kernels("cpu") as repeatable_here:
        assert not repeatable_here
        assert torch.is_deterministic_algorithms_warn_only_enabled()
