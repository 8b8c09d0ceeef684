"""Cells whose files lie elsewhere, read as every kind reads its files: by `media_source`."""

from pathlib import Path

import pytest

from perceiver_pytorch.data import DataError
from perceiver_pytorch.data.cells import Where, media_source, table_source
from perceiver_pytorch.data.remote.addresses import Address
from perceiver_pytorch.data.remote.errors import RemoteError

ROOT = Address.of("s3://bucket/cells")


@pytest.fixture
def picture(s3):
    s3.put("cells/pics/1.png", b"inside")
    s3.put("elsewhere/1.png", b"outside")
    return s3


def where(root, **options):
    return Where("table", root, 3, **options)


@pytest.mark.parametrize(
    "cell",
    ["pics/1.png", "pics\\1.png", "./pics/../pics/1.png", "s3://bucket/cells/pics/1.png", {"path": "pics/1.png"}],
)
def test_a_cell_of_a_table_elsewhere_leads_to_a_file_beside_it(picture, cell):
    assert media_source(cell, "image", where(ROOT)) == b"inside"


@pytest.mark.parametrize("cell", ["../elsewhere/1.png", "s3://bucket/elsewhere/1.png", "a/../../elsewhere/1.png"])
def test_a_cell_leads_outside_only_where_that_is_allowed(picture, cell):
    with pytest.raises(DataError, match=r"row 3, column 'image': .*leads out of the table's folder s3://bucket/cells"):
        media_source(cell, "image", where(ROOT))
    assert media_source(cell, "image", where(ROOT, allow_outside=True)) == b"outside"


def test_an_address_in_a_table_here_leads_outside(picture, tmp_path):
    cell = "s3://bucket/cells/pics/1.png"
    with pytest.raises(DataError, match="--allow-outside"):
        media_source(cell, "image", where(tmp_path))
    assert media_source(cell, "image", where(tmp_path, allow_outside=True)) == b"inside"


@pytest.mark.parametrize(
    "cell", ["/etc/hostname", "C:\\file.png", "~/x.png", "\\\\host\\x.png", "file:///etc/hostname"]
)
@pytest.mark.parametrize("allow_outside", [False, True])
def test_a_table_elsewhere_opens_no_file_of_this_machine(cell, allow_outside):
    with pytest.raises(DataError, match="machine"):
        media_source(cell, "image", where(ROOT, allow_outside=allow_outside, hosts=("*",)))


def test_the_top_of_a_bucket_stops_no_way_out_unnoticed(picture):
    with pytest.raises(DataError, match="leads out"):
        media_source("../cells/pics/1.png", "image", where(Address.of("s3://bucket")))


@pytest.mark.parametrize("root", [ROOT, Path("/here")])
def test_the_web_needs_a_host_that_is_allowed_whatever_else_is(root):
    with pytest.raises(DataError, match=r"--allow-web example\.com"):
        media_source("https://example.com/x.png", "image", where(root, allow_outside=True, hosts=("other.org",)))


def test_an_upload_leads_nowhere():
    with pytest.raises(DataError, match="must be the file itself"):
        media_source("s3://bucket/cells/pics/1.png", "image", where(ROOT, uploads_only=True, allow_outside=True))


def test_a_file_that_is_not_there_is_a_bad_cell(picture):
    with pytest.raises(DataError, match=r"column 'image': there is no such file.*'pics/9\.png'"):
        media_source("pics/9.png", "image", where(ROOT))


def test_a_file_that_is_larger_than_a_cell_may_be_is_a_bad_cell(picture):
    picture.put("cells/large.bin", bytes(2 << 20))
    with pytest.raises(DataError, match="the file has 2 MB, and a cell may take 1 MB; --cell-mb 2 allows it"):
        media_source("large.bin", "image", where(ROOT, cell_bytes=1 << 20))


def test_a_server_that_is_gone_is_no_fault_of_the_cell(picture, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="cannot be reached"):
        media_source("pics/8.png", "image", where(ROOT))


def test_a_table_of_series_lies_beside_the_table(picture):
    picture.put("cells/long.csv", b"key,value\na,1\n")
    path = table_source("long.csv", "series", where(ROOT))
    assert path is not None
    assert path.suffix == ".csv"
    assert path.read_bytes() == b"key,value\na,1\n"
