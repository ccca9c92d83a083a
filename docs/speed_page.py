"""Write docs/explanation/speed.md and its pictures from bench.json, the results of `nox -s bench`.

`python docs/speed_page.py` writes them, `--check` only compares the page with what is there (used by `nox -s lint`).
The page is made from the files alone, so equal files give an equal page.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "explanation" / "bench.json"
PEERS = HERE / "explanation" / "bench-peers.json"
STAGES = HERE / "explanation" / "bench-stages.json"
RUN = HERE / "explanation" / "bench-run.json"
PAGE = HERE / "explanation" / "speed.md"
PICTURES = HERE / "pictures"

PAPERS_TRAINING = 244  # training samples of a category, for which the limits of memory are

Results = Mapping[str, Any]

INTRODUCTION = """# Speed

How long the stages take, against plain implementations of what public code does, on the same machine and in the same
process. This page is made by `python docs/speed_page.py` from [bench.json](bench.json), which `nox -s bench` writes;
nothing on it is typed by hand.

Both ways do the same work in turn (A B A B ...). Stated are medians, the ratio pair by pair with its smallest and
largest, the same ratio in seconds of all processors (which other work on the machine changes less), what our way takes
in memory beside its input, and which share of the machine's limit it reaches: of the fp32 matrix product where
arithmetic counts, of reading memory where traffic does. The amount of work behind a share is the least that the method
needs. Each run first checks that both ways give the same result within the tolerance; otherwise there is no figure.
"""

READING = """## How to read it

- A target that is missed stays in the table as missed. Targets of seconds and shares depend on what else the machine
  does; the load at the start of the run is stated above.
- Each row's share is of the limit that was measured in its own run, with as many threads as the row had. On a busy
  machine threads wait for one another, which costs processor time too: there one thread compares best. A share above
  100 % has no verdict: other work took more of the machine while the limit was measured. Where rows have different
  numbers of threads, the file was put together from several runs.
- An extrapolated reference made a part of its picks, each of which costs it the same.
- The coreset's reference takes 60 MB of new memory at each pick, as published code does. Depending on what the process
  did before, the system hands it out at once or page by page, and the same loop takes several times as long. "In
  place" is the loop without that.
- `python -m tests.benchmarks --rows 6 7` measures some rows alone, `--help` tells the rest. No test asserts a time; the
  tests check with small sizes that both ways agree.
- `nox -s bench` runs all rows and makes this page; `nox -s bench_peers` the other packages, `python -m
  tests.benchmarks.whole_stages --scale 1 --folder DIR` the stages at the paper's scale and `python -m
  tests.benchmarks.whole_run --root DIR --folder DIR` the whole run; `--out` names the file beside this page.
- `python -m tests.benchmarks.gpu` measures the stages at the paper's scale on a CUDA device. It needs torch, timm,
  NumPy, SciPy and h5py besides this package. **It has not been run on CUDA**: no such device was at hand. Its code was
  run on the CPU with small sizes (`--device cpu --small`), and so were the coreset and the search of that device.
"""


def page(
    results: Results, peers: Results | None = None, stages: Results | None = None, run: Results | None = None
) -> str:
    """The whole page as Markdown. What was not measured has no section."""
    parts = [INTRODUCTION, _machine(results), "## Stages\n", _rows(results["rows"]), "", _references(results["rows"])]
    if run is not None:
        parts += [_run(run)]
    if stages is not None:
        parts += [_whole_stages(stages)]
    if results["growth"]:
        parts += [_growth(results["growth"])]
    if peers is not None:
        parts += [_peers(peers)]
    return "\n".join([*parts, READING]).rstrip() + "\n"


def _machine(results: Results) -> str:
    machine, limits = results["machine"], results["limits"]
    versions = ", ".join(f"{name} {version}" for name, version in results["packages"].items())
    date = f" Date: {results['date']}." if results.get("date") else ""
    load = "" if machine["load"] is None else f" Other work ran on it: the load was {machine['load']} at the start."
    return (
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"shared with others.{load}{date}\n\n"
        f"Its limits, measured in the last run, beside that other work: {limits['fp32_gflops']:.0f} GFLOP/s fp32 and "
        f"{limits['bf16_gflops']:.0f} GFLOP/s bf16 matrix product, {limits['read_gbs']:.1f} GB/s reading.\n\n"
        f"Versions: {versions}.\n"
    )


def _rows(rows: Sequence[Results]) -> str:
    header = (
        "row",
        "what",
        "work",
        "reference",
        "ours",
        "times faster",
        "in processor time",
        "peak",
        "limit",
        "target",
    )
    return _table(header, [_row(row) for row in rows])


def _row(row: Results) -> tuple[str, ...]:
    processor = row["processor_ratio"]
    about = "≈ " if row["reference_extrapolated"] else ""
    kind = {"fp32_gflops": "fp32", "bf16_gflops": "bf16", "read_gbs": "reading"}[row["limit"]["kind"]]
    return (
        str(row["row"]),
        f"{row['stage']}: {row['name']}",
        row["work"],
        about + _seconds(row["reference_seconds"]["median"]),
        _seconds(row["our_seconds"]["median"]),
        _ratio(row["ratio"]),
        "-" if processor is None else _number(processor["median"]),
        _bytes(row["peak_bytes"]),
        f"{_percent(row['limit']['share'])} of {kind}",
        _target(row["target"], row["limit"]["share"]),
    )


def _ratio(ratio: Results) -> str:
    return f"**{_number(ratio['median'])}** ({_number(ratio['low'])} to {_number(ratio['high'])})"


def _target(target: Results | None, share: float) -> str:
    if target is None:
        return "none"
    # More than the limit: other work took more of the machine while that was measured.
    unknown = target["kind"] == "share" and share > 1
    wanted = {
        "ratio": f"≥ {target['value']:g} times",
        "seconds": f"≤ {target['value']:g} s",
        "share": f"≥ {100 * target['value']:g} % of the limit",
    }[target["kind"]]
    return f"{wanted}: {'no verdict' if unknown else 'met' if target['met'] else '**missed**'}"


def _references(rows: Sequence[Results]) -> str:
    lines = ["What the reference does, its memory where that was measured, and what the two agree in:\n"]
    for row in rows:
        agreement = row["agreement"]
        memory = "" if row["reference_peak_bytes"] is None else f" Peak {_bytes(row['reference_peak_bytes'])}."
        runs = "1 run" if row["runs"] == 1 else f"{row['runs']} runs"
        runs += f", {row['threads']} {'thread' if row['threads'] == 1 else 'threads'}"
        what = agreement["what"][0].upper() + agreement["what"][1:]
        lines.append(
            f"- Row {row['row']}, {row['name']}: {row['reference']}.{memory} {what}: they differ "
            f"by {agreement['difference']:.2g}, at most {agreement['tolerance']:g} is accepted. {runs}."
        )
    return "\n".join(lines) + "\n"


def _growth(growth: Sequence[Results]) -> str:
    header = ("what", "patches N", "time", "processor time", "input", "peak beside it")
    rows = [
        (
            row["name"],
            f"{row['patches']:,}",
            _seconds(row["seconds"]),
            _seconds(row["processor_seconds"]),
            _bytes(row["input_bytes"]),
            _bytes(row["peak_bytes"]),
        )
        for row in growth
    ]
    works = {row["name"]: row["work"] for row in growth}
    notes = "\n".join(f"- {name}: {work}" for name, work in works.items())
    return (
        "## Growth with the number of patches\n\nOne run at each size. The coreset's time grows with the square of N, "
        "since it keeps a share of them; its memory does not.\n\n"
        "![Time and memory against the number of patches](../pictures/growth.svg)\n\n"
        f"{_table(header, rows)}\n\n{notes}\n"
    )


def _peers(peers: Results) -> str:
    header = ("what", "work", "peer", "peer's time", "ours", "times faster", "agreement")
    rows = [
        (
            row["name"],
            row["work"],
            row["peer"],
            _seconds(row["peer_seconds"]["median"]),
            _seconds(row["our_seconds"]["median"]),
            _ratio(row["ratio"]),
            row["agreement"],
        )
        for row in peers["rows"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in peers["packages"].items())
    absent = "".join(f"\n- {name}: not measured. {reason}" for name, reason in peers["absent"].items())
    return (
        "## Beside other packages\n\nPackages from the registry, in an environment of their own "
        "(`nox -s bench_peers`), "
        f"each in turn with ours in one process. {versions}.\n\n{_table(header, rows)}\n{absent}\n"
    )


def _run(run: Results) -> str:
    """Row 13: `lsfa run` from raw files to the table, and where its time goes."""
    header = ("run", "time", "processor time", "peak", "imports", "stages made", "target")
    rows = []
    for one in run["runs"]:
        made = [
            f"{stage}{f' ({variant})' if variant else ''} {_seconds(seconds)}"
            for stage, variant, state, seconds in one["stages"]
            if state == "made"
        ]
        most = one["most_seconds"]
        verdict = "none" if most is None else f"≤ {most:g} s: {'met' if one['seconds'] <= most else '**missed**'}"
        rows.append(
            (
                one["name"],
                _seconds(one["seconds"]),
                _seconds(one["processor_seconds"]),
                _bytes(one["peak_bytes"]),
                _seconds(one["import_seconds"]),
                ", ".join(made) or "none",
                verdict,
            )
        )
    first = run["runs"][0]
    parts = sorted(first["parts"].items(), key=lambda item: -float(item[1][0]))
    lines = [(name, _seconds(waited), _seconds(worked)) for name, (waited, worked) in parts]
    options = " ".join(run["options"])
    return (
        f"## A whole run (row 13)\n\n`lsfa run` of {run['work']}, from raw files to the table: `{options}`. The "
        f"load was {run['machine']['load']} at its end, on {run['machine']['cores']} cores. The target is for the "
        f"complete category.\n\n{_table(header, rows)}\n\n"
        "Where the first run's time goes: how long a part was waited for, and the processor time of the threads that "
        "called it, without those that a library starts (Open3D for FPFH, PyTorch and BLAS). Both are sums over "
        "threads, and threads read, preprocess and paste ahead of the networks: the parts may add up to more than the "
        "run.\n\n"
        f"{_table(('part', 'waited for', 'processor time of its threads'), lines)}\n"
    )


def _whole_stages(stages: Results) -> str:
    """Stages at the paper's scale, beside what a dry run expected."""
    header = ("stage", "time", "expected", "processor time", "peak of the process", "expected", "limit")
    rows = []
    for one in stages["stages"]:
        most = one["most_bytes"]
        judged = "not at this scale"
        if most is not None and stages["training"] >= PAPERS_TRAINING:
            judged = "met" if one["peak_bytes"] < most else "**missed**"
        verdict = "none" if most is None else f"< {most / 1e9:g} GB: {judged}"
        expected = one["expected_seconds"], one["expected_bytes"]
        rows.append(
            (
                one["stage"],
                _seconds(one["seconds"]),
                "-" if expected[0] is None else _seconds(expected[0]),
                _seconds(one["processor_seconds"]),
                f"{one['peak_bytes'] / 1e9:.2f} GB",
                "-" if expected[1] is None else f"{expected[1] / 1e9:.2f} GB",
                verdict,
            )
        )
    return (
        f"## Whole stages\n\n{stages['training']} training and {stages['test']} test samples (the paper's scale is 244 "
        "and 110, and the limits are for it) of "
        "3136 x 1152 scan patches, a third valid, and 784 x 768 image patches, float16, random but clustered: "
        f"{stages['features_bytes'] / 1e9:.2f} GB of features. Each stage in a process of its own, packages included; "
        f"expected is what `--dry-run` said before. The load was {stages['machine']['load']} at the end.\n\n"
        f"{_table(header, rows)}\n"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _seconds(value: float) -> str:
    return f"{1000 * value:.2g} ms" if value < 0.1 else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _bytes(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def draw_growth(growth: Sequence[Results], path: Path) -> None:
    """Time and memory against N as an SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "lsfa", "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        panels = figure.subplots(1, 2)
        columns = (("seconds", 1.0, "seconds"), ("peak_bytes", 2.0**30, "GiB beside the input"))
        for axes, (column, unit, label) in zip(panels, columns, strict=True):
            for name in dict.fromkeys(row["name"] for row in growth):
                rows = [row for row in growth if row["name"] == name and row[column] is not None]
                patches = [row["patches"] / 1000 for row in rows]
                axes.plot(patches, [row[column] / unit for row in rows], marker="o", label=name)
            axes.set(xscale="log", yscale="log", xlabel="thousand patches", ylabel=label)
            axes.grid(alpha=0.3, which="both")
            axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the page is not up to date")
    check = parser.parse_args().check
    results = json.loads(RESULTS.read_text())
    text = page(results, *(json.loads(path.read_text()) if path.exists() else None for path in (PEERS, STAGES, RUN)))
    if check:
        if PAGE.read_text() == text:
            return 0
        print(f"{PAGE.name} is not what {RESULTS.name} gives: run python docs/speed_page.py", file=sys.stderr)
        return 1
    PAGE.write_text(text)
    draw_growth(results["growth"], PICTURES / "growth.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
