"""What the process that decodes answers, and the limits that it sets itself."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_helpers import png, shades, video, wav
from perceiver_pytorch.data.media import decoder_process

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
PICTURE = png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))


def asked(task, source, most=1 << 20, **arguments):
    """What the decoder's process would answer."""
    path = str(source) if isinstance(source, Path) else None
    head = {"task": task, "what": "the file", "path": path, "most": most, "result": 1 << 20, "seconds": 60.0}
    data = bytearray(b"" if path else source)
    answer = decoder_process._answer({**head, "arguments": arguments}, data)
    assert not data  # a file is held once
    return answer


@pytest.fixture
def no_limits(monkeypatch):
    """Limits of this process stay as they are; `os.lseek` of what is written to the terminal finds nothing."""
    limits = []
    monkeypatch.setattr(
        decoder_process, "_limit", lambda name, value: limits.append((name, value)) or value is not None
    )
    monkeypatch.setattr(decoder_process, "_limit_time", lambda seconds: limits.append(("time", seconds)))
    monkeypatch.setattr(decoder_process, "_said", lambda: " [words]")
    return limits


def test_what_a_decoder_answers(no_limits, tmp_path):
    box = {"height": 8, "width": 8, "filling": "pad"}
    (tmp_path / "a.png").write_bytes(PICTURE)
    for source in (PICTURE, tmp_path / "a.png"):
        head, data = asked("image", source, box=box, colors=3, white=65535)
        assert (head["dtype"], head["shape"], data) == ("uint8", (8, 8, 3), bytes(range(192)))
        facts = {"height": 8, "width": 8, "peak": 0, "incomplete": False, "several": False, "colored": False}
        assert head["facts"] == facts
    assert asked("image", PICTURE, box=box, colors=1, white=65535)[0]["facts"]["colored"]
    grey = png(np.full((8, 8, 3), 7, np.uint8))
    assert not asked("image", grey, box=box, colors=1, white=65535)[0]["facts"]["colored"]
    facts = {"height": 8, "width": 8, "grey": False, "peak": 0}
    assert asked("image facts", PICTURE)[0] == {"facts": facts, "dtype": "uint8", "shape": (0,)}
    head, data = asked("audio", wav(np.full(9, 0.5)), sample_rate=8000, max_samples=4, channels=1)
    assert (head["facts"], head["dtype"], head["shape"]) == ({"longer": True, "incomplete": False}, "float32", (4, 1))
    assert len(data) == 16
    assert asked("audio facts", wav(np.zeros(800)))[0]["facts"] == {"sample_rate": 8000, "seconds": 0.1}
    film = video(shades(4), 10)
    head, data = asked("video", film, rate=10.0, max_frames=3, box=box, by_last_frame=True)
    assert head["facts"] == {"height": 32, "width": 48, "longer": True}
    assert (head["shape"], len(data)) == ((3, 5, 8, 3), 360)
    facts = {"height": 32, "width": 48, "seconds": pytest.approx(0.4), "has_sound": False}
    assert asked("video facts", film)[0]["facts"] == facts
    with_limits = no_limits[:4]
    assert [name for name, _ in with_limits] == ["RLIMIT_AS", "time", "time", "RLIMIT_AS"]
    assert [value for _, value in with_limits[1:]] == [60.0, 0, None]
    pages = int(Path("/proc/self/statm").read_bytes().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    expected = pages + (1 << 20) * 2 + (512 << 20)  # a cell's, its result, libraries
    assert with_limits[0][1] == pytest.approx(expected, abs=200 << 20)


def test_errors_of_readers_are_answers(no_limits, monkeypatch):
    assert asked("audio", video(shades(2)), sample_rate=8000, max_samples=4, channels=1) == (
        {"error": "NoSoundError", "message": "the file has no sound track [words]"},
        b"",
    )
    head, _ = asked("image facts", b"junk")
    assert (head["error"], head["message"][-8:]) == ("ValueError", " [words]")
    kinds = {ImportError: "ImportError", KeyError: "ValueError", RecursionError: "ValueError"}
    for kind, name in kinds.items():
        monkeypatch.setitem(decoder_process._TASKS, "image", lambda *_, kind=kind: (_ for _ in ()).throw(kind("why")))
        head, _ = asked("image", b"")
        assert head["error"] == name
        said = "why" if name == "ImportError" else f"the file cannot be decoded ({kind.__name__}: {kind('why')})"
        assert head["message"] == f"{said} [words]"
    monkeypatch.setitem(decoder_process._TASKS, "image", lambda *_: bytearray(1 << 60))
    head, _ = asked("image", b"")
    assert head["error"] == "ValueError"
    assert head["message"].startswith("the file takes more memory to decode than the 1 MB that a cell may take")
    monkeypatch.setattr(decoder_process, "_limit", lambda *_: False)  # no limit of ours: memory ran out
    assert asked("image", b"")[0]["error"] == "MemoryError"


def test_last_words_are_short_and_on_one_line():
    assert decoder_process.last_words(b"") == decoder_process.last_words(b" \n") == ""
    assert decoder_process.last_words(b"a \n b\xff") == " [a b\ufffd]"
    assert decoder_process.last_words(b"x" * 10 + b"y" * 400) == f" [{'y' * 400}]"


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not limit memory")
def test_limits_are_set_below_the_systems_and_taken_back():
    import resource

    before = resource.getrlimit(resource.RLIMIT_CORE)
    code = (
        "import resource; from perceiver_pytorch.data.media.decoder_process import _limit, _limit_memory, _limit_time"
    )
    code += "\nimport signal\nresource.setrlimit(resource.RLIMIT_CORE, (7, 9))"
    code += "\nget = lambda: resource.getrlimit(resource.RLIMIT_CORE)"
    code += "\nprint(_limit('RLIMIT_CORE', 8), get(), _limit('RLIMIT_CORE', 7), _limit('RLIMIT_CORE', 6), get())"
    code += "\nprint(_limit('RLIMIT_CORE', None), get(), _limit_memory(1 << 40), _limit('RLIMIT_AS', None))"
    code += "\n_limit_time(9)\nprint(round(signal.getitimer(signal.ITIMER_PROF)[0]))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[:3] == ["False (7, 9) True True (6, 9)", "False (7, 9) True False", "9"]
    assert resource.getrlimit(resource.RLIMIT_CORE) == before
