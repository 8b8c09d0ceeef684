"""Language models by command: training, generation, filling, measuring, and wrong calls."""

import json
import re

import pytest

from cli_helpers import perceiver

SETTINGS = [
    "--context=32",
    "--latents=8",
    "--batch-size=8",
    "--lr=1e-2",
    "--set=model.latent_dim=32",
    "--set=model.embedding_dim=32",
    "--set=model.depth=1",
    "--set=training.validate_every=30",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    (folder / "text.txt").write_bytes(b"abcdefghijklmnopqrstuvwxyz\n" * 100)
    for objective in ("causal", "masked"):
        done = perceiver(
            "language",
            "text.txt",
            f"--objective={objective}",
            f"--run={objective}",
            "--steps=60",
            *SETTINGS,
            cwd=folder,
        )
        assert "bits per" in done.stdout
        assert "gzip" in done.stdout
        assert f"curve: {objective}/curve.svg" in done.stdout
    return folder


def test_generation_continues_the_text_and_a_seed_repeats_it(folder):
    done = perceiver("generate", "causal", "abcdefghijk", "--max-bytes=20", "--temperature=0", cwd=folder)
    assert done.stdout.startswith("abcdefghijk")
    assert len(done.stdout) == 11 + 20 + 1
    first, again, other = (
        perceiver(
            "generate", "causal", "ab", "--max-bytes=30", f"--seed={seed}", "--top-k=9", "--top-p=0.95", cwd=folder
        )
        for seed in (1, 1, 2)
    )
    assert first.stdout == again.stdout != other.stdout


def test_generation_stops_where_it_is_told_to_and_gives_several_samples(folder):
    done = perceiver("generate", "causal", "abc", "--max-bytes=200", "--stop=\n", "--samples=3", cwd=folder)
    parts = done.stdout.split("--- ")[1:]
    assert [part[0] for part in parts] == ["1", "2", "3"]
    assert all(part.startswith(f"{i + 1}\nabc") for i, part in enumerate(parts))
    assert all(part[2:].count("\n") <= 2 for part in parts)


def test_gaps_are_filled_with_bytes(folder):
    done = perceiver("fill", "masked", "abc[MASK]ef[MASK]", cwd=folder)
    assert done.stdout[:3] == "abc"
    assert done.stdout[4:6] == "ef"
    assert "[MASK]" not in done.stdout


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_evaluate_repeats_what_training_measured(folder, objective):
    trained = json.loads((folder / objective / "metrics.json").read_text())
    size = trained["bytes"]["test"]
    (folder / "end.txt").write_bytes((folder / "text.txt").read_bytes()[-size:])
    done = perceiver("evaluate", objective, "end.txt", "-o", "measured.json", cwd=folder)
    measured = json.loads((folder / "measured.json").read_text())
    assert measured["bits_per_byte"] == pytest.approx(trained["bits_per_byte"], rel=1e-5)
    assert measured["baselines"]["gzip"] == trained["baselines"]["gzip"]
    assert f"{size} bytes of end.txt" in done.stdout


def test_a_stopped_run_goes_on(folder):
    done = perceiver("language", "text.txt", "--run=stopped", "--steps=3000", "--time-limit=1s", *SETTINGS, cwd=folder)
    assert "perceiver language --resume stopped" in done.stdout
    assert json.loads((folder / "stopped/metrics.json").read_text())["stopped"]
    done = perceiver("language", "--resume=stopped", "--time-limit=1s", cwd=folder)
    assert "time limit" in done.stdout
    done = perceiver("language", "--resume=stopped", "--steps=9", cwd=folder, check=False)
    assert "leave out training.steps=9 (it has 3000)" in done.stderr
    (folder / "moved.txt").write_bytes((folder / "text.txt").read_bytes())
    perceiver("language", "moved.txt", "--resume=stopped", "--time-limit=1s", cwd=folder)
    (folder / "other.txt").write_bytes(b"zyxwvutsrqponmlkjihgfedcba\n" * 100)
    before = (folder / "stopped" / "metrics.json").read_bytes()
    done = perceiver("language", "other.txt", "--resume=stopped", cwd=folder, check=False)
    assert done.returncode == 2
    assert "began with another text" in done.stderr
    assert (folder / "stopped" / "metrics.json").read_bytes() == before


def test_settings_of_language_models_are_printed_and_read_back(folder):
    text = perceiver("config", "--objective=masked", "--preset=small", cwd=folder).stdout
    assert "objective: masked" in text
    changed = re.sub(r"context: \d+", "context: 9999", text)
    assert changed != text
    (folder / "settings.yaml").write_text(changed)
    done = perceiver("language", "text.txt", "--config=settings.yaml", cwd=folder, check=False)
    assert "context of 9,999 bytes" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["language"], "which file? perceiver language FILE"),
        (["language", "nowhere.txt"], "there is no file nowhere.txt"),
        (["language", "empty.txt"], "empty.txt is empty"),
        (["language", "short.txt"], "short.txt is too short"),
        (["language", "text.txt", "--objective=both"], "objective must be one of 'causal', 'masked'"),
        (["language", "text.txt", "--preset=huge"], "preset must be one of 'tiny', 'small', 'base'"),
        (["language", "text.txt", "--latents=600"], "must not exceed data.context"),
        (["language", "text.txt", "--set=model.dept=3"], "did you mean 'depth'"),
        (["language", "text.txt", "--time-limit=soon"], "--time-limit must be a duration"),
        (["language", "text.txt", "--run=causal"], "is not empty"),
        (["generate", "nothing", "a"], "nothing is not a run folder"),
        (["generate", "masked", "a"], "has a masked model, a causal one is needed"),
        (["generate", "causal", ""], "if only a line break: $'\\n'"),
        (["generate", "causal", "a", "--temperature=-1"], "temperature must be at least 0"),
        (["generate", "causal", "a", "--top-p=2"], "top_p must lie in (0, 1]"),
        (["generate", "causal", "a", "--max-bytes=0"], "--max-bytes must be at least 1"),
        (["generate", "causal", "a", "--stop=ab"], "--stop must be a single byte"),
        (["fill", "causal", "a[MASK]"], "has a causal model, a masked one is needed"),
        (["fill", "masked", "a"], "has no [MASK]"),
        (["fill", "masked", "a[MASK]" * 33], "TEXT must be at most 32 bytes long"),
        (["predict", "causal", "text.txt", "-o", "out.csv"], "use perceiver generate"),
        (["evaluate", "causal", "empty.txt"], "empty.txt is empty"),
        (["fit", "--resume=causal"], "perceiver language --resume"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_leaves_nothing(folder, arguments, message):
    (folder / "empty.txt").write_bytes(b"")
    (folder / "short.txt").write_bytes(b"short")
    done = perceiver(*arguments, cwd=folder, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(folder.glob("runs/*"))
