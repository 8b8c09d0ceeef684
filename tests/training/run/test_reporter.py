from contextlib import contextmanager

from perceiver_pytorch.training.run.reporter import Reporter


def test_a_step_shows_progress_where_it_can():
    shown = []

    @contextmanager
    def progress(title):
        yield lambda done, total: shown.append((title, done, total))

    with Reporter(progress=progress).step("measuring") as advance:
        advance(1, 4)
    assert shown == [("measuring", 1, 4)]


def test_elsewhere_it_shows_none():
    with Reporter().step("measuring") as advance:
        assert advance is None


def test_lines_and_warnings_go_where_they_are_wanted(capsys):
    Reporter().say("a line")
    Reporter().warn("a warning")
    assert capsys.readouterr().out == "a line\na warning\n"


def test_warnings_can_be_kept_as_well_as_told():
    told, kept = [], []
    reporter = Reporter(say=told.append, warn=told.append).keeping(kept)
    reporter.say("a line")
    reporter.warn("a warning")
    assert (told, kept) == (["a line", "a warning"], ["a warning"])
    assert not reporter.bar
