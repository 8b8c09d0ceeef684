"""``perceiver warm-up``."""

from perceiver_pytorch.cli import console


def warm_up() -> int:
    """Compile beforehand the loops that models of pictures, films and sounds run on this processor."""
    from perceiver_pytorch.ops.warm_up import warm_up as compile_loops

    reporter = console.reporter()
    reporter.say("compiling loops; where none is on the disk yet, that takes about a minute")
    with reporter.step("compiling loops") as progress:
        folder = compile_loops(progress)
    if folder is None:
        reporter.warn("no folder can be written to, so each process compiles its loops; set NUMBA_CACHE_DIR to one")
    else:
        reporter.say(f"compiled loops are in {folder}")
    return 0
