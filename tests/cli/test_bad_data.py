"""Bad data in fit, evaluate and predict: a message with row, column and path, or a counted skip."""

import csv
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib

import pytest

from cli_helpers import SETTINGS, perceiver
from training_helpers import write_mixed_table


def bomb():
    """A PNG that says it has 30000 x 30000 pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def spoil(folder, lines):
    """Row by row something else is wrong; gives {row: (column, a part of the message)}."""
    picture = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(picture[: len(picture) // 2])
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "silence.wav").write_bytes(b"")
    (folder.parent / "outside.png").write_bytes(picture)
    wrong = {
        0: ("picture", "cut.png", "cannot be decoded"),
        2: ("picture", "bomb.png", "--cell-mb 859 allows it"),
        6: ("sound", "silence.wav", "cannot be decoded"),
        8: ("picture", "nowhere.png", "there is no file"),
        12: ("picture", "../outside.png", "leads out of the table's folder"),
        14: ("size", "inf", "must be a finite number"),
        4: ("label", "grey", "grey"),  # a test row of a class that the train rows never had
    }
    for row, (column, cell, _) in wrong.items():
        lines[row][column] = cell
    return {row: (column, reason) for row, (column, _, reason) in wrong.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad") / "data"
    path = write_mixed_table(folder)
    with path.open() as file:
        lines = list(csv.DictReader(file))
    wrong = spoil(folder, lines)
    with (folder / "bad.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    perceiver("fit", "mixed.csv", "--target=label", "--epochs=1", "--run=good", *SETTINGS, cwd=folder)
    return folder, wrong


def test_fit_stops_at_a_bad_row_or_lists_all(folder):
    folder, wrong = folder
    call = ["fit", "bad.csv", "--target=label", "--epochs=1", "--column=size=number", *SETTINGS]
    done = perceiver(*call, "--run=stop", cwd=folder, check=False)
    assert done.returncode == 2
    assert "bad.csv: row 0, column 'picture': the image cannot be decoded" in done.stderr
    perceiver(*call, "--run=skip", "--on-error=skip", cwd=folder)
    assert json.loads((folder / "skip/metrics.json").read_text())["bad_rows"] == len(wrong)
    report = (folder / "skip/report.html").read_text().replace("&#39;", "'")
    for column, reason in wrong.values():
        assert column in report
        assert reason in report


def test_evaluate_stops_or_counts(folder):
    folder, wrong = folder
    done = perceiver("evaluate", "good", "bad.csv", "--split=all", cwd=folder, check=False)
    assert done.returncode == 2
    assert "row 0, column 'picture'" in done.stderr
    perceiver("evaluate", "good", "bad.csv", "--split=all", "--on-error=skip", "-o", "m.json", cwd=folder)
    measured = json.loads((folder / "m.json").read_text())
    assert measured["bad_rows"] == len(wrong)


def test_predict_keeps_every_row_and_says_why_one_has_no_prediction(folder):
    folder, wrong = folder
    perceiver("predict", "good", "bad.csv", "--on-error=skip", "-o", "out.csv", cwd=folder)
    with (folder / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(48))
    inputs = {row: reason for row, reason in wrong.items() if reason[0] != "label"}  # the target is not read
    for row in rows:
        number = int(row["row"])
        assert bool(row["prediction"]) == (number not in inputs)
        if number in inputs:
            column, reason = inputs[number]
            assert row["error"].startswith(f"{column}: ")
            assert reason in row["error"]
        else:
            assert not row["error"]


def test_an_empty_split_and_an_empty_table_are_named(folder):
    folder, _ = folder
    (folder / "notrain.csv").write_text("x,label,split\n1,a,test\n2,b,val\n")
    done = perceiver("fit", "notrain.csv", "--target=label", cwd=folder, check=False)
    assert "puts no row into the train split" in done.stderr
    (folder / "empty.csv").write_text("x,label\n")
    done = perceiver("fit", "empty.csv", "--target=label", cwd=folder, check=False)
    assert "no rows" in done.stderr


def test_an_encoding_can_be_named(folder):
    folder, _ = folder
    text = (folder / "mixed.csv").read_text().replace("dark", "dunkelgrün")
    (folder / "latin.csv").write_bytes(text.encode("latin-1"))
    call = ["fit", "latin.csv", "--target=label", "--epochs=1", "--run=latin", *SETTINGS]
    done = perceiver(*call, cwd=folder, check=False)
    assert done.returncode == 2
    assert "--encoding" in done.stderr
    perceiver(*call, "--encoding=latin-1", cwd=folder)
    assert "dunkelgrün" in (folder / "latin/input_spec.json").read_text()


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_to_the_whole_group_saves_like_an_interrupt(folder):
    folder, _ = folder
    command = [sys.executable, "-c", "from perceiver_pytorch.cli import main; main()", "fit", "mixed.csv",
               "--target=label", "--epochs=4000", "--set=training.patience=4000", "--run=terminated", "--workers=1",
               *SETTINGS]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (folder / "terminated/checkpoints/best.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 130, output
    assert "go on with: perceiver fit --resume terminated" in output
    assert "Traceback" not in output
    assert (folder / "terminated/checkpoints/last.ckpt").is_file()
    assert not (folder / "terminated/.lock").exists()
