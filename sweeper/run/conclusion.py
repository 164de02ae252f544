"""What a dry run says of cost to conclusion: blocks, hours and money for intervals of some widths, in lines."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeper.audio.datasets import Dataset
from sweeper.plan import Plan
from sweeper.results.budget import Budget
from sweeper.results.store import Study
from sweeper.run.describe import planned_design
from sweeper.run.options import AblationOptions
from sweeper.run.words import count

if TYPE_CHECKING:
    from sweeper.results.conclusion import Widths

_TARGETS = (2.0, 1.0, 0.5)  # half-widths that are told of, in margins


def describe_conclusion(
    plan: Plan,
    dataset: Dataset,
    study: Study,
    options: AblationOptions,
    budget: Budget | None,
) -> list[str]:
    """Blocks, device-hours and money for intervals of some widths, estimated from earlier trials of the design.

    Amounts are for the whole study: the plan's arms and those it holds already. As the spread is only estimated, each
    amount comes with those for the two ends of the spread's interval.

    Args:
        plan, dataset, study: as for `describe_reach`.
        options: read for the results, the price, and the margin, of which the widths are multiples.
        budget: adds a line on what it buys; None: there is none.
    """
    from sweeper.results.conclusion import Widths, block_seconds, factorial_levels  # SciPy is slow
    from sweeper.results.reach import earlier_trials
    from sweeper.results.study_arms import study_arms

    design, arms = planned_design(plan, dataset, study)
    if design.arms < 2 or plan.definition["reference"] not in arms:
        return []
    earlier = earlier_trials(study, options.results, plan.design)
    if earlier is None:
        bought = "" if budget is None else f", nor what the budget of {budget.words} buys,"
        return [
            f"cost to conclusion: not known{bought} before a pilot of two blocks (--seeds 2), here or in another study"
        ]
    price = options.price_per_hour
    levels = factorial_levels(study_arms(plan.describe()).switches, arms)
    widths = Widths(design, earlier.spread, levels)
    hours = block_seconds(earlier.seconds, arms) / 3600
    unit = "core-hours" if earlier.device == "cpu" else "GPU-hours"
    others = count(design.arms - 1, "arm")

    def cost(blocks: float, least: float = math.nan, most: float = math.nan) -> str:
        ends = (least, most) if math.isfinite(least) else None
        amounts = [(1.0, ",.0f", "block" if blocks == 1 else "blocks"), (hours, ",.3g", unit)]
        amounts += [] if price is None else [(hours * price, ",.3g", f"at {price:g}")]
        return ", ".join(_amount(blocks, ends, *amount) for amount in amounts)

    def effects(folds: int, seeds: int) -> str:
        return "" if levels is None else f"; factorial effects ±{_points(widths.of(folds, seeds)[1])}"

    planned, blocks = widths.of(design.folds, design.seeds)[0], design.folds * design.seeds
    low, high = (_points(planned * scale) for scale in widths.scales())
    lines = [
        f"cost to conclusion, by simulation with the spread and the cost of the trials of {earlier.study} "
        f"({earlier.device}; a block takes {hours:,.3g} {unit}); in brackets if their spread is an end of its 95 % "
        "interval:",
        f"  this plan: ±{_points(planned)} points [{low} to {high}] for {others}: {cost(blocks)}"
        f"{effects(design.folds, design.seeds)}",
    ]
    if budget is not None:
        seeds = int(budget.device_hours / hours) // design.folds
        told = "not one seed" if design.folds == 1 else "not one seed on each fold"
        if seeds:
            width = _points(widths.of(design.folds, seeds)[0])
            told = f"±{width} points, {cost(seeds * design.folds)}{effects(design.folds, seeds)}"
        lines.append(f"  the budget of {budget.words}: {told}")
    for target in (options.margin / 100 * part for part in _TARGETS):
        needed = widths.needed(target)
        if needed.seeds is None:
            why = "overlapping training sets" if design.folds > 1 else "the spread"
            lines.append(f"  ±{_points(target)} points: out of reach of any number of seeds, by {why}")
            continue
        layout = f" ({needed.folds} folds × {count(needed.seeds, 'seed')})" if needed.folds > 1 else ""
        lines.append(
            f"  ±{_points(target)} points for {others}: "
            f"{cost(needed.blocks, needed.least, needed.most)}{layout}{effects(needed.folds, needed.seeds)}"
        )
    return [*lines, f"  next: {_next(widths, hours, unit)}"]


def _next(widths: "Widths", hours: float, unit: str) -> str:
    """Whether one more seed or one more fold narrows the intervals more, for what it takes."""
    design = widths.design
    folds, seeds = design.folds, design.seeds
    now, seed = widths.of(folds, seeds)[0], widths.of(folds, seeds + 1)[0]
    told = f"one more seed: ±{_points(seed)} points for {folds * hours:,.3g} {unit}"
    if widths.spread.seed is None and folds > 1:
        told = "what one more seed brings, one seed per fold does not show"
    if folds >= design.folds_in_all:
        return told
    fold = widths.of(folds + 1, seeds)[0]
    told += f"; one more fold: ±{_points(fold)} points for {seeds * hours:,.3g} {unit}"
    if folds == 1:
        return f"{told}, and then on other data of this kind"
    if not math.isfinite(now):
        return told
    gains: Sequence[float] = ((now - seed) / folds, (now - fold) / seeds)
    if max(gains) <= 0:
        return told
    return f"{told}, so {'seeds' if gains[0] > gains[1] else 'folds'} buy more"


def _amount(blocks: float, ends: tuple[float, float] | None, each: float, form: str, unit: str) -> str:
    """So much of something for so many blocks, and for as many as it may be."""
    told = f"{blocks * each:{form}} {unit}"
    if ends is None:
        return told
    most = "∞" if math.isinf(ends[1]) else f"{ends[1] * each:{form}}"
    return f"{told} [{ends[0] * each:{form}} to {most}]"


def _points(width: float) -> str:
    return "∞" if math.isinf(width) else f"{100 * width:.2g}" if width < 0.1 else f"{100 * width:.0f}"
