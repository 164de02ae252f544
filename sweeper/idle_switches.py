"""Which switches of a training change nothing, as another one turns off what they are about."""

from collections.abc import Iterable

from sweeper.switches import flat_fields
from sweeper.training_config import TrainingConfig

_STEMS = ("gain", "time_shift", "time_mask", "segment_gain", "cyclic_shift", "filter", "room", "mu_law")


def idle_switches(base: TrainingConfig, arm: TrainingConfig, switches: Iterable[str]) -> dict[str, str]:
    """Of an arm's training switches, those without any effect, and why.

    Args:
        base: the reference's training.
        arm: the arm's.
        switches: dotted names of what the arm switches.
    """
    before, after = flat_fields(base), flat_fields(arm)
    idle_before, idle_after = _idle(base), _idle(arm)
    found = {}
    for switch in switches:
        changed = [
            name
            for name in before.keys() | after.keys()
            if (name == switch or name.startswith(f"{switch}.")) and before.get(name) != after.get(name)
        ]
        if changed and all(name in idle_before and name in idle_after for name in changed):
            found[switch] = idle_after[changed[0]]
    return found


def _idle(training: TrainingConfig) -> dict[str, str]:
    """Fields without an effect, and why."""
    idle = {"pct_start": "the schedule is constant"} if training.schedule == "constant" else {}
    augmentation = training.augmentation
    for part in ("noise", "resampling", "mixing"):
        names = [f"augmentation.{part}.{name}" for name in flat_fields(getattr(augmentation, part))]
        if not getattr(augmentation, part).probability:
            why = f"augmentation.{part}.probability is 0"
            idle |= {name: why for name in names if not name.endswith(".probability")}
        if part == "mixing" and augmentation.mixing.warmup_epochs >= training.epochs:
            why = f"mixing begins after {augmentation.mixing.warmup_epochs:g} epochs, and {training.epochs} are trained"
            idle |= dict.fromkeys(names, why)
    for stem in _STEMS:
        if not getattr(augmentation.signal, f"{stem}_probability"):
            own = [f"augmentation.signal.{n}" for n in flat_fields(augmentation.signal) if n.startswith(f"{stem}_")]
            why = f"augmentation.signal.{stem}_probability is 0"
            idle |= {name: why for name in own if not name.endswith("_probability")}
    return idle
