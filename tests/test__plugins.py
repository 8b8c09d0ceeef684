import pytest

from perceiver_pytorch._plugins import plugins
from plugin_helpers import install


def test_what_packages_register_comes_in_the_order_of_its_names(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins("perceiver.test") == []
    install(tmp_path, "first", "perceiver.test", "b = math:pi")
    install(tmp_path, "second", "perceiver.test", "c = math:tau\na = math:e")
    assert [f"{value:.2f}" for value in plugins("perceiver.test")] == ["2.72", "3.14", "6.28"]


@pytest.mark.parametrize("place", ["nowhere_to_be_found:x", "math:no_such_name"])
def test_what_cannot_be_loaded_is_named_with_its_package(tmp_path, monkeypatch, place):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "broken", "perceiver.test", f"thing = {place}")
    with pytest.raises(ImportError, match=r"broken registers 'thing' \(.*\) in perceiver.test, which cannot be loaded"):
        plugins("perceiver.test")
