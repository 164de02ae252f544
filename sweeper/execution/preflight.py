"""Whether a sweep could run, found out without starting anything; the sweep itself asks the same again of its Ray."""

from collections.abc import Sequence

from sweeper.execution import own_ray
from sweeper.execution.fits import (
    Machine,
    Node,
    check_room,
    check_sharing,
    host_memory,
    judge_gpu,
    largest,
    own_machine,
    resources_on,
    share_of_batch,
)
from sweeper.execution.room import check_ray
from sweeper.execution.seeds_at_once import most_alike
from sweeper.plan import TrialSpec


def check_machine(machine: Machine, trials: Sequence[TrialSpec], *, going_on: bool = False) -> None:
    """Refuse trials that would not fit on this machine, or on the cluster that is named.

    Of a cluster that starts nodes on demand nothing is known before they come.

    Args:
        machine: what trials hold.
        trials: those that shall run.
        going_on: they will be trained next, so a Ray of this machine's own may begin.

    Raises:
        PlanError: one line, for the user.
    """
    address = check_ray(machine.address)
    if address is None:
        if going_on:
            own_ray.begin(machine.address)
        _check(machine, trials, [own_machine()], own=True)
        return
    from sweeper.execution.cluster import cluster, grows, nodes  # Ray takes seconds to import

    with cluster(address, 0):
        there, more = nodes(), grows()
    if not more:
        _check(machine, trials, there, own=False)


def _check(machine: Machine, trials: Sequence[TrialSpec], nodes: Sequence[Node], *, own: bool) -> None:
    resources = resources_on(nodes, machine.cpus, machine.gpus)
    if machine.workers > 1:
        check_sharing(machine.workers, resources.gpus, min(trial.training.batch_size for trial in trials))
    most = largest([share_of_batch(trial, machine.workers) for trial in trials])
    memory, seeds = 0, 1
    if machine.seeds != "auto":  # which takes what fits
        seeds = most_alike(trials, machine.seeds)
    if not resources.gpus:
        memory = max(host_memory(trial, nodes, seeds) for trial in most)
    elif own:
        from sweeper.execution.memory import measured_here

        for trial in most:
            if trial.code:  # a user's network is measured when Ray runs: no other process finds its code before
                continue
            judge_gpu(trial, resources.gpus, *measured_here(trial), seeds)
    if machine.workers > 1:
        held = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": memory}
        check_room(nodes, {name: amount for name, amount in held.items() if amount}, machine.workers)
