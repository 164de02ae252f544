"""The only code that knows Ray: the cluster, the sweep as a Tune run, the worker, the live view."""

import os
import sys

# Ray reads these when it is imported, which only modules in this folder do; what the user set is kept.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
# Not a traceback of Ray's own code for each worker that died: why it did is told, and recorded, once (`deaths`).
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
# Seconds between copies of Tune's own state, which nothing reads: a large sweep's takes seconds to write.
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", str(10**9))
# Seconds that the end of a trial may take (a stopped one sends its state to an object store) before the next one in its
# process is given up, without a word to anybody.
os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "600")
# An own instance listens on 127.0.0.1 only, as it does elsewhere than on Linux. For joining a cluster nothing changes.
# Where Ray was imported before, it will look for the instance where Ray's usually listen: `own_ray` sees to that.
if "ray" not in sys.modules:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
