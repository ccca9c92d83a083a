"""`lsfa run` of one category from raw files to the table: how long it takes, and where the time goes.

    python -m tests.benchmarks.whole_run --data mvtec3d --root DIR --category cable_gland --folder DIR [--out FILE]

What follows `--` goes to `lsfa run`. Three runs, each in a process of its own: the first, the same again, and one with
another scoring setting, which must make nothing but scores. Of a part two times are told, summed over the threads that
call it: how long they waited for it, and the processor time of these threads, without those that a library starts.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import machine, user_environment

# Runs the command line with clocks around some functions, and then tells on stderr what they showed.
_TELLING = """
import collections, functools, importlib, json, sys, threading, time
begin = time.perf_counter()
import lsfa_cli.__main__ as program
from lsfa_cli.artifacts.lineage import peak_memory_bytes

waited, worked, stages, lock = collections.Counter(), collections.Counter(), [], threading.Lock()

def clocked(name, function):
    @functools.wraps(function)
    def run(*values, **more):
        start, own = time.perf_counter(), time.thread_time()
        try:
            return function(*values, **more)
        finally:
            with lock:
                waited[name] += time.perf_counter() - start
                worked[name] += time.thread_time() - own
    return run

def watch(name, module, path):
    place = importlib.import_module(module)
    *outer, last = path.split(".")
    for part in outer:
        place = getattr(place, part)
    setattr(place, last, clocked(name, getattr(place, last)))

for name, module, path in json.loads(sys.argv[1]):
    watch(name, module, path)

import lsfa_cli.stages.extract as extraction
made = extraction.backbone_of
def backbone_of(modality, *values):
    backbone = made(modality, *values)
    backbone.patches = clocked(f"backbone of {modality}", backbone.patches)
    return backbone
extraction.backbone_of = backbone_of

import lsfa_cli.commands.run as command
told = command.tell
def tell(session, stage, category, outcome, variant=""):
    stages.append((stage, variant, outcome.state, outcome.seconds))
    told(session, stage, category, outcome, variant)
command.tell = tell

imports = time.perf_counter() - begin
sys.argv = ["lsfa", *sys.argv[2:]]
code = 0
try:
    program.main()
except SystemExit as end:
    code = end.code or 0
found = {
    "seconds": time.perf_counter() - begin, "processor_seconds": time.process_time(), "import_seconds": imports,
    "peak_bytes": peak_memory_bytes(), "stages": stages,
    "parts": {name: [waited[name], worked[name]] for name in waited},
}
print("MEASURED " + json.dumps(found), file=sys.stderr)
sys.exit(code)
"""

# name, module, function
PARTS: list[tuple[str, str, str]] = [
    ("reading and preprocessing", "lsfa_cli.stages.extract", "prepared"),
    ("pasting defects", "lsfa_cli.stages.pasted_maker", "PastedMaker.make"),
    ("digests of raw files", "lsfa_cli.preprocessing.digests", "DigestMemo.digest"),
    ("hash of content", "lsfa_cli.artifacts.store", "content_hash"),
    ("training of adaptors", "lsfa_cli.stages.adapt", "_train"),
    ("training of discriminators", "lsfa_cli.stages.discriminators", "train_discriminator"),
    ("projection before the coreset", "lsfa_cli.stages.bank", "_Building._projected"),
    ("coreset", "lsfa_cli.stages.bank", "greedy_coreset"),
    ("search", "lsfa_cli.memory_bank", "MemoryBank.score"),
    ("maps of normal samples", "lsfa_cli.stages.bank", "score_maps"),
    ("maps of test samples", "lsfa_cli.stages.score", "score_maps"),
    ("metrics", "lsfa_cli.stages.report", "measure"),
]
RUNS: list[tuple[str, list[str]]] = [
    ("first", []),
    ("the same again", []),
    ("another fusion", ["--fusion", "average_raw"]),
]
MOST_SECONDS = {"first": 180.0, "the same again": 3.0}  # row 13 of the table of speed


def main() -> None:
    """Run three times, print where the time goes, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="mvtec3d")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--category", default="cable_gland")
    parser.add_argument("--folder", type=Path, required=True, help="work folder, which must not exist")
    parser.add_argument("--date", help="noted in the file as it is given")
    parser.add_argument("--out", type=Path, help="write the results to this file")
    parser.add_argument("options", nargs="*", help="for lsfa run")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    common = ["run", "--data", arguments.data, "--root", str(arguments.root), "--category", arguments.category]
    common += ["--work", str(arguments.folder / "work"), "--cache", str(arguments.folder / "cache")]
    runs = []
    for name, more in RUNS:
        runs.append({"name": name, "most_seconds": MOST_SECONDS.get(name)} | run([*common, *arguments.options, *more]))
        print(f"{name}: {runs[-1]['seconds']:.1f} s, {runs[-1]['processor_seconds']:.1f} s of processors", flush=True)
        for part, (waited, worked) in sorted(runs[-1]["parts"].items(), key=lambda item: -item[1][0]):
            print(f"    {waited:8.2f} s {worked:8.2f} s of its thread's  {part}")
    others = [stage for stage, _, state, _ in runs[-1]["stages"] if state == "made" and stage != "score"]
    if others:
        raise SystemExit(f"a scoring setting made {', '.join(others)} anew")
    if arguments.out:
        samples = sum(1 for _ in (arguments.root / arguments.category).rglob("rgb/*.png"))
        result = {
            "date": arguments.date,
            "machine": machine(),
            "work": f"{arguments.category} of {arguments.data}, {samples} samples",
            "options": [Path(word).name if word.startswith("/") else word for word in arguments.options],
            "runs": runs,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def run(command: Sequence[str]) -> dict[str, Any]:
    """One run of the program in a process of its own: seconds of the whole, of its stages and of the parts."""
    program = [sys.executable, "-c", _TELLING, json.dumps(PARTS), *command]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=user_environment())
    told = [line.partition(" ")[2] for line in done.stderr.splitlines() if line.startswith("MEASURED ")]
    if done.returncode or not told:
        raise RuntimeError(f"lsfa {' '.join(command)} failed:\n{done.stderr}")
    return dict(json.loads(told[0]))


if __name__ == "__main__":
    main()
