"""The process in which files are decoded, and what becomes of the row when it dies."""

import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_helpers import png, shades, table_of, video, wav
from perceiver_pytorch._processes import DecodingMemoryError
from perceiver_pytorch.data import DataError, ImageSpec, InputSpec, TableDataset, Where
from perceiver_pytorch.data.media import decoder_process, decoding, messages
from perceiver_pytorch.data.media.fitting import Box

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
BOX = Box(8, 8, "pad")
PICTURE = png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))


def pixels(data=PICTURE):
    return decoding.image(data, BOX, 3)[1]


def pictures(table):
    """The spec of pictures in x and classes in y, of which none is looked at."""
    targets = InputSpec.fit(table, {"x": "text"}, target="y", rows=np.arange(2)).targets
    return InputSpec(targets, (ImageSpec("x", 8, 8, 3, 1),), {"x": "image"})


def process():
    return decoding._DECODERS[os.getpid()]._process


@pytest.fixture
def decoder(monkeypatch):
    """A way to have pictures decoded by a function of one's own, given as source text."""

    def replace(body):
        real = decoding._command()
        code = real[2].replace("import main; main()", "import _TASKS, main; import os, sys, time, signal\n")
        code = code.replace("; from", "\nfrom") + f"def broken(source, *_, **__):\n    {body}\n"
        code += "_TASKS['image'] = broken\nmain()"
        monkeypatch.setattr(decoding, "_command", lambda: [*real[:2], code])
        decoding.close()

    yield replace
    decoding.close()


def test_one_process_decodes_file_after_file_and_is_replaced_when_it_is_gone():
    expected = np.arange(192).reshape(8, 8, 3)
    assert (pixels() == expected).all()
    first = process()
    assert (pixels() == expected).all()
    assert process() is first
    os.kill(first.pid, signal.SIGKILL)
    assert (pixels() == expected).all()
    assert process().pid != first.pid


def test_a_file_that_ends_the_decoder_is_a_bad_row_and_others_are_read(decoder, tmp_path):
    real = "from perceiver_pytorch.data.media.decoder_process import _image; "
    decoder(
        f"{real}return _image(source, *_, **__) if b'PNG' in source else "
        "(sys.stderr.write('heap is broken'), sys.stderr.flush(), os.kill(os.getpid(), signal.SIGSEGV))"
    )
    table = table_of(tmp_path, x=[PICTURE, b"BAD", PICTURE], y=["a", "b", "a"])
    dataset = TableDataset(table, np.arange(3), pictures(table), on_error="skip", workers=0)
    (bad,) = dataset.prepare()
    assert (bad.row, bad.column) == (1, "x")
    assert bad.reason == (
        "the image cannot be decoded (it ends the decoder: signal 11, Segmentation fault [heap is broken])"
    )
    assert len(dataset) == 2


def test_a_decoder_that_is_killed_twice_stops_the_run(decoder, tmp_path):
    decoder("os.kill(os.getpid(), signal.SIGKILL)")
    table = table_of(tmp_path, x=[PICTURE, PICTURE], y=["a", "b"])
    with pytest.raises(DecodingMemoryError, match=r"memory to decode row 0.*signal 9.*--workers 1"):
        TableDataset(table, np.arange(2), pictures(table), on_error="skip", workers=0).prepare()


def test_memory_beyond_what_the_header_says_is_refused(decoder):
    if sys.platform != "linux":
        pytest.skip("the system does not limit memory")
    decoder("return bytearray(3 << 30)")
    with pytest.raises(ValueError, match=r"the image takes more memory to decode than the 512 MB .*--cell-mb 1024"):
        pixels()


def test_what_no_reader_foresaw_is_the_files_fault(decoder):
    decoder("return {}['width']")
    with pytest.raises(ValueError, match=r"the image cannot be decoded \(KeyError: 'width'\)"):
        pixels()


def test_work_without_end_is_ended(decoder, monkeypatch):
    monkeypatch.setattr(decoding, "_SECONDS", 0.1)
    decoder("while True: pass")
    with pytest.raises(ValueError, match="still at work after 0 s"):
        pixels()


def test_a_decoder_that_does_not_answer_in_words_of_ours_is_ended(decoder):
    decoder("os.write(1, b'x'); os.write(4, b'\\xff' * 12); os.write(5, b'\\xff' * 12); time.sleep(9)")
    with pytest.raises(ValueError, match="it ends the decoder: its answer cannot be read"):
        pixels()


def test_a_decoder_that_cannot_be_started_is_no_bad_row(monkeypatch):
    decoding.close()
    monkeypatch.setattr(decoding, "_command", lambda: ["/no/such/python"])
    with pytest.raises(ChildProcessError, match="cannot be started"):
        ImageSpec("x", 8, 8, 3, 1).encode({"x": PICTURE}, Where("here", Path(), 0))


def test_an_interruption_leaves_no_answer_to_be_taken_for_the_next(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(messages, "receive", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pixels()
    assert (pixels(png(np.full((8, 8, 3), 7, np.uint8))) == 7).all()


def test_libraries_write_nothing_to_the_terminal_and_their_words_are_told(capfd):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 8, 7)).save(buffer, "TIFF", compression="tiff_lzw")
    broken = buffer.getvalue()
    broken = broken[:12] + b"\xff" * 16 + broken[28:]
    with pytest.raises(ValueError, match=r"the image cannot be decoded .*\[.*not yet in table.*\]"):
        pixels(broken)
    assert capfd.readouterr() == ("", "")


def _forked(queue):
    queue.put((pixels().tolist(), process().pid))


def test_a_forked_process_has_a_decoder_of_its_own():
    mine = pixels(), process().pid
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        forked = context.Process(target=_forked, args=(queue,))
        forked.start()
    theirs, number = queue.get(timeout=60)
    forked.join()
    assert theirs == mine[0].tolist()
    assert number != mine[1]
    assert process().pid == mine[1]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes")
def test_no_decoder_outlives_who_started_it():
    code = f"from perceiver_pytorch.data.media import decoding; import os, time; decoding.image_facts({PICTURE!r})"
    code += "; print(decoding._DECODERS[os.getpid()]._process.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    until = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()


def test_bytes_of_a_file_count_too():
    with pytest.raises(
        ValueError, match=r"the sound takes 1 MB of memory to decode \(its file has .* bytes\).*1 allows"
    ):
        decoding.audio(wav(np.zeros(9000)), 8000, 8, 1, most=9000)
    with pytest.raises(DataError, match=r"row 3, column 'x': .*--cell-mb"):
        ImageSpec("x", 8, 8, 3, 1).encode({"x": PICTURE}, Where("here", Path(), 3, cell_bytes=10))


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


def test_what_is_asked_for_says_how_much_may_come_back(monkeypatch):
    heads = []

    class Decoder:
        def ask(self, head, data):
            heads.append((head, data))
            return {"error": "ImportError", "message": "stop"}, bytearray()

    monkeypatch.setitem(decoding._DECODERS, os.getpid(), Decoder())
    tasks = [
        (lambda: decoding.image(b"12", Box(4, 5, "pad"), 3, 99), ("image", "the image", 60, 120.0)),
        (lambda: decoding.image_facts(Path("a.png")), ("image facts", "the image", 0, 120.0)),
        (lambda: decoding.audio(b"1", 10, 30, 2), ("audio", "the sound", 240, 180.0)),
        (lambda: decoding.audio_facts(b"1"), ("audio facts", "the sound", 0, 120.0)),
        (lambda: decoding.video(b"1", 5.0, 10, Box(4, 5, "pad")), ("video", "the video", 600, 160.0)),
        (lambda: decoding.video_facts(b"1"), ("video facts", "the video", 0, 120.0)),
    ]
    for ask, expected in tasks:
        with pytest.raises(ImportError, match="stop"):
            ask()
        head, _ = heads[-1]
        assert tuple(head[name] for name in ("task", "what", "result", "seconds")) == expected
    assert (heads[0][0]["most"], heads[0][0]["path"], heads[0][1]) == (99, None, b"12")
    assert (heads[1][0]["path"], heads[1][1], heads[1][0]["most"]) == (os.path.abspath("a.png"), b"", 512 << 20)
    assert heads[0][0]["arguments"] == {"box": vars(Box(4, 5, "pad")), "colors": 3, "white": 65535}
    assert heads[4][0]["arguments"]["by_last_frame"] is True


def test_how_a_process_ended_is_said():
    head = {"what": "the image", "seconds": 120.4}
    assert str(decoding._death(head, 3, " [x]")) == "the image cannot be decoded (it ends the decoder: status 3 [x])"
    assert str(decoding._death(head, 0, "")).endswith("(it ends the decoder: its answer cannot be read)")
    assert str(decoding._death(head, -signal.SIGPROF, "")).endswith("(the decoder was still at work after 120 s)")
    killed = decoding._death(head, -signal.SIGKILL, "")
    assert isinstance(killed, DecodingMemoryError)
    assert "its process was killed twice (signal 9), as the system does where memory runs out" in str(killed)
    assert "signal 6, " in str(decoding._death(head, -signal.SIGABRT, ""))


def test_signals_to_the_whole_group_do_not_end_a_decoder():
    pixels()
    first = process()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(first.pid, number)
    assert (pixels() == pixels()).all()
    assert process() is first


@pytest.mark.skipif(sys.platform != "linux", reason="looks at limits of processes")
def test_a_decoder_leaves_no_core_and_writes_little():
    pixels()
    limits = Path(f"/proc/{process().pid}/limits").read_text()
    assert re.search(r"Max core file size +0 ", limits)
    assert re.search(r"Max file size +1048576 ", limits)
