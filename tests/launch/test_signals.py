"""Signals that are kept back, and processes that get none."""

# ruff: noqa: PT012 - what happens inside the block is what is tested

from __future__ import annotations

import multiprocessing
import signal
import threading

import pytest

from cubeengine.launch.signals import children_without_interrupts, deferred_interrupts, handlers_untouched


def blocked() -> set[int]:
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def test_interrupts_wait_for_the_end_of_the_block():
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        reached.append("end")
    assert reached == ["end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_check_leaves_the_block_and_clean_up_in_it_is_not_disturbed():
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts() as check:
        check()
        try:
            signal.raise_signal(signal.SIGINT)
            check()
            reached.append("never")
        finally:
            signal.raise_signal(signal.SIGINT)
            reached.append("cleaned")
    assert reached == ["cleaned"]


def test_inner_block_hands_on_to_the_outer_one():
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts() as outer:
        with deferred_interrupts():
            signal.raise_signal(signal.SIGINT)
        reached.append("between")
        with deferred_interrupts():
            pass
        outer()
        reached.append("never")
    assert reached == ["between"]


def test_inner_check_leaves_the_outer_block_too():
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        with deferred_interrupts() as inner:
            signal.raise_signal(signal.SIGINT)
            inner()
        reached.append("never")
    assert reached == []


def test_inner_check_knows_of_what_came_before_the_inner_block():
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
        with deferred_interrupts() as inner:
            inner()
        reached.append("never")
    assert reached == []


def test_other_threads_are_left_alone():
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with deferred_interrupts() as check:
                check()
        except BaseException as err:
            errors.append(err)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_and_threads_started_inside_have_interrupts_blocked():
    found: list[set[int]] = []
    with children_without_interrupts(), multiprocessing.get_context("spawn").Pool(1) as pool:
        assert signal.SIGINT in pool.apply(blocked)
        thread = threading.Thread(target=lambda: found.append(blocked()))
        thread.start()
        thread.join()
    assert signal.SIGINT in found[0]
    assert signal.SIGINT not in blocked()


def test_handlers_that_an_import_sets_are_put_back():
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts() as check:
        with handlers_untouched():
            signal.signal(signal.SIGINT, lambda *_: reached.append("theirs"))
        signal.raise_signal(signal.SIGINT)
        check()
    assert reached == []
