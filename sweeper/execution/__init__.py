"""The only code that knows Ray: the cluster, the sweep as a Tune run, the worker, the live view."""
