"""`--budget 12h` and `--budget 30$`: what a study may cost, in device-hours."""

import math
import re
from collections.abc import Collection
from typing import Any

from sweeper.plan import PlanError
from sweeper.results.budget import BUDGET, Budget, Stop, read_stop
from sweeper.results.store import Study
from sweeper.run.options import AblationOptions
from sweeper.run.words import count

_FORM = re.compile(r"(?P<dollar>\$)?(?P<amount>\d+(\.\d*)?|\.\d+)(?P<unit>h|\$)?")


def read_budget(options: AblationOptions) -> Budget | None:
    """The budget that was asked for; None for none.

    Raises:
        PlanError: it is no amount, or money without a price.
    """
    price, text = options.price_per_hour, options.budget
    if price is not None and not (math.isfinite(price) and price > 0):
        raise PlanError(f"--price-per-hour {price:g}: a number above 0")
    if text is None:
        return None
    found = _FORM.fullmatch(text.strip())
    if found is None or (found["dollar"] is None) == (found["unit"] is None) or not float(found["amount"]) > 0:
        raise PlanError(f"--budget {text}: device-hours such as 12h, or money such as '30$' with --price-per-hour")
    amount = float(found["amount"])
    if found["unit"] == "h":
        return Budget(amount, f"{amount:g} device-hours")
    if price is None:
        raise PlanError(f"--budget {text}: what is an hour of a GPU, or of a core without GPUs? Add --price-per-hour X")
    return Budget(amount / price, f"{amount:g} $, {amount / price:.3g} device-hours at {price:g}")


def budget_facts(study: Study, budget: Budget | None, planned: Collection[str]) -> dict[str, Any]:
    """What the plan of a study that begins, or goes on, says of its budget; a former one is none any more.

    But the trials that it cut stay cut until they are asked for.

    Args:
        study: whose.
        budget: the one that was asked for.
        planned: ids of the trials that are asked for.
    """
    former = (study.read_plan() or {}).get(BUDGET) or {}
    if cut := cut_before(study, planned):
        return {BUDGET: former | {"left": sorted(cut)}}
    return {BUDGET: {} if budget is None else budget.record()} if budget is not None or former else {}


def cut_before(study: Study, planned: Collection[str]) -> frozenset[str]:
    """Trials that an earlier budget left out, and that are not asked for now."""
    stop = read_stop(study.read_plan() or {})
    return frozenset() if stop is None else stop.left.difference(planned)


def describe_stop(stop: Stop) -> str:
    """What a budget left out, and how to go on, in a sentence without its end."""
    left = f", and {count(len(stop.left), 'planned trial')} left out" if stop.left else ""
    return (
        f"stopped at the budget of {stop.words}: {stop.spent:,.3g} device-hours are spent{left}; to go on: the same "
        "command with a larger --budget, or none"
    )
