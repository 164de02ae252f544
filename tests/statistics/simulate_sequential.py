"""What a study that goes on until its arms are decided costs and finds, by simulation of the planner itself.

    python -m tests.statistics.simulate_sequential [--studies 2000] [--only TEXT]

Made-up scores of twelve arms: four are worse than the reference by 0.66, 1, 1.5 and 2 standard deviations, seven differ
in nothing. `sequential.next_step` says which trials are run and `take_look` when an arm is decided, as in
`run ablations --until decided`. Columns: *false*, studies with a star at any look on an arm that differs in nothing, in
%; *power*, stars among the four, in %; *fixed*, the same of a fixed design with the seeds that it is held against;
*trials*, their mean number; *saved*, how many less than that fixed design's, in %; *equal*, the seeds that a fixed
design needs for the same power; *fewer*, how many trials less than that one's, in %; *wasted*, trials that were begun
ahead of a look and not needed, in %.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.statistics.arms import differences
from sweeper.statistics.sequential import Look, Step, in_folds, next_step, take_look
from sweeper.statistics.spending import Schedule, schedule
from sweeper.statistics.spread import spread
from sweeper.statistics.units import Units
from tests.statistics.simulate import Scenario

WORSE = (0.66, 1.0, 1.5, 2.0)
ARMS = 12
COLUMNS = ("false", "power", "fixed", "trials", "saved", "equal", "fewer", "wasted")


@dataclass(frozen=True)
class Study:
    """Made-up studies.

    Attributes:
        blocks: at the planned end.
        paired: whether effects are in standard deviations of a block's difference, √2 of a trial's; else of a trial.
        null: whether no arm differs.
        noise: as in `simulate`.
        folds: of ten, where there is more than one.
        at_once: trials that run at the same time.
        then: blocks that somebody who saw it end raises it to, where an arm is undecided, and pays; 0: nobody does.
        margin: in standard deviations; 0: none is equivalent.
        against: seeds of the fixed design that it is held against; 0: none.
        budget: trials that are paid for at first, all arms costing the same; 0: all.
    """

    name: str
    blocks: int = 20
    paired: bool = False
    null: bool = False
    noise: str = "equal"
    folds: int = 1
    at_once: int = 1
    then: int = 0
    margin: float = 0.0
    against: int = 0
    budget: int = 0

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Scores `[arms, blocks]`; arm 0 is the reference."""
        most = max(self.blocks, self.then)
        scenario = Scenario("", most // self.folds, self.folds, noise=self.noise, fold_sd=0.5, arms=ARMS)
        scores, _ = scenario.draw(rng, 0.0)
        if not self.null:
            scores[1:5] -= np.array(WORSE)[:, None, None] * (np.sqrt(2) if self.paired else 1.0)
        return scores.transpose(0, 2, 1).reshape(ARMS, most)

    @property
    def in_all(self) -> int:
        return 10 if self.folds > 1 else 1


@dataclass(frozen=True)
class Found:
    """What simulation found; shares of 1."""

    false: float
    power: float
    fixed: float
    trials: float
    saved: float
    equal: float
    fewer: float
    wasted: float


def run_study(study: Study, plan: Schedule, scores: NDArray[np.float64]) -> tuple[NDArray[np.bool_], int, int]:
    """Stars at any look by arm, trials, and those of them that no look used."""
    done = np.zeros(scores.shape, bool)
    taken: list[Look] = []
    for most, budget in ((study.blocks, study.budget), (study.then, 0)):
        failed = np.zeros(scores.shape, bool)
        while (step := next_step(plan, taken, 0, done, failed, most)).look:
            if budget and (short := _short(step, budget - int(done.sum()), taken)) is not None:
                failed[short] |= ~done[short]
                continue
            for arm, block in (*step.now, *step.ahead)[: study.at_once] if step.now else ():
                done[arm, block] = True
            if not next_step(plan, taken, 0, done, failed, most).now:
                taken.append(
                    take_look(
                        scores,
                        plan,
                        taken,
                        step,
                        reference=0,
                        folds=study.folds,
                        most=most,
                        margin=study.margin,
                        test_train_ratio=1 / 9 if study.folds > 1 else 0.0,
                        folds_in_all=study.in_all,
                        resolution=1e-9,
                    )
                )
    stars = np.zeros(ARMS, bool)
    used = np.zeros(ARMS, int)
    for look in taken:
        for arm, said in look.arms.items():
            stars[arm] |= said.significant
            used[arm] = used[0] = look.blocks
    return stars, int(done.sum()), int(done.sum() - used.sum())


def _short(step: Step, left: int, taken: list[Look]) -> int | None:
    """The arm that a budget leaves out of a look that it can't pay whole, as `UntilDecided` does."""
    waiting = [arm for arm in step.sits if any(cell[0] == arm for cell in step.now)]
    if len(step.now) <= left or not waiting:
        return None
    chances = {arm: said.chance for look in taken for arm, said in look.arms.items()}
    missing = {arm: sum(cell[0] == arm for cell in step.now) for arm in waiting}
    return min(waiting, key=lambda arm: chances.get(arm, 1.0) / missing[arm])


def fixed_stars(study: Study, scores: NDArray[np.float64], blocks: int) -> NDArray[np.bool_]:
    """Stars of a fixed design with the first so many blocks, by arm."""
    cells = in_folds(scores[:, :blocks], study.folds)
    layout = Units(cells, 1 / 9 if study.folds > 1 else 0.0, study.in_all, resolution=1e-9)
    found = differences(cells, 0, layout, spread(layout.residual, 0, layout.floor), 0.05)
    return np.abs(found.diff) > found.half


def simulate(study: Study, studies: int, *, seed: int = 0) -> Found:
    """Run made-up studies through the planner."""
    plan = schedule(study.blocks, study.folds, ARMS - 1)
    rng = np.random.default_rng(seed)
    false, power, trials, wasted, fixed, equal = [], [], [], [], [], []
    sizes = np.arange(8, study.blocks + 1, 4)
    for number in range(studies):
        scores = study.draw(rng)
        stars, run, unused = run_study(study, plan, scores)
        false.append(stars[1:].any() if study.null else stars[5:].any())
        power.append(stars[1:5].mean())
        trials.append(run)
        wasted.append(unused / run)
        if study.against:
            fixed.append(fixed_stars(study, scores, study.against)[1:5].mean())
            if number < 500:
                equal.append([fixed_stars(study, scores, n)[1:5].mean() for n in sizes])
    found, mean = float(np.mean(power)), float(np.mean(trials))
    needs = np.nan
    if equal:  # with as many studies: their luck is the same
        curve = np.maximum.accumulate(np.mean(equal, axis=0))
        needs = float(np.interp(np.mean(power[: len(equal)]), curve, sizes))
    return Found(
        float(np.mean(false)),
        found,
        float(np.mean(fixed)) if fixed else np.nan,
        mean,
        1 - mean / (ARMS * study.against) if study.against else np.nan,
        needs,
        1 - mean / (ARMS * needs),
        float(np.mean(wasted)),
    )


def scenarios() -> Iterator[Study]:
    """What is tried."""
    yield Study("30 seeds, SDs of a trial", 30, against=20)
    yield Study("20 seeds, SDs of a difference", paired=True, against=13)
    yield Study("30 seeds, nothing differs", 30, null=True)
    yield Study("20 seeds, nothing differs, then raised to 45", null=True, then=45)
    yield Study("20 seeds, SDs of a trial", against=20)
    yield Study("20 seeds, 12 trials at once", at_once=12)
    yield Study("20 seeds, margin 1 SD", margin=1.0)
    for noise in ("arms differ", "reference x3", "one x4", "t3", "skewed"):
        yield Study(f"20 seeds, nothing differs, {noise}", null=True, noise=noise)
    yield Study("20 seeds, nothing differs, 90 trials paid for", null=True, budget=90)
    yield Study("4 seeds, nothing differs, 40 paid for, then all", 4, null=True, budget=40, then=4)
    for most in (12, 16, 30):
        yield Study(f"{most} seeds, 110 trials paid for", most, budget=110, against=9)
    yield Study("5 of 10 folds × 4 seeds, nothing differs", null=True, folds=5)
    yield Study("10 of 10 folds × 2 seeds, nothing differs", null=True, folds=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print(f"{'':46}" + "".join(f"{name:>7}" for name in COLUMNS))
    for study in scenarios():
        if args.only in study.name:
            found = simulate(study, args.studies)
            cells = [
                f"{value:7.0f}" if name == "trials" else f"{value:7.1f}" if name == "equal" else f"{100 * value:7.1f}"
                for name, value in vars(found).items()
            ]
            print(f"{study.name:46}" + "".join(cells).replace("nan", "  –"), flush=True)


if __name__ == "__main__":
    main()
