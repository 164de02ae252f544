"""Signals in processes of their own: what is raised, what is noted, what ends the process at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

from sweeper import signals

TERM = "os.kill(os.getpid(), signal.SIGTERM)"


def run(code, **options):
    """Python with signals installed, and what came of it."""
    begin = "import os, signal, sys, time\nfrom sweeper import signals\nsignals.install()\n"
    return subprocess.run(
        [sys.executable, "-c", begin + code], capture_output=True, text=True, timeout=30, check=False, **options
    )


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_the_first_one_is_raised_and_cleaned_up_after(name, code):
    done = run(
        f"try:\n    os.kill(os.getpid(), signal.{name})\n    time.sleep(9)\n"
        "except KeyboardInterrupt as error:\n"
        "    print(error, signals.asked().name, signals.exit_code(signals.asked().number))"
    )
    assert done.stdout.split() == [name, name, str(code)], done.stderr


def test_an_echo_is_not_a_second_one():
    """`timeout` signals its child, and then the whole group with it."""
    done = run(f"try:\n    {TERM}\nexcept KeyboardInterrupt:\n    {TERM}\n    {TERM}\n    print(signals.asked().times)")
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_the_second_one_ends_at_once():
    done = run(f"try:\n    {TERM}\nfinally:\n    time.sleep(0.4)\n    {TERM}\n    print('not reached')")
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr == "stopped\n"


def test_a_sweep_notes_two_and_the_third_one_ends_it():
    done = run(
        "with signals.noted(lambda: os.write(1, b'drained ')):\n"
        f"    {TERM}\n    time.sleep(0.4)\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print(signals.asked().name, signals.asked().times, flush=True)\n"
        f"    time.sleep(0.4)\n    {TERM}\n    print('not reached')"
    )
    assert (done.returncode, done.stdout) == (143, "drained SIGTERM 2\n"), done.stderr


def test_what_was_ignored_stays_ignored():
    """`nohup` means it."""
    done = run(
        "os.kill(os.getpid(), signal.SIGHUP)\nprint(signals.asked())",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


def test_a_signal_waits_for_the_end_of_a_block_and_child_processes_never_hear_it():
    child = "import signal; print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    done = run(
        "import subprocess\ntry:\n    with signals.held_back(signal.SIGTERM):\n"
        f"        {TERM}\n        subprocess.run([sys.executable, '-c', {child!r}])\n"
        "except KeyboardInterrupt:\n    print('then')"
    )
    assert done.stdout == "True\nthen\n", done.stderr


def test_a_library_that_took_the_signal_gives_it_back():
    done = run(
        "with signals.kept():\n    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        f"try:\n    {TERM}\n    time.sleep(9)\nexcept KeyboardInterrupt:\n    print('ours')"
    )
    assert done.stdout == "ours\n", done.stderr


def test_a_process_that_is_stuck_ends_after_the_deadline():
    """In C, which never comes back to Python's handlers."""
    done = run(
        f"import hashlib, threading\nthreading.Timer(0.3, lambda: {TERM}).start()\n"
        "with signals.deadline(1):\n    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
    )
    assert (done.returncode, done.stderr) == (143, "not ended in 1 s; stopped\n")


def test_handlers_of_somebody_elses_process_are_left_as_they_were():
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    with signals.kept():
        signal.signal(signal.SIGTERM, lambda *_: None)
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before
    drained = []
    with signals.noted(lambda: drained.append(True)):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert signals.asked().number == signal.SIGINT
    assert drained == [True]
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before
    with signals.noted(list):
        assert signals.asked() is None, "what was asked before was of another sweep"
