"""Files told by their first bytes or their suffix."""

import pytest

from perceiver_pytorch.data.sniff import sniff_bytes, sniff_path


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image"),
        (b"GIF89a", "image"),
        (b"BM", "image"),
        (b"RIFF0000WEBP", "image"),
        (b"II*\0", "image"),
        (b"RIFF0000WAVE", "audio"),
        (b"fLaC", "audio"),
        (b"OggS", "audio"),
        (b"ID3", "audio"),
        (b"\xff\xfb\x90", "audio"),
        (b"\xff\xf1\x50", "audio"),  # AAC
        (b"RIFF0000AVI ", "video"),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_first_bytes(start, kind):
    assert sniff_bytes(start) == kind


def test_suffixes():
    assert [sniff_path(p) for p in ("a/b.PNG", "x.flac", "x.mp4", "end.", "png", "a\nb.png")] == [
        "image",
        "audio",
        "video",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("https://example.org/pics/0.jpg?w=200&h=100", "image"),
        ("a/b.WAV#t=10", "audio"),
        ("https://example.org/get?file=b.mp4", "video"),
        ("what is image.png?", None),
        ("a.php?w=200", None),
        ("?", None),
    ],
)
def test_a_query_is_no_suffix(path, kind):
    assert sniff_path(path) == kind


def test_names_of_files_in_a_folder_have_no_query():
    assert sniff_path("a.jpg#1", query=False) is None


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"RIFF0000XXXX", None),
        (b"FORM0000AIFF", "audio"),
        (b"FORM0000AIFC", "audio"),
        (b"FORM0000ILBM", None),
        (b"0000ftypavif", "image"),
        (b"0000ftypM4A ", "audio"),
        (b"0000ftypisom", "video"),
        (b"OggS" + b"\0" * 54 + b"theora", "video"),
        (b"OggS" + b"\0" * 55 + b"theora", "audio"),
        (b"\x93NUMPY", "array"),
        (b"\x1a\x45\xdf\xa3", "video"),
        *((b"0000" + box, "video") for box in (b"moov", b"mdat", b"wide")),
        (b"000moov", None),
        (b"\xff\xf3", "audio"),  # MP3 of version 2
        (b"\xff\xe3", "audio"),  # and 2.5
        (b"\xff\xeb", None),  # a version that there is not
        (b"\xff\xfd", None),  # layer II
        (b"\xff\xf9", "audio"),  # AAC of MPEG-2
        (b"\xff\x1b", None),
        (b"\xfe\xfb", None),
    ],
)
def test_first_bytes_of_rarer_files(start, kind):
    assert sniff_bytes(start) == kind


def test_texts_that_are_no_paths():
    assert sniff_path("x" * 1020 + ".png") == "image"
    assert sniff_path("x" * 1021 + ".png") is None
    assert [sniff_path(path) for path in ("a.npy", "a.pdf", "a b.png", "a b.png?w=1")] == [
        "array",
        "other",
        "image",
        None,
    ]
