"""Run the benchmarks: `nox -s bench`, or `python -m tests.benchmarks`. Options: `--help`."""

import argparse
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `lsfa` does, and before anything loads PyTorch

from tests.benchmarks import bank_rows, extract_rows, growth, report_rows
from tests.benchmarks.cases import measure
from tests.benchmarks.measuring import best_of, machine, machine_limits, packages

SCHEMA = 1
BUDGETS = {6: 12.0}  # seconds a case; others:
BUDGET = 6.0


def main() -> int:
    """Measure the rows asked for, print them, and write the file."""
    arguments = _arguments()
    limits = machine_limits()
    print("limits: " + ", ".join(f"{name} {value:.1f}" for name, value in limits.items()), flush=True)
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "date": arguments.date,
        "machine": machine(),
        "packages": packages(),
        "limits": limits,
        "rows": rows,
        "growth": [],
    }
    for case in itertools.chain(*(room.cases(arguments.tiny) for room in (extract_rows, bank_rows, report_rows))):
        if arguments.rows and case.row not in arguments.rows:
            continue
        rows.append(measure(case, limits, budget=arguments.budget or BUDGETS.get(case.row, BUDGET)))
        print(told(rows[-1]), flush=True)
        _write(result, arguments.out)  # what is measured stays, whatever happens to the rest
    if not arguments.no_growth:
        result["growth"] = growth.measure(arguments.tiny)
    result["limits"] = best_of(limits, machine_limits())
    _write(result, arguments.out)
    return 0


def _write(result: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")


def told(row: dict[str, Any]) -> str:
    """A row as two lines for the terminal."""
    plain, ours, ratio = (row[name]["median"] for name in ("reference_seconds", "our_seconds", "ratio"))
    peak = "unknown" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.0f} MiB"
    processors = "" if row["processor_ratio"] is None else f"; processors {row['processor_ratio']['median']:.2f}"
    target = row["target"]
    verdict = (
        "" if target is None else f", target {target['kind']} {target['value']}: {'met' if target['met'] else 'MISSED'}"
    )
    return (
        f"row {row['row']}, {row['name']}: {row['work']}\n"
        f"    reference {plain:.4g} s, ours {ours:.4g} s, {ratio:.2f} times faster "
        f"({row['ratio']['low']:.2f} to {row['ratio']['high']:.2f}{processors}), peak {peak}, "
        f"{100 * row['limit']['share']:.0f} % of {row['limit']['kind']}{verdict}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", help="only these rows of the table")
    parser.add_argument("--tiny", action="store_true", help="small sizes: checks the code and measures nothing")
    parser.add_argument("--budget", type=float, help="seconds a measurement takes, about")
    parser.add_argument("--no-growth", action="store_true", help="leave out memory and time against N")
    parser.add_argument("--date", help="noted in the file as it is given")
    parser.add_argument("--out", type=Path, help="write the results to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
