"""What a report says in words and small tables: the question, the cost, where it all came from, how to do it again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.report.cells import count, number
from sweeper.report.tables import distinct
from sweeper.results.attempts import Cost, costs
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.row_files import Doubts
from sweeper.results.variance import VARIANCE

Row = dict[str, Any]
Pairs = list[tuple[str, str]]
_ATTEMPTS = ("attempts", "device-s held", "of it wasted")
_SOFTWARE = ("git_commit", "sweeper_version", "torch_version", "ray_version", "python_version")


def question(board: Leaderboard) -> str:
    """What was asked, in a sentence or two."""
    arms = [row["arm"] for row in board.summary if row["kind"] == "ablation"]
    if board.plan.get(VARIANCE):
        return (
            f"Where does the variance of a score come from? {board.arms.reference} was trained with every seed of each "
            "source of randomness beside every seed of the others, on each fold."
        )
    if not arms:
        return (
            "Which hyperparameters suit the network? They were searched for on validation clips; the winner was then "
            "scored, beside the recipe, on seeds and test clips that had decided nothing."
        )
    ablations = board.trials.filter(pc.equal(board.trials["kind"], "ablation"))
    if told := board.plan.get("imported"):
        return (
            f"{count(len(arms), 'arm')} that other tools ran, imported from {told['file']}: how do they compare with "
            f"{board.arms.reference}, block by block?"
        )
    commits = board.plan.get("commits")
    folds, seeds = (pc.count_distinct(ablations[name]).as_py() for name in ("fold", "replicate"))
    if commits:
        return (
            f"Do these commits compute as well as {board.arms.reference} does? {count(len(arms), 'arm')}, each as a "
            f"commit has it, were trained on {_same(folds, 'fold')} with {_same(seeds, 'seed')} and compared block by "
            "block."
        )
    return (
        f"Which parts earn their place? {count(len(arms), 'arm')}, each {board.arms.reference} but for what it "
        f"switches, were trained on {_same(folds, 'fold')} with {_same(seeds, 'seed')} and compared "
        "block by block."
    )


def _same(amount: int, noun: str) -> str:
    return f"the same {noun}" if amount == 1 else f"the same {amount} {noun}s"


def data_facts(board: Leaderboard) -> Pairs:
    """The data of the study."""
    first = board.trials.slice(0, 1).to_pylist()[0]
    plan = board.plan
    if told := plan.get("imported"):
        columns = ", ".join(f"{key} from {column}" for key, column in told["columns"].items())
        return [
            ("imported from", f"{told['file']}, SHA-256 {told['sha256']}"),
            ("columns", f"{columns}; scores as {told['score']}"),
            ("data set", first["dataset"]),
            ("test folds", ", ".join(map(str, sorted(distinct(board, "fold"))))),
            *(("note", note) for note in plan.get("notes", ())),
        ]
    sizes = board.trials.filter(pc.equal(board.trials["status"], "complete"))
    clips = [f"{pc.min(sizes[c]).as_py()} to {pc.max(sizes[c]).as_py()}" for c in ("train_clips", "test_clips")]
    notes = [*plan.get("notes", ()), *sorted(leak for leak in distinct(board, "leak") if leak)]
    return [
        ("data set", first["dataset"] + (" (synthetic: sounds made by a program)" if first["synthetic"] else "")),
        ("classes", ", ".join(plan.get("classes", ())) or "unknown"),
        ("split", f"{first['split']}, test folds {', '.join(map(str, sorted(distinct(board, 'fold'))))}"),
        ("clips per fold", f"{_span(clips[0])} to train, {_span(clips[1])} to test"),
        ("input", f"{first['clip_seconds'] or 0:g} s at {first['sample_rate']} Hz"),
        ("recipe", f"{first['recipe']}, {count(first['epochs'] or 0, 'epoch')}"),
        *(("AdamW’s betas", words) for words in _betas(plan)),
        *(("note", note) for note in notes),
    ]


def _betas(plan: Mapping[str, Any]) -> list[str]:
    """AdamW's betas as they ran, of the reference; nothing where the plan doesn't say how it trained."""
    training = plan.get("design", {}).get("training", {})
    if not isinstance(training.get("betas"), list):
        return []
    first, second = (f"{beta:g}" for beta in training["betas"])
    # What a plan leaves out is what ran before it could be said: torch's own cycle of the first beta.
    cycle = training.get("momentum", (0.85, 0.95))
    if training.get("schedule", "one-cycle") == "one-cycle" and cycle:
        low, high = (f"{beta:g}" for beta in cycle)
        first = f"{high} → {low} → {high} (the one-cycle schedule moves it)"
    return [f"first {first}, second {second}"]


def _span(text: str) -> str:
    low, _, high = text.partition(" to ")
    return low if low == high else text


def cost_sentence(board: Leaderboard, price: float | None = None) -> str:
    """What all attempts held, also those at trials that did not finish, and at `price` per device-hour what that cost.

    Of a finished trial its row says it, of others their attempts, as of those that have no row.
    """
    if board.plan.get("imported"):
        seconds = pc.sum(board.trials.column("seconds")).as_py()
        return "cost: not imported" if seconds is None else f"cost: {seconds:,.0f} seconds of training, as imported"
    finished = board.trials.filter(pc.not_equal(board.trials["status"], "failed"))
    spent = costs(board.study, Doubts(), but=set(finished["trial_id"].to_pylist()))
    # A trial that failed may be tried again: its row knows nothing of that.
    rows = board.trials.filter(pc.invert(pc.is_in(board.trials["trial_id"], pa.array(list(spent), pa.string()))))
    held = sum(cost.device_seconds for cost in spent.values()) + (pc.sum(rows["device_seconds"]).as_py() or 0.0)
    wasted = sum(cost.waste_device_seconds for cost in spent.values())
    wasted += pc.sum(rows["waste_device_seconds"]).as_py() or 0.0
    unit = "core" if set(board.trials.column("device").to_pylist()) == {"cpu"} else "GPU"
    money = "" if price is None else f"; {held / 3600 * price:,.2f} at {price:g} per {unit}-hour"
    return f"cost: {held:,.0f} {unit}-seconds held, {wasted:,.0f} of them by attempts that did not complete{money}"


def cost_table(board: Leaderboard, price: float | None = None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Per arm: time to train and to evaluate, what all attempts held, what of it was wasted, and the whole's price.

    Attempts are read from their own records: a trial that was killed and never came back has no row, but a cost.
    `price` is that of a device for an hour: a GPU, or without GPUs a core.
    """
    trials = board.trials.select(["trial_id", "arm", "kind", "status", "seconds", "evaluation_seconds"]).to_pylist()
    present = {trial["trial_id"] for trial in trials}
    unfinished = {"kind": "ablation", "status": "missing", "seconds": None, "evaluation_seconds": None}
    trials += [unfinished | trial for trial in board.plan.get("trials", ()) if trial["trial_id"] not in present]
    spent = costs(board.study)
    # A search's are not planned: they count among all.
    planned = {trial["trial_id"] for trial in trials}
    trials += [unfinished | {"kind": "search", "arm": "", "trial_id": name} for name in spent.keys() - planned]
    header = ("arm", "M par.", "GFLOP", "trials", "failed", "training s", "evaluation s", *_ATTEMPTS)
    money = () if price is None else (f"at {price:g} per device-hour",)
    rows = []
    for arm in board.summary:
        mine = [trial for trial in trials if (trial["kind"], trial["arm"]) == (arm["kind"], arm["arm"])]
        label = arm["arm"] if arm["kind"] == "ablation" else f"{arm['arm']} ({arm['kind']})"
        size = number(arm["parameters"] and arm["parameters"] / 1e6, ".3g")
        rows.append((label, size, number(arm["gflops_per_clip"], ".3g"), *_cost(mine, spent, price)))
    return (*header, *money), [*rows, ("all", "", "", *_cost(trials, spent, price))]


def _cost(trials: Sequence[Row], spent: Mapping[str, Cost], price: float | None) -> tuple[str, ...]:
    held = [spent[trial["trial_id"]] for trial in trials if trial["trial_id"] in spent]
    seconds = sum(cost.device_seconds for cost in held)
    attempts = [
        str(sum(cost.attempts for cost in held)),
        f"{seconds:.0f}",
        f"{sum(cost.waste_device_seconds for cost in held):.0f}",
    ]
    attempts += [] if price is None else [f"{seconds / 3600 * price:,.2f}"]
    return (
        str(sum(trial["status"] == "complete" for trial in trials)),
        str(sum(trial["status"] == "failed" for trial in trials)),
        f"{sum(trial['seconds'] or 0 for trial in trials):.0f}",
        f"{sum(trial['evaluation_seconds'] or 0 for trial in trials):.0f}",
        *(attempts if held else ["–"] * len(attempts)),
    )


def provenance(board: Leaderboard) -> Pairs:
    """Code, libraries, machines, times and data of all trials; how many where they differ."""
    trials = board.trials
    span = pc.min_max(trials["finished"]).as_py()
    return [
        ("study", board.study.name),
        *((name, _shares(board, name)) for name in _SOFTWARE),
        ("device", _shares(board, "device")),
        ("threads", _shares(board, "threads")),
        ("hosts", str(len(distinct(board, "node")))),
        ("finished", f"{span['min']:%Y-%m-%d %H:%M} to {span['max']:%Y-%m-%d %H:%M} UTC"),
        ("data digest", _shares(board, "data_digest")),
        *((("imported from", told["file"]),) if (told := board.plan.get("imported")) else ()),
        *(
            ("commit", f"{found['name']}: {found['asked']}, {found['sha']}, code {found['code'] or 'of the package'}")
            for found in board.plan.get("commits", {}).get("of", ())
        ),
        *((("code of the network", code),) if (code := board.plan.get("definition", {}).get("code")) else ()),
    ]


def _shares(board: Leaderboard, column: str) -> str:
    counts = Counter(board.trials[column].to_pylist()).most_common()
    if len(counts) == 1:
        return str(counts[0][0] or "unknown")
    return ", ".join(f"{value or 'unknown'} ({count(amount, 'trial')})" for value, amount in counts)
