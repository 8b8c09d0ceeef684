import signal

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
