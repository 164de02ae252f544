"""What speaks against averaging a study's rows: holes in the design, failures, mixtures, leaks."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results.looks import needed_trials
from sweeper.results.score_grid import doubled, trial_frame

SHOWN = 6  # trials listed by name
_CODE = ("git_commit", "sweeper_version", "torch_version")
_DESIGN = ("dataset", "split", "recipe", "sample_rate", "clip_seconds")


@dataclass(frozen=True)
class Problem:
    """One reason for doubt: a word for the kind, and a line that says what and how much."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def find_problems(trials: pa.Table, plan: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Everything that must be shown with a table made of these rows.

    Args:
        trials: `schema.TRIAL`.
        plan: the study's `plan.json`; empty if it is missing.
    """
    return (
        *_holes(trials, plan),
        *_extensions(plan),
        *_failures(trials),
        *_doubles(trials, plan),
        *_mixtures(trials, plan),
        *(Problem("leaking split", leak) for leak in sorted(_distinct(trials, "leak")) if leak),
    )


def _holes(trials: pa.Table, plan: Mapping[str, Any]) -> Iterable[Problem]:
    if not plan:
        yield Problem("no plan", "plan.json is missing, so holes can't be told; run the study's command again")
        return
    # A search's trials can't be planned: each depends on those before it. But which arms are searched is.
    searches = {(search["arm"], search["fold"]) for search in plan.get("searches", ())}
    found = trials.filter(pc.equal(trials["kind"], "search")).select(["arm", "fold", "replicate"]).to_pylist()
    if foreign := [trial for trial in found if (trial["arm"], trial["fold"]) not in searches]:
        yield Problem("unplanned", f"{_trials(len(foreign))} of searches not in plan.json: {_listed(foreign)}")
    present = set(trials.filter(pc.not_equal(trials["kind"], "search"))["trial_id"].to_pylist())
    planned = {trial["trial_id"]: trial for trial in plan["trials"]}
    needed = {trial["trial_id"] for trial in needed_trials(plan)}
    gone = needed - present
    if missing := [trial for name, trial in planned.items() if name in gone]:
        yield Problem("missing", f"{len(missing)} of {_trials(len(needed))}: {_listed(missing)}")
    if unplanned := present - planned.keys():
        yield Problem("unplanned", f"{_trials(len(unplanned))} not in plan.json: {_short(sorted(unplanned))}")


def _extensions(plan: Mapping[str, Any]) -> Iterable[Problem]:
    """Blocks that were added by hand after results could be seen: intervals and stars allow for one look."""
    if grown := plan.get("extended", ()):
        sizes = " → ".join(str(size) for size in (grown[0]["blocks"], *(step["to"] for step in grown)))
        yield Problem(
            "looked at before",
            f"the study was extended when it could be seen ({sizes} blocks), so this is look {len(grown) + 1}, and "
            "intervals and stars, which allow for one, err more often than they say; --until decided plans its looks",
        )


def _failures(trials: pa.Table) -> Iterable[Problem]:
    failed = trials.filter(pc.equal(trials["status"], "failed"))
    if failed.num_rows:
        shown = failed.slice(0, SHOWN).select(["arm", "fold", "replicate", "error"]).to_pylist()
        reasons = "; ".join(f"{_name(row)}: {row['error']}" for row in shown)
        rest = failed.num_rows - len(shown)
        yield Problem("failed", f"{_trials(failed.num_rows)}: {reasons}" + (f"; and {rest} more" if rest else ""))


def _doubles(trials: pa.Table, plan: Mapping[str, Any]) -> Iterable[Problem]:
    """Two trials for one place in the grid: whichever is taken, the other is left out."""
    if twice := doubled(trial_frame(trials), plan):
        arms = ", ".join(dict.fromkeys(trial["arm"] for trial in twice))
        yield Problem(
            "double",
            f"more than one trial of an arm in a block: {_listed(twice)}; {arms}: defined anew under the same name, so "
            "what counts can't be told, and neither it nor what is compared with it is called anything; give the new "
            "definition a name of its own, or use --study NAME for a study of its own",
        )


def _mixtures(trials: pa.Table, plan: Mapping[str, Any]) -> Iterable[Problem]:
    for column in _CODE:
        if len(_distinct(trials, column)) > 1:
            yield Problem("mixed code", f"{column} is {_shares(trials, column)}")
    for column in _DESIGN:
        if len(_distinct(trials, column)) > 1:
            yield Problem("mixed design", f"{column} is {_shares(trials, column)}")
    if dirty := sorted(commit for commit in _distinct(trials, "git_commit") if commit.endswith("+dirty")):
        yield Problem("uncommitted code", f"{', '.join(dirty)}: nobody else can get this code")
    digests = _distinct(trials, "data_digest")
    if len(digests) > 1:
        yield Problem("mixed data", f"data_digest is {_shares(trials, 'data_digest')}")
    elif plan.get("data_digest") and digests != {plan["data_digest"]}:
        found = _shares(trials, "data_digest")
        yield Problem("mixed data", f"data_digest is {found}, {plan['data_digest']} in the plan")
    if len(_distinct(trials, "device")) > 1:
        yield Problem("differing devices", f"device is {_shares(trials, 'device')}")


def _distinct(trials: pa.Table, column: str) -> set[str]:
    return set(pc.unique(trials[column]).to_pylist()) - {None}


def _shares(trials: pa.Table, column: str) -> str:
    counts = Counter(trials[column].to_pylist()).most_common()
    return ", ".join(f"{value or 'unknown'} in {_trials(number)}" for value, number in counts)


def _trials(number: int) -> str:
    return "1 trial" if number == 1 else f"{number} trials"


def _listed(trials: list[dict[str, Any]]) -> str:
    return _short([_name(trial) for trial in trials])


def _short(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f", and {rest} more" if rest > 0 else "")


def _name(trial: Mapping[str, Any]) -> str:
    return f"{trial['arm']} fold {trial['fold']} seed {trial['replicate']}"
