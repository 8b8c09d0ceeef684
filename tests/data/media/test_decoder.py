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

from data_helpers import png, table_of
from perceiver_pytorch._processes import DecodingMemoryError
from perceiver_pytorch.data import ImageSpec, InputSpec, TableDataset, Where
from perceiver_pytorch.data.media import decoder, decoding, messages
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
    return decoder._DECODERS[os.getpid()]._process


@pytest.fixture
def broken(monkeypatch):
    """A way to have pictures decoded by a function of one's own, given as source text."""

    def replace(body):
        real = decoder._command()
        code = real[2].replace("import main; main()", "import _TASKS, main; import os, sys, time, signal\n")
        code = code.replace("; from", "\nfrom") + f"def broken(source, *_, **__):\n    {body}\n"
        code += "_TASKS['image'] = broken\nmain()"
        monkeypatch.setattr(decoder, "_command", lambda: [*real[:2], code])
        decoder.close()

    yield replace
    decoder.close()


def test_one_process_decodes_file_after_file_and_is_replaced_when_it_is_gone():
    expected = np.arange(192).reshape(8, 8, 3)
    assert (pixels() == expected).all()
    first = process()
    assert (pixels() == expected).all()
    assert process() is first
    os.kill(first.pid, signal.SIGKILL)
    assert (pixels() == expected).all()
    assert process().pid != first.pid


def test_a_file_that_ends_the_decoder_is_a_bad_row_and_others_are_read(broken, tmp_path):
    real = "from perceiver_pytorch.data.media.decoder_process import _image; "
    broken(
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


def test_a_decoder_that_is_killed_twice_stops_the_run(broken, tmp_path):
    broken("os.kill(os.getpid(), signal.SIGKILL)")
    table = table_of(tmp_path, x=[PICTURE, PICTURE], y=["a", "b"])
    with pytest.raises(DecodingMemoryError, match=r"memory to decode row 0.*signal 9.*--workers 1"):
        TableDataset(table, np.arange(2), pictures(table), on_error="skip", workers=0).prepare()


def test_memory_beyond_what_the_header_says_is_refused(broken):
    if sys.platform != "linux":
        pytest.skip("the system does not limit memory")
    broken("return bytearray(3 << 30)")
    with pytest.raises(ValueError, match=r"the image takes more memory to decode than the 512 MB .*--cell-mb 1024"):
        pixels()


def test_what_no_reader_foresaw_is_the_files_fault(broken):
    broken("return {}['width']")
    with pytest.raises(ValueError, match=r"the image cannot be decoded \(KeyError: 'width'\)"):
        pixels()


def test_work_without_end_is_ended(broken, monkeypatch):
    monkeypatch.setattr(decoding, "_SECONDS", 0.1)
    broken("while True: pass")
    with pytest.raises(ValueError, match="still at work after 0 s"):
        pixels()


def test_a_decoder_that_does_not_answer_in_words_of_ours_is_ended(broken):
    broken("os.write(1, b'x'); os.write(4, b'\\xff' * 12); os.write(5, b'\\xff' * 12); time.sleep(9)")
    with pytest.raises(ValueError, match="it ends the decoder: its answer cannot be read"):
        pixels()


def test_a_decoder_that_cannot_be_started_is_no_bad_row(monkeypatch):
    decoder.close()
    monkeypatch.setattr(decoder, "_command", lambda: ["/no/such/python"])
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
    code = "from perceiver_pytorch.data.media import decoder, decoding; import os, time"
    code += f"; decoding.image_facts({PICTURE!r})"
    code += "; print(decoder._DECODERS[os.getpid()]._process.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    until = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()


def test_how_a_process_ended_is_said():
    head = {"what": "the image", "seconds": 120.4}
    assert str(decoder.death(head, 3, " [x]")) == "the image cannot be decoded (it ends the decoder: status 3 [x])"
    assert str(decoder.death(head, 0, "")).endswith("(it ends the decoder: its answer cannot be read)")
    assert str(decoder.death(head, -signal.SIGPROF, "")).endswith("(the decoder was still at work after 120 s)")
    killed = decoder.death(head, -signal.SIGKILL, "")
    assert isinstance(killed, DecodingMemoryError)
    assert "its process was killed twice (signal 9), as the system does where memory runs out" in str(killed)
    assert "signal 6, " in str(decoder.death(head, -signal.SIGABRT, ""))


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
