import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.data.remote.addresses import Address, is_address

KEYS = st.lists(st.sampled_from(["a", "b c", "ü", ".", "..", "", "x.png"]), max_size=6).map("/".join)


@pytest.mark.parametrize(
    ("text", "protocol", "host", "key", "query"),
    [
        ("s3://bucket/a b/c#1?.csv", "s3", "bucket", "a b/c#1?.csv", ""),
        ("S3://bucket/a//b/./c.csv", "s3", "bucket", "a/b/c.csv", ""),
        ("gs://bucket", "gs", "bucket", "", ""),
        ("https://host:81/a/b.csv?x=1#end", "https", "host:81", "a/b.csv", "?x=1"),
    ],
)
def test_an_address_is_read(text, protocol, host, key, query):
    address = Address.of(text)
    assert (address.protocol, address.host, address.key, address.query) == (protocol, host, key, query)


@pytest.mark.parametrize("text", ["s3:///key", "path/to.csv", "s3://", "s3://bucket/a\nb", "C:/folder/file.csv"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"address|no bucket"):
        Address.of(text)


def test_a_drive_of_windows_is_no_address():
    assert not is_address("C://folder/file.csv")
    assert not is_address("data:image/png;base64,AAAA")


@given(KEYS, KEYS)
def test_no_relative_path_leaves_the_bucket(folder, relative):
    root = Address("s3", "bucket", "top") / folder
    found = root / relative
    assert found.host == "bucket"
    assert ".." not in found.key.split("/")
    assert Address.of(str(found)) == found


def test_a_path_is_taken_apart_as_pathlib_does():
    root = Address.of("s3://bucket/data")
    file = root / "train/pic.x.png"
    assert (file.name, file.stem, file.suffix, file.parent) == ("pic.x.png", "pic.x", ".png", root / "train")
    assert file.relative_to(root).parts == ("train", "pic.x.png")
    assert file.is_relative_to(root)
    assert not Address.of("s3://bucket/database/x").is_relative_to(root)
    assert not Address.of("gs://bucket/data/x").is_relative_to(root)


def test_names_of_the_web_are_quoted():
    assert str(Address.of("https://host/data") / "my pic#1.png") == "https://host/data/my%20pic%231.png"
