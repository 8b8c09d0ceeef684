"""Kinds of columns of other packages: that of examples/plugins from `fit` to the report, and that of the page."""

import csv
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cli_helpers import SETTINGS
from plugin_helpers import blocks, install, registered

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "examples/plugins"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package, as pip installs one: its module, and what its project registers."""
    folder = tmp_path_factory.mktemp("installed")
    group, entry = registered((PLUGIN / "pyproject.toml").read_text())
    install(folder, "perceiver_dna", group, entry, (PLUGIN / "perceiver_dna.py").read_text())
    return folder


@pytest.fixture
def run(installed, tmp_path):
    """Runs Python code with arguments in a process that has the package: settings are made once in a process."""

    def call(code, *arguments, check=True):
        path = os.pathsep.join([str(installed), *sys.path])
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return call


NEXT = "now the next command"
COMMANDS = f"""
import json, sys
from perceiver_pytorch.cli import main
for arguments in map(json.loads, sys.argv[1:]):
    sys.argv = ["perceiver", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
    print({NEXT!r})
"""
"""One after the other: each argument is a call of the command."""


def write_genes(path, rows=48):
    """Half of the sequences are rich in G and C."""
    draw = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["gene", "promoter", "rich", "split"])
        for i in range(rows):
            letters = ("GC" * 4 + "AT") if i % 2 else ("GC" + "AT" * 4)
            gene, promoter = ("".join(draw.choices(letters, k=draw.randint(30, 40))) for _ in range(2))
            writer.writerow(
                [gene.lower() if i % 5 else "", promoter, "yes" if i % 2 else "no", ["train", "val"][i % 3 == 0]]
            )
    return path


def test_a_kind_of_another_package_from_fit_to_the_report(run, tmp_path):
    write_genes(tmp_path / "genes.csv")
    options = ("--set=data.max_dna_length=32", "--set=data.column_options.promoter.max_dna_length=16")
    fit = ["fit", "genes.csv", "--target=rich", "--run=run", "--epochs=2", "--workers=0", "--time-limit=0.01s"]
    fit += ["--column=promoter=dna", "--set=augment.dna_flip=0.5", "--set=training.validate_every=0"]
    calls = (
        [*fit, *options, *SETTINGS],
        ["fit", "--resume", "run"],
        ["evaluate", "run", "genes.csv", "--split=val"],
        ["predict", "run", "genes.csv", "--output=out.csv"],
    )
    done = run(COMMANDS, *map(json.dumps, calls))
    first, _, others = done.stdout.partition(NEXT)
    assert "gene: dna, 32 tokens of 4 values (at most 32 bases)" in first
    assert "promoter: dna, 16 tokens of 4 values (at most 16 bases)" in first
    assert "lost their end: they are longer than the model reads" in done.stderr
    assert "stopped" in first
    assert len((tmp_path / "run/history.csv").read_text().splitlines()) == 3

    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert config["data"]["max_dna_length"] == 32
    assert config["augment"]["dna_flip"] == 0.5
    spec = json.loads((tmp_path / "run/input_spec.json").read_text())
    assert spec["kinds"] == {"gene": "dna", "promoter": "dna"}
    assert spec["modalities"][0] == {"kind": "dna", "name": "gene", "length": 32}
    page = (tmp_path / "run/report.html").read_text()
    assert page.count('height="24" fill=') > 100  # the stripes of examples

    lines = others.splitlines()
    measured = next(line for line in lines if line.startswith("rich: accuracy"))
    assert lines.count(measured) == 2  # after training, and by `evaluate`
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 49


LEARN = """
import numpy as np, torch
from perceiver_pytorch.data import DataError, InputSpec, TableDataset, collate, load_table, recognise_columns
from perceiver_pytorch.training.table.settings import AugmentConfig
table = load_table("genes.csv")
kinds = recognise_columns(table, target="rich", split=None)
assert kinds == {"gene": "dna", "promoter": "dna"}, kinds
spec = InputSpec.fit(table, kinds, target="rich", rows=np.arange(48))
dataset = TableDataset(table, np.arange(6), spec)
batch = collate([dataset[i] for i in range(6)], spec)
torch.manual_seed(0)
gene = spec.modality("gene")
values, mask = batch.inputs["gene"], batch.masks["gene"]
other = gene.augmented(values, mask, AugmentConfig(dna_flip=1.0))
assert not torch.equal(other, values)
assert torch.equal(gene.augmented(other, mask, AugmentConfig(dna_flip=1.0)), values)
assert torch.equal(gene.augmented(values, mask, AugmentConfig()), values)
try:
    gene.encode({"gene": "ACGX"}, dataset.where(3))
except DataError as error:
    print(error)
"""


def test_what_it_learns_and_changes(run, tmp_path):
    write_genes(tmp_path / "genes.csv")
    assert "row 3, column 'gene': must be DNA (A, C, G, T or N), got 'X'" in run(LEARN).stdout


def test_a_run_of_a_kind_that_is_not_installed_says_so():
    from perceiver_pytorch.data import DataError, InputSpec

    modality = {"kind": "dna", "name": "gene", "length": 8}
    given = {"version": 2, "targets": [], "kinds": {"gene": "dna"}, "modalities": [modality]}
    with pytest.raises(DataError, match=r"modalities\[0\] must be .*if a package adds that kind, install it"):
        InputSpec.from_dict(given)


def test_kinds_that_cannot_be_added_are_named(monkeypatch):
    from perceiver_pytorch.data import kinds

    for found, error, message in (
        (3, TypeError, "an entry point of perceiver.kinds must name an instance of Kind, got 3"),
        (kinds.BUILT_IN[0], ValueError, "a kind of another package is called 'image'"),
    ):
        monkeypatch.setattr(kinds, "plugins", lambda group, found=found: [found])
        with pytest.raises(error, match=message):
            kinds._added.__wrapped__()


def test_nothing_of_ours_knows_it():
    assert not [path for path in (ROOT / "src").rglob("*.py") if re.search(r"\bdna\b", path.read_text(), re.IGNORECASE)]


def test_the_kind_of_the_page(tmp_path, monkeypatch):
    import numpy as np

    from data_helpers import table_of
    from perceiver_pytorch.data import DataError, InputSpec, TableDataset, kinds, recognise_columns

    code = blocks("extending/kind.md", "python")
    page = {}
    exec(code[0], page)
    monkeypatch.setattr(kinds, "_added", lambda: (page["KIND"],))
    kinds.kinds.cache_clear()
    try:
        shades = [f"#{i:02x}80ff" for i in range(0, 250, 10)]
        table = table_of(tmp_path, shade=[*shades, None], y=[i % 2 for i in range(26)])
        found = recognise_columns(table, target="y", split=None)
        assert found == {"shade": "color"}
        spec = InputSpec.fit(table, found, target="y", rows=np.arange(20))
        assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
        assert spec.describe() == [("shade", "color", "shade", "1 token of 3 values", "red, green and blue")]
        dataset = TableDataset(table, np.arange(26), spec)
        assert np.allclose(dataset[1].inputs["shade"].values, [[10 / 127.5 - 1, 128 / 127.5 - 1, 1]], atol=1e-6)
        assert dataset[25].inputs["shade"] is None
        with pytest.raises(DataError, match="row 0, column 'shade': must be a colour such as #2563a8, got 'red'"):
            spec.modalities[0].encode({"shade": "red"}, dataset.where(0))
    finally:
        monkeypatch.undo()
        kinds.kinds.cache_clear()
