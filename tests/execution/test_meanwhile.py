"""What a thread does while trials run."""

import gc
import subprocess
import sys
import threading
import weakref

import pytest

from sweeper import signals
from sweeper.execution.meanwhile import Meanwhile


def report(meanwhile):
    meanwhile.on_trial_result(0, [], None, {})


def test_it_begins_with_the_first_trial_once_and_is_waited_for():
    calls, go_on = [], threading.Event()

    def call():
        go_on.wait(10)
        calls.append(threading.current_thread())

    meanwhile = Meanwhile(call)
    assert not calls
    report(meanwhile)
    report(meanwhile)
    assert not calls, "it runs beside"
    threading.Timer(0.2, go_on.set).start()
    meanwhile.end()
    assert len(calls) == 1
    assert calls[0] is not threading.current_thread()


def test_it_is_made_at_the_end_where_no_trial_began():
    calls = []
    Meanwhile(lambda: calls.append(1)).end()
    assert calls == [1]
    Meanwhile(None).end()


def test_what_is_over_is_let_go():
    class Clips:
        def __call__(self):
            pass

    clips = Clips()
    held, meanwhile = weakref.ref(clips), Meanwhile(clips)
    report(meanwhile)
    meanwhile.end()
    del clips, meanwhile
    gc.collect()
    assert held() is None


def test_its_error_is_raised_at_the_end():
    def call():
        raise ValueError("a full disk")

    meanwhile = Meanwhile(call)
    report(meanwhile)
    with pytest.raises(ValueError, match="a full disk"):
        meanwhile.end()


def test_who_was_asked_to_end_does_not_wait(monkeypatch):
    never = threading.Event()
    meanwhile = Meanwhile(never.wait)
    report(meanwhile)
    monkeypatch.setattr(signals, "asked", lambda: signals.Asked(15, 1, 0.0, 0.0))
    meanwhile.end()
    calls = []
    late = Meanwhile(lambda: calls.append(1))
    late.end()
    never.set()
    assert late._thread is None and not calls, "not begun any more"


def test_a_process_that_ends_takes_the_thread_along():
    """An interpreter that ends stops a thread where it is; within torch, that aborted the process."""
    code = """
import sys, threading, torch
from sweeper.execution.meanwhile import Meanwhile
begun = threading.Event()
def call():
    while True:
        torch.ones(300000).log()
        begun.set()
Meanwhile(call).on_trial_result(0, [], None, {})
begun.wait()
sys.exit(143)
"""
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stderr) == (143, "")
