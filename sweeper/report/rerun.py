"""The command that makes a study again, from its plan."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeper.results.looks import read_sequential
from sweeper.results.study_arms import study_arms
from sweeper.results.summary import MARGIN

RESULTS = "results"  # where studies lie, unless the user says otherwise


def rerun_command(
    plan: Mapping[str, Any],
    *,
    seeds: int | None = None,
    folds: int | None = None,
    margin: float = MARGIN,
    folder: str = "",
) -> str:
    """The command that runs the study's plan again, or adds what it lacks; '' where the plan doesn't say enough.

    Args:
        plan: the study's `plan.json`.
        seeds: paired repetitions instead of the plan's.
        folds: how many instead of the plan's; more than it has are all that the data set has.
        margin: largest difference that doesn't matter, as a fraction of 1; of a sequential study, its last look's.
        folder: where the study lies, or its URL: it may have been moved, and have another name than its plan says.
    """
    results, _, name = folder.rpartition("/")
    place = [] if results in ("", str(Path(RESULTS).resolve())) else ["--results", results]
    try:
        return _command(plan, seeds, folds, margin, ["--study", name or plan["study"], *place])
    except (KeyError, TypeError, AttributeError):  # an older version's, or a stranger's
        return ""


def _command(plan: Mapping[str, Any], seeds: int | None, folds: int | None, margin: float, place: Sequence[str]) -> str:
    names: dict[str, list[str]] = {}
    for trial in plan.get("trials", ()):
        names.setdefault(trial.get("kind", "ablation"), []).append(trial["arm"])
    searches = plan.get("searches", ())
    crossed = plan.get("variance")
    if "ablation" not in names and not searches and not crossed:
        return ""
    design = plan["design"]
    tuned = "fixed_study" in plan
    arms = list(
        dict.fromkeys(search["arm"] for search in searches) if searches else dict.fromkeys(names.get("ablation", ()))
    )
    chosen = sorted({row["fold"] for row in (searches or plan["trials"])})
    if folds is not None and folds > len(chosen):
        chosen = sorted({*chosen, *plan.get("all_folds", range(1, folds + 1))})
    name, epochs = design["recipe"], design["training"]["epochs"]
    words = ["python", "-m", "sweeper", "run", "tuned-ablations" if tuned else "search" if searches else "ablations"]
    study = study_arms(plan)
    words += [study.argument] if study.argument else []
    benchmark, dataset = "benchmark" in plan, design["data"]["dataset"]
    words[4] = "benchmark" if benchmark else "variance" if crossed else words[4]
    words += ["--dataset", dataset]
    words += [] if plan.get("synthetic") else ["--data", f"{dataset}=DIR" if benchmark else "DIR"]
    words += ["--split", design["data"]["split"], "--folds", ",".join(map(str, chosen))]
    words += ["--bad-clips", "skip"] if plan.get("skipped") else []
    if not searches or tuned:
        run = [trial["replicate"] for trial in plan["trials"] if trial.get("kind", "ablation") != "search"]
        if crossed:
            words += ["--seeds", str(seeds or crossed["seeds"])]
        elif (sequential := read_sequential(plan)) is not None:
            most = seeds or sequential.end // len(sequential.folds)
            words += ["--until", "decided", "--max-seeds", str(most)]
            margin = [margin, *(look["margin"] for look in plan.get("looks", ()))][-1]
        else:
            words += ["--seeds", str(seeds or max(run) + 1)] if run else []
    words += ["--recipe", name]
    words += ["--epochs", str(epochs)] if study.recipes.get(name) != epochs else []
    if benchmark:  # its name follows from the rest
        return shlex.join([*words, *place[2:], "--networks", *arms, *dict.fromkeys(names.get("peer", ()))])
    words += [] if margin == MARGIN else ["--margin", f"{100 * margin:g}"]
    if commits := plan.get("commits"):
        words += ["--code", *(commit["name"] if commit["name"] in commit["sha"] else "." for commit in commits["of"])]
        arms = commits["arms"]
    words += ["--arm", *arms] if commits or (not crossed and len(arms) < len(study.switches)) else []
    words += ["--peers", *dict.fromkeys(names["peer"])] if "peer" in names else []
    words += _search_words(plan["search"], tuned) if searches else []
    return shlex.join([*words, *place])


def _search_words(search: Mapping[str, Any], tuned: bool) -> list[str]:
    words = [word for name in ("trials", "top", "replicates") for word in (f"--{name}", str(search[name]))]
    words += [] if search["halving"] else ["--no-halving"]
    if tuned:
        return words
    goal = search["goal"]
    return [*words, "--objective", goal["objective"], *(["--cost", goal["cost"]] if goal["cost"] else [])]
