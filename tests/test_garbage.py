"""Who looks for garbage when: in processes of their own, as it is a matter of the whole process."""

import subprocess
import sys

from tests.execution.conftest import ROOT

LOOKS = """
import gc
FULL, looks = 2, []
gc.callbacks.append(lambda phase, info: looks.append(info["generation"]))
"""
WORKER = f"""
import ray.tune
{LOOKS}
import sweeper.execution.worker
found = looks.count(FULL), gc.isenabled()
from sweeper.garbage import leave_out_what_is_there
leave_out_what_is_there()
before = gc.get_freeze_count()
circle = []
circle.append(circle)
leave_out_what_is_there()
print(*found, before > 100_000, gc.get_freeze_count() == before)
"""
COMMAND = f"""
{LOOKS}
from sweeper import garbage
usual = gc.get_threshold()
garbage.look_seldom()
del looks[:]
import sweeper.execution.sweep
print(len(looks))
garbage.leave_out_what_is_there()
print(gc.get_threshold() == usual)
"""


def printed(code):
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_a_worker_imports_without_a_full_look_and_later_leaves_out_what_is_there():
    assert printed(WORKER) == ["0", "True", "True", "True"], "what comes later is looked at, however often it is called"


def test_a_sweeps_command_imports_without_a_look_and_one_that_stays_looks_as_usual():
    assert printed(COMMAND) == ["0", "True"]
