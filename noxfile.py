"""The project's checks, one session each: `nox -s NAME`, `nox -l` lists them, what follows `--` is passed on.

Without `-s`: lint, types and tests. uv links its cached files into each environment instead of copying them,
so an environment with PyTorch in it takes seconds and next to no disk.
`nox -s tests --force-python 3.12` takes another Python.
"""

import os
import shutil
from datetime import date
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
OLDEST_PYTHON = nox.project.python_versions(PROJECT)[0]

# No session reaches for a model hub, or finds the user's own settings.
ENVIRONMENT = {"HF_HUB_OFFLINE": "1"} | {name: None for name in os.environ if name.startswith("LSFA_")}


# What is measured beside ours where it can be installed (tests/benchmarks/peers.py).
PEERS = ("anomalib", "fpsample", "torchmetrics", "faiss-cpu", "open3d")


# A worker of the tests holds up to 2 GB.
LARGEST_NUMBER_OF_WORKERS = 4


def install(session: nox.Session, *more: str, extras: str = "cpu,dev") -> None:
    """The one way in which every session is set up: this checkout and the pinned versions."""
    session.install("-c", "constraints.txt", "-e", f".[{extras}]", *more)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, one worker a processor: whole files, since the tests of one share what they made."""
    install(session)
    workers = min(os.cpu_count() or 1, LARGEST_NUMBER_OF_WORKERS)
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    arguments = session.posargs or ("-n", str(workers), "--dist", "loadfile")
    session.run("pytest", *arguments, env=ENVIRONMENT | single)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, layout, the contracts between the rooms, and that the page of speed is what its files give."""
    install(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache")
    session.run("python", "docs/speed_page.py", "--check")


@nox.session
def contracts(session: nox.Session) -> None:
    """Check only the contracts between the rooms ([tool.importlinter] in pyproject.toml)."""
    install(session)
    session.run("lint-imports", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types."""
    install(session)
    session.run("mypy", *session.posargs)


@nox.session(python=OLDEST_PYTHON, venv_backend="uv", default=False)
def floors(session: nox.Session) -> None:
    """Run the tests with the oldest versions that pyproject.toml allows, on the oldest Python."""
    session.install("--resolution", "lowest-direct", "-e", ".[cpu,dev]")
    # Old versions warn about what newer ones have mended: here a warning is no error.
    session.run("pytest", "-W", "default", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation into site/, reference pages included. `-- serve` shows it while it is written."""
    install(session)
    session.run("mkdocs", *(session.posargs or ("build", "--strict")), env=ENVIRONMENT)


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Run the demonstration as a user gets it: from an installed package, in an empty folder."""
    session.install("-c", "constraints.txt", ".[cpu]")
    folder = Path(session.create_tmp())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with session.chdir(folder):
        session.run("lsfa", "demo", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure speed and memory (tests/benchmarks) and write the page of speed. `-- --rows 6 7` only prints some."""
    install(session)
    if session.posargs:
        session.run("python", "-m", "tests.benchmarks", *session.posargs, env=ENVIRONMENT)
        return
    out = ("--date", date.today().isoformat(), "--out", "docs/explanation/bench.json")
    session.run("python", "-m", "tests.benchmarks", *out, env=ENVIRONMENT)
    session.run("python", "docs/speed_page.py")
    session.run("pytest", "-s", "tests/benchmarks", env=ENVIRONMENT)


@nox.session(default=False)
def bench_peers(session: nox.Session) -> None:
    """Measure other packages beside ours, in an environment of their own; those that cannot be installed are named."""
    install(session)
    absent = []
    for requirement in PEERS:
        try:
            session.install("-c", "constraints.txt", requirement)
        except CommandFailed:
            absent.append(requirement)
    out = ("--date", date.today().isoformat(), "--out", "docs/explanation/bench-peers.json")
    posargs = session.posargs or out
    session.run("python", "-m", "tests.benchmarks.peers", "--absent", *absent, *posargs, env=ENVIRONMENT)
    session.run("python", "docs/speed_page.py")


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run the tests that need a CUDA device, with faiss for the GPU."""
    install(session, extras="gpu,dev")
    session.run("pytest", "-m", "gpu", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def dvc(session: nox.Session) -> None:
    """Run the DVC pipeline of examples/dvc on generated data."""
    install(session, *nox.project.dependency_groups(PROJECT, "dvc"))
    session.run("pytest", "examples/dvc", *session.posargs, env=ENVIRONMENT)


@nox.session(venv_backend="uv", default=False)
def constraints(session: nox.Session) -> None:
    """Write constraints.txt anew: one version of each package for each Python, newest first."""
    session.install("uv")
    command = (
        f"uv pip compile pyproject.toml --extra cpu --extra gpu --extra exr --extra dev --group dvc --universal "
        f"--python-version {OLDEST_PYTHON} --no-annotate --no-emit-index-url"
    )
    session.run(
        *command.split(), "--quiet", "--upgrade", "--output-file", "constraints.txt", *session.posargs,
        env={"UV_CUSTOM_COMPILE_COMMAND": "nox -s constraints, which runs: " + command},
    )  # fmt: skip
