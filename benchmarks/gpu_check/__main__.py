"""Run everything that touches a GPU, and write a report to send to the authors.

    python -m benchmarks.gpu_check [--report gpu-check.md]

It takes ten minutes at most. The exit status is 1 if a check fails. On a machine without a GPU it
says what it would do.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_check.checks import WHOLE_S, all_checks
from benchmarks.gpu_check.report import Outcome, machine, nvidia_smi, report, run_checks

SEND = "please send the file to the authors, whatever it says: nobody has run this before"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--report", type=Path, default=Path("gpu-check.md"), help="its file")
    target: Path = parser.parse_args(arguments).report
    checks = all_checks()

    import trainables  # noqa: F401  (sets Paddle up before it is imported)
    from trainables.deployment.gpu import has_gpu

    if not has_gpu():
        print("paddle sees no GPU here. On a machine with one, and paddlepaddle-gpu, this runs:")
        for check in checks:
            print(f"  {check.name}: {check.what}, at most {check.limit_s:.0f} s")
        print(f"in at most {WHOLE_S:.0f} s together, and writes what it finds to {target}.")
        if shutil.which("nvidia-smi") is not None:
            print(
                "There is an nvidia-smi: with a GPU, make gpu-check GPU_INDEX=ADDRESS; see README"
            )
        return 0
    about, devices = machine(), nvidia_smi()

    def persist(outcomes: list[Outcome]) -> None:
        target.write_text(report(outcomes, about, devices))

    outcomes = run_checks(checks, WHOLE_S, lambda line: print(line, flush=True), persist)
    print(f"{target}: {SEND}")
    return int(any(outcome.verdict == "fail" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
