import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from perceiver_pytorch.training.run.interrupts import ask_once, handling, interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_interrupts_within_the_block_alone(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), handling(interrupt):
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_handler_can_be_put_in_front_again():
    asked = []
    with handling(lambda number, frame: asked.append(number)) as install:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a library may do
        install()
        signal.raise_signal(signal.SIGTERM)
    assert asked == [signal.SIGTERM]


def test_asked_once_it_requests_and_twice_it_interrupts():
    asked = []
    with handling(ask_once(lambda: asked.append(True))):
        signal.raise_signal(signal.SIGINT)
        assert asked == [True]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert asked == [True]


def test_outside_of_the_main_thread_nothing_is_handled():
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with handling(interrupt) as install:
            install()
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(work).result() is before


def test_a_handler_that_python_does_not_know_becomes_the_systems_own(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGTERM else before)
            with handling(interrupt):
                pass
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
