import pytest

from perceiver_pytorch._plugins import plugins


def install(folder, name, points):
    facts = folder / f"{name}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[perceiver.test]\n{points}\n")


def test_what_packages_register_comes_in_the_order_of_its_names(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins("perceiver.test") == []
    install(tmp_path, "first", "b = math:pi")
    install(tmp_path, "second", "c = math:tau\na = math:e")
    assert [f"{value:.2f}" for value in plugins("perceiver.test")] == ["2.72", "3.14", "6.28"]


@pytest.mark.parametrize("place", ["nowhere_to_be_found:x", "math:no_such_name"])
def test_what_cannot_be_loaded_is_named_with_its_package(tmp_path, monkeypatch, place):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "broken", f"thing = {place}")
    with pytest.raises(ImportError, match=r"broken registers 'thing' \(.*\) in perceiver.test, which cannot be loaded"):
        plugins("perceiver.test")
