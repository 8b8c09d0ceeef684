from cli_helpers import SETTINGS, perceiver


def test_config_prints_what_fit_reads(folder):
    text = perceiver("config", "--preset=small", cwd=folder).stdout
    (folder / "mine.yaml").write_text(text.replace("target: ''", "target: label").replace("epochs: null", "epochs: 1"))
    perceiver("fit", "mixed.csv", "--config=mine.yaml", "--run=configured", *SETTINGS, cwd=folder)
    written = (folder / "configured/config.yaml").read_text()
    assert "epochs: 1" in written
    assert "table: mixed.csv" in written
