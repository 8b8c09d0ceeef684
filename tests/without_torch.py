"""Whether an exported model predicts the same where PyTorch is not installed: `make runtime` runs this.

It trains on a small table of pictures, sounds, text, numbers and categories and exports the model in this environment,
predicts with the run here and with the export there, and compares. It prints what the other environment takes.
"""

import argparse
import csv
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from perceiver_pytorch import tables
from perceiver_pytorch.export import export
from training_helpers import TINY, write_mixed_table

TOLERANCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", type=Path, required=True, help="folder of an environment without PyTorch")
    other: Path = parser.parse_args().other.absolute()
    there = [str(other / "bin" / "python"), "-c", "import importlib.util as u; print(u.find_spec('torch'))"]
    if subprocess.run(there, capture_output=True, text=True, check=True).stdout.strip() != "None":
        raise SystemExit(f"{other} has PyTorch, so it proves nothing")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_mixed_table(folder)
        run = tables.fit(table, "label", run=folder / "run", epochs=2, batch_size=8, verbose=False, **TINY)
        run.predict(table, output=folder / "here.csv")
        export(run, folder / "exported")
        command = [str(other / "bin" / "perceiver"), "predict", str(folder / "exported"), str(table)]
        began = time.monotonic()
        subprocess.run([*command, "-o", str(folder / "there.csv")], check=True)
        seconds = time.monotonic() - began
        worst = compare(folder / "here.csv", folder / "there.csv")
    size = sum(file.stat().st_size for file in other.rglob("*") if file.is_file() and not file.is_symlink())
    print(f"predictions agree to {worst:.1e} (at most {TOLERANCE:g} is allowed)")
    print(f"the environment without PyTorch: {size / 1e6:,.0f} MB; start and prediction: {seconds:.1f} s")
    if not worst <= TOLERANCE:
        raise SystemExit(1)


def compare(here: Path, there: Path) -> float:
    """The largest difference of a number; the rest must be equal."""
    worst = 0.0
    with here.open() as first, there.open() as second:
        for one, other in zip(csv.DictReader(first), csv.DictReader(second), strict=True):
            for key, value in one.items():
                if key.startswith("p_"):
                    worst = max(worst, abs(float(value) - float(other[key])))
                elif value != other[key]:
                    return math.inf
    return worst


if __name__ == "__main__":
    main()
