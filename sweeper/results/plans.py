"""`plan.json`: what it must hold to be used, and how two commands' plans of one study become one."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sweeper.results.names import TRIAL
from sweeper.results.shapes import Shape, Values, mismatch, strict_json
from sweeper.results.tables import StudyError, damaged

_REMEDY = "restore it, or delete it and run the study's command again"
_OBJECTIVES, _COSTS = ("accuracy", "accuracy_ema"), (None, "gflops", "seconds")
_SHAPE: Shape = {  # without trials, of which there may be 100,000
    "searches": list,
    "winners": [{"arm": str, "fold": int, "params": str}],
    "study": str,
    "fixed_study": str,
    "reference": str,
    "metric": str,
    "synthetic": bool,
    "data_digest": str | None,
    "classes": [str],
    "notes": [str],
    "skipped": list,
    "margin": float,
    "all_folds": [int],
    "software": Values(str | None),
    "sequential": {
        "arms": [str],
        "reference": str,
        "folds": [int],
        "seeds": int,
        "looks": [int],
        "levels": [float],
    },
    "imported": {"file": str, "sha256": str, "score": str, "columns": Values(str)},
    "commits": {
        "arms": [str],
        "same": Values(str),
        "of": [{"name": str, "asked": str, "sha": str, "subject": str, "code": str}],
    },
    "looks": [{"blocks": int, "end": int, "level": float, "margin": float, "arms": Values(dict)}],
    "extended": [{"blocks": int, "to": int, "finished": int}],
    "variance": {"seeds": int},
    "budget": {"device_hours": float, "words": str, "spent": float, "left": [str]},
    "design": {
        "recipe": str,
        "code": str,
        "package": str,
        "classes": int,
        "data": {"dataset": str, "split": str, "sample_rate": int, "seconds": float},
        "training": {"epochs": int},
        "sizes": dict,
        "switches": dict,
        "search": {"goal": dict, "space": Values(dict | str)},
    },
    "definition": {
        "name": str,
        "argument": str,
        "network": str,
        "code": str,
        "reference": str,
        "switches": dict,
        "order": [str],
        "arms": [{"name": str, "removes": str, "switches": dict, "published": float | None | dict}],
        "tables": [{"name": str, "title": str, "arms": [str], "against": str, "columns": [(str, str)]}],
        "protocol": dict | None,
        "recipes": Values(int),
    },
}
_PROTOCOL: Shape = {
    "source": str,
    "dataset": str,
    "split": str,
    "recipe": str | list,
    "epochs": int | None,
    "clips": int | dict,
    "test_share": float,
    "notes": [str],
    "citation": str,
    "claims": [(str, str, str)],
}
_OF = {"imported": ("file", "sha256", "score", "columns"), "commits": ("arms", "of")}  # what is needed of each
_NEEDED = ("dataset", "split", "recipe", "epochs", "clips", "test_share")  # of a protocol


def parse_plan(data: bytes, name: str) -> dict[str, Any]:
    """The plan that a file holds.

    Args:
        data: the file's.
        name: what messages call it.

    Raises:
        StudyError: it is no JSON, or lacks or garbles what every plan has.
    """
    try:
        plan = strict_json(data)
    except (ValueError, RecursionError) as error:
        raise damaged(name, str(error), _REMEDY) from error
    if reason := _objection(plan):
        raise damaged(name, reason, _REMEDY)
    return dict(plan)


def plan_bytes(plan: Mapping[str, Any]) -> bytes:
    """A plan as a file."""
    return (json.dumps(plan, indent=1, sort_keys=True) + "\n").encode()


def merge(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    study: str,
    row: Callable[[str], Mapping[str, Any] | None] = lambda _trial_id: None,
) -> dict[str, Any]:
    """One plan with the trials, searches and looks of both; where they differ, in these or in all else, the new counts.

    Looks are the exception, planned or taken: the old plan's stay, as they may not depend on what was seen since.

    Args:
        old, new: the plans.
        study: what messages call it.
        row: a trial's row, if it has one. A name that the old plan does not give its arm is taken if the row has it.

    Raises:
        StudyError: they are of another design or other data, which must not be mixed, or call an arm by two names.
    """
    _refuse_mixture(study, old, new)
    _refuse_renamed(study, old, new, row)
    _refuse_renamed_searches(study, old, new)
    merged = {**old, **new, "trials": _joined(old, new, "trials", lambda trial: trial["trial_id"])}
    if "searches" in merged:
        merged["searches"] = _joined(old, new, "searches", lambda search: (search["arm"], search["fold"]))
    if "winners" in merged:
        merged["winners"] = _joined(new, old, "winners", lambda winner: (winner["arm"], winner["fold"]))  # the old stay
    if "extended" in merged:  # of two studies that become one, the one that grew more often
        merged["extended"] = max((plan.get("extended", ()) for plan in (new, old)), key=len)
    merged |= {"sequential": old["sequential"]} if "sequential" in old else {}
    if "looks" in merged:
        merged["looks"] = _all_looks(old.get("looks", ()), new.get("looks", ()))
    return merged


def _all_looks(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """In order; of the new ones, arms that the old ones looked at after as many blocks are left out."""
    known, looks = {(look["blocks"], arm) for look in old for arm in look["arms"]}, list(old)
    for look in new:
        arms = {arm: said for arm, said in look["arms"].items() if (look["blocks"], arm) not in known}
        if arms or all(look["blocks"] != other["blocks"] for other in old):
            looks.append({**look, "arms": arms})
    return sorted(looks, key=lambda look: int(look["blocks"]))


def _joined(
    old: Mapping[str, Any], new: Mapping[str, Any], name: str, key: Callable[[Any], object]
) -> list[dict[str, Any]]:
    known = {key(item) for item in new.get(name, ())}
    return [item for item in old.get(name, ()) if key(item) not in known] + list(new.get(name, ()))


def _refuse_mixture(study: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    remedy = "use --study NAME to start another study"
    if told := old.get("imported") or new.get("imported"):
        if old.get("imported") and new.get("imported"):
            remedy = "put the tables of the runs together, and import that"
        raise StudyError(f"{study} was imported from {told['file']}: nothing is added to other tools' runs; {remedy}")
    if old.get("data_digest") != new.get("data_digest"):
        raise StudyError(
            f"{study} was made from other data (digest {str(old.get('data_digest'))[:12]}, "
            f"now {str(new.get('data_digest'))[:12]}): {remedy}"
        )
    if names := differences(*_comparable(old.get("design") or {}, new["design"])):
        raise StudyError(f"{study} holds trials of another design ({', '.join(names)}): {remedy}")


def _refuse_renamed(
    study: str, old: Mapping[str, Any], new: Mapping[str, Any], row: Callable[[str], Mapping[str, Any] | None]
) -> None:
    """A trial's row keeps the name under which it was trained: under another one the plan would miss it for ever."""
    known = {trial["trial_id"]: trial["arm"] for trial in old.get("trials", ())}
    for trial in new.get("trials", ()):
        trial_id, name = trial["trial_id"], trial["arm"]
        if known.get(trial_id, name) != name and (row(trial_id) or {}).get("arm") != name:
            raise StudyError(
                f"{study} has arm {known[trial_id]!r}, which is {name!r} now and has the same trials (such as "
                f"{trial_id}): give it its old name, or use --study NAME to start another study"
            )


def _refuse_renamed_searches(study: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """A search's trials are known by their arm's name: under another one it would begin anew."""
    before, now = ({arm["name"]: arm for arm in plan.get("definition", {}).get("arms", ())} for plan in (old, new))
    gone = {search["arm"] for search in old.get("searches", ())} & (before.keys() - now.keys())
    for name in now.keys() - before.keys() if gone else ():
        for former in gone:
            if all(now[name].get(part) == before[former].get(part) for part in ("network", "training", "switches")):
                raise StudyError(
                    f"{study} has searched arm {former!r}, which is {name!r} now: give it its old name, or use "
                    "--study NAME to start another study"
                )


def _comparable(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two designs, with those of the reference network's fields that both know: arms may be added that switch more."""
    networks = [design.get("sizes", {}) | design.get("switches", {}) for design in (old, new)]
    known = networks[0].keys() & networks[1].keys()
    rest = [{name: part for name, part in design.items() if name != "switches"} for design in (old, new)]
    if not rest[0].get("package"):  # as in studies of before it was kept
        rest[1].pop("package", None)
    one, other = (p | {"sizes": {n: own[n] for n in known}} for p, own in zip(rest, networks, strict=True))
    return one, other


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """What differs in two values of JSON, a field each: `mixing.mixup: 1.0 → 0.0`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [d for key in keys for d in differences(old.get(key), new.get(key), f"{path}.{key}".strip("."))]
    return [] if old == new else [f"{path}: {old} → {new}".removeprefix(": ")]


def _objection(plan: object) -> str:
    """What is wrong with a plan, in words; '' if nothing is."""
    if not isinstance(plan, dict):
        return f"it holds {str(plan)[:40]}, and should hold an object"
    if not isinstance(plan.get("trials"), list):
        return "it has no list of trials"
    if garbled := mismatch(plan, _SHAPE, ""):
        return garbled
    objections = (
        *(
            f"{part} has no {name}"
            for part, names in _OF.items()
            if plan.get(part)
            for name in names
            if name not in plan[part]
        ),
        _objection_to_protocol(plan.get("definition", {}).get("protocol")),
        *map(_objection_to_trial, plan["trials"]),
        _objection_to_searches(plan) if plan.get("searches") else "",
    )
    return next(filter(None, objections), "")


def _objection_to_protocol(protocol: Mapping[str, Any] | None) -> str:
    if not protocol:
        return ""
    if absent := [name for name in _NEEDED if name not in protocol]:
        return f"definition.protocol has no {', '.join(absent)}"
    if garbled := mismatch(protocol, _PROTOCOL, "definition.protocol"):
        return garbled
    clips = protocol["clips"]
    amounts = list(clips.values()) if isinstance(clips, dict) else [clips]
    if garbled := mismatch(amounts, [int], "definition.protocol.clips"):
        return garbled
    tested = amounts and min(amounts) >= 1 and 0 < protocol["test_share"] <= 1
    return "" if tested else "definition.protocol tested no clips"


def _objection_to_trial(trial: object) -> str:
    if not isinstance(trial, dict) or not TRIAL.fullmatch(str(trial.get("trial_id"))):
        return f"{json.dumps(trial)[:60]} is no trial with an id of 16 hexadecimal digits"
    whole = _has(trial, arm=str, fold=int, replicate=int) and isinstance(trial.get("kind", ""), str)
    if not whole:
        return f"trial {trial['trial_id']} lacks an arm, a fold or a replicate"
    crossed = trial.get("kind") == "variance"
    seeded = not crossed or mismatch(trial.get("seeds"), Values(int), "seeds") == ""
    whole = seeded and (not crossed or trial["seeds"].keys() >= {"initialisation", "order", "augmentation"})
    return "" if whole else f"trial {trial['trial_id']} lacks the seed of a source"


def _objection_to_searches(plan: Mapping[str, Any]) -> str:
    """What is wrong with what it says of searches."""
    for search in plan["searches"]:
        if not isinstance(search, dict) or not _has(
            {"most": 1} | search, arm=str, fold=int, recipe_params=str, most=int
        ):
            return f"{json.dumps(search)[:60]} is no search of an arm on a fold"
        try:
            values = json.loads(search["recipe_params"])
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            return f"the search of {search['arm'][:40]} has no recipe's values"
    about = plan.get("search")
    if not isinstance(about, dict) or not _has(about, goal=dict, top=int, trials=int):
        return "it does not say how is searched"
    goal = about["goal"]
    if (
        goal.keys() - {"objective", "cost"}
        or goal.get("objective") not in _OBJECTIVES
        or goal.get("cost") not in _COSTS
    ):
        return f"its searches' goal is {json.dumps(goal)[:60]}"
    return ""


def _has(value: Mapping[str, Any], **kinds: type) -> bool:
    """Whether it has these, each of its kind; True and False are no numbers here."""
    return all(
        isinstance(found := value.get(name), kind) and found is not True and found is not False
        for name, kind in kinds.items()
    )
