"""Optuna, and all of it: which configuration to try next, and which fields mattered.

The rows that trials committed are the memory. Optuna's own storage (a journal file in the study's folder, or a
database) is where a dashboard looks; what it lacks is added from the rows when a search begins, and a journal that a
kill -9 tore is set aside and written anew. So a search goes on wherever the results folder is.

A database may be shared by many, and two results folders may have studies of one name: there a search is called by its
study's identity too, or one would take the other's trials for its own.
"""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeper.plan import STUDY_SEED, TrialSpec, canonical_json, derive_seed
from sweeper.results.folder import LOCK_SECONDS, NO_LOCKS
from sweeper.results.redaction import redact
from sweeper.results.searching import Goal, Row, read_params
from sweeper.results.tables import StudyError
from sweeper.search.points import points
from sweeper.space import Chosen, Value

JOURNAL = "journal.log"
REPEATS = 100  # values in a row that were tried before: then TPE has nothing new to say
STARTUP_TRIALS = 10  # drawn at random before TPE has anything to go by; Optuna's default

Make = Callable[[Any], TrialSpec]  # of an Optuna trial, or a stand-in

optuna.logging.set_verbosity(logging.WARNING)


class Search:
    """One search: `ask` for a trial, run it, `tell` its row; at most `budget` trials, those of earlier runs included.

    Optuna's sampler is TPE, seeded from the study seed, the search's name and the number of trials so far: a search
    that is taken up again does not repeat its draws. Several may share a database if their searches have other names;
    two processes at one search leave each other's trials alone, and have the budget together: what counts is asked of
    the storage before each trial, of `claimed`, and of the rows that are `learn`ed.
    """

    def __init__(
        self,
        name: str,
        make: Make,
        goal: Goal,
        *,
        budget: int,
        storage: BaseStorage,
        rows: Sequence[Row],
        design: str,
        owner: str = "",
        claimed: Collection[str] = (),
    ) -> None:
        """Open the search where it was left.

        Args:
            name: of the search, unique among its owner's.
            make: the define-by-run function from a trial's values to its spec.
            goal: what is wanted.
            budget: how many trials in all.
            storage: Optuna's.
            rows: of the search's trials until now, committed or failed.
            design: what all trials have in common; trials of another design in the storage are refused.
            owner: the study's identity, where the storage is shared with others.
            claimed: ids of trials that other processes are at now.

        Raises:
            StudyError: the storage has a search of that name and another design, or can't be used.
        """
        self.name, self._make, self._goal = name, make, goal
        self._storage = storage
        with _explained(storage):
            self._study = _open(name, owner, storage, _directions(goal), design)
        self._asked: dict[str, optuna.trial.Trial] = {}
        self._budget = budget
        self._taken = {row["trial_id"] for row in rows}  # whoever runs or ran them
        self._past: set[int] = set()  # numbers of trials that ended before now: of these, only the rows count
        with _explained(self._storage):
            self._remember(rows, claimed)

    @property
    def left(self) -> int:
        """How many trials may still be asked for, as far as is known."""
        return max(0, self._budget - len(self._taken))

    @property
    def budget(self) -> int:
        """How many trials there are in all: as was asked for, or fewer once the space turned out to have no more."""
        return self._budget

    def enqueue(self, values: Mapping[str, Value]) -> None:
        """Try these values next, unless they were tried before."""
        with _explained(self._storage):
            self._study.enqueue_trial(dict(values), skip_if_exists=True)

    def ask(self, claimed: Collection[str] = ()) -> TrialSpec | None:
        """The next trial, but for those that are `claimed` by others; None when budget or space has no more."""
        if not self.left:
            return None
        with _explained(self._storage):
            if self._count(claimed) >= self._budget:
                return None
            for repeats in range(2 * REPEATS):
                if repeats == REPEATS and not self._enqueue_untried(claimed):
                    break
                # Another process that opens the search now may take this trial for one that was left behind.
                with contextlib.suppress(UpdateFinishedTrialError):
                    trial = self._study.ask()
                    spec = self._make(trial)
                    spec = replace(spec, params=canonical_json(trial.params))
                    if spec.trial_id in self._taken or spec.trial_id in claimed:
                        # Values that were tried before, as an earlier run left them in the queue, or that another
                        # process tries: nothing would be learned.
                        self._taken.add(spec.trial_id)
                        trial.set_user_attr("trial_id", spec.trial_id)
                        self._end(trial.number)
                    elif self._count(claimed, trial.number) >= self._budget:
                        self._end(trial.number)  # another process asked for the last one in the same moment
                        return None
                    else:
                        trial.set_user_attr("trial_id", spec.trial_id)
                        self._asked[spec.trial_id] = trial
                        self._taken.add(spec.trial_id)
                        return spec
        self._budget = len(self._taken)
        return None

    def tell(self, trial_id: str, row: Row | None) -> None:
        """Learn from a trial's row; None: it failed without leaving one."""
        trial = self._asked.pop(trial_id)
        state, values, steps = _outcome(row, self._goal)
        with _explained(self._storage):
            with contextlib.suppress(UpdateFinishedTrialError):
                for step, value in steps.items():
                    trial.report(value, step)
            told = self._study.tell(trial, values, state, skip_if_finished=True)
            # Another process may have taken it for one that was left behind, and have said so.
            if row is not None and told.state is not state and (trial_id, state) not in self._known_states():
                self._study.add_trial(self._known(row))

    def learn(self, row: Row) -> None:
        """Learn from the row of a trial that another process ran."""
        self._taken.add(row["trial_id"])
        with _explained(self._storage):
            if row["trial_id"] not in dict(self._known_states()):  # else that process tells of it
                self._study.add_trial(self._known(row))

    def _count(self, claimed: Collection[str], number: int = 0) -> int:
        """How many trials are taken by now, with those before `number` that others are just asking for."""
        asking = 0
        for trial in self._study.get_trials(deepcopy=False):
            trial_id = _id_of(trial)
            if trial_id and (trial.number not in self._past or trial_id in claimed):
                self._taken.add(trial_id)
            asking += not trial_id and trial.state is TrialState.RUNNING and trial.number < number
        return len(self._taken) + asking

    def _known_states(self) -> set[tuple[str, TrialState]]:
        return {(_id_of(trial), trial.state) for trial in self._study.get_trials(deepcopy=False)}

    def _end(self, number: int) -> None:
        """End a trial that nothing is learned from, unless another process did."""
        self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _enqueue_untried(self, claimed: Collection[str]) -> bool:
        """Try next what TPE leaves out, as it returns to what was good; False: the space has nothing else."""
        tried = {*self._taken, *claimed}
        found = points(self._make, len(tried) + 1) or {}
        values = next((values for trial_id, values in found.items() if trial_id not in tried), None)
        if values is not None:
            self._study.enqueue_trial(values)
        return values is not None

    def _remember(self, rows: Sequence[Row], claimed: Collection[str]) -> None:
        """Bring the storage up to the rows; what still runs there was left behind, and is tried again next.

        But for what is claimed: that counts, and is left alone.
        """
        known, ended = set(), set(self._taken)
        for trial in self._study.get_trials(deepcopy=False):
            trial_id = _id_of(trial)
            if trial.state is TrialState.RUNNING and trial_id not in claimed:
                self._end(trial.number)
                if trial_id and trial_id not in ended:
                    # The same values give the same trial, which continues from its own checkpoint.
                    self._study.enqueue_trial(trial.params)
            if trial_id in claimed:
                self._taken.add(trial_id)
            elif trial.state is not TrialState.WAITING:
                self._past.add(trial.number)
            known.add((trial_id, trial.state))
        frozen = [(row, self._known(row)) for row in rows]  # all: the space may have changed since
        self._study.add_trials([trial for row, trial in frozen if (row["trial_id"], trial.state) not in known])

    def _known(self, row: Row) -> FrozenTrial:
        def make(asked: Any) -> None:
            if self._make(asked).trial_id != row["trial_id"]:
                raise ValueError("they give another training now")

        try:
            return _frozen(row, make, self._goal)
        except (KeyError, TypeError, ValueError) as error:
            raise StudyError(
                f"trial {row['trial_id']} of {self.name} has values that this search does not choose "
                f"({row['params']}: {type(error).__name__} {error}); use --study NAME to start another study"
            ) from error


def open_storage(folder: Path | None, url: str | None) -> BaseStorage:
    """A database by its URL, or the journal file in a study's folder.

    A study in an object store has no folder to append to: then Optuna's side is kept in this process's memory, and made
    anew from the rows each time.

    Raises:
        StudyError: the database can't be reached; the message has no password. Or the journal can't be used.
    """
    if url is not None:
        try:
            return RDBStorage(url)
        except Exception as error:  # SQLAlchemy's and each driver's own
            raise _no_database(url, error) from None  # what led to it is not told: it would have the URL
    if folder is None:
        return InMemoryStorage()
    journal = folder / JOURNAL
    if journal.is_symlink() or (journal.exists() and not journal.is_file()):
        raise StudyError(f"{journal} is not a plain file; move it away, and the search goes on from its trials")
    try:
        lock = _acquired(journal)  # or a line that another command is writing would look torn
        try:
            if journal.exists() and not _readable(journal):
                journal.rename(journal.with_suffix(".damaged"))
        finally:
            lock.release()
        return JournalStorage(JournalFileBackend(str(journal), lock))
    except Exception as error:  # whatever replaying a journal of a stranger's raises
        raise StudyError(
            f"{journal} can't be used ({_reason(error)}); move it away, and the search goes on from its trials"
        ) from error


class _Lock(JournalFileSymlinkLock):
    """A journal's lock that ends with its process. Optuna's own, a link, stays after a kill, for half a minute.

    A dashboard that writes, with Optuna's own, does not see it: both append whole lines.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._path = journal.with_name(f".{journal.name}.lock")
        self._held: FileLock | None = None  # made when it is asked for, as Tune pickles what has a searcher

    def acquire(self) -> bool:
        """Wait until no other process, or thread, has it."""
        lock = FileLock(self._path, LOCK_SECONDS, mode=0o664, fallback_to_soft=False)
        lock.acquire()
        self._held = lock
        return True

    def release(self) -> None:
        """Let others have it."""
        lock, self._held = self._held, None
        if lock is not None:
            lock.release()


def _acquired(journal: Path) -> JournalFileSymlinkLock:
    """A journal's lock, held; Optuna's own where the file system has no locks, as some network file systems."""
    lock: JournalFileSymlinkLock = _Lock(journal)
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        lock = JournalFileSymlinkLock(str(journal))
        lock.acquire()
    return lock


def check_database(url: str) -> None:
    """See whether a database can be reached, without making anything in it.

    Raises:
        StudyError: it can't, or the URL is none of SQLAlchemy's; the message has no password.
    """
    try:
        place = sqlalchemy.make_url(url)
        file = Path(place.database or ".")
        if place.get_backend_name() == "sqlite" and not file.exists():  # connecting would make it
            if not os.access(file.absolute().parent, os.W_OK | os.X_OK):
                raise PermissionError(f"{file.absolute().parent} is missing, or can't be written")
            return
        sqlalchemy.create_engine(place).connect().close()
    except Exception as error:  # SQLAlchemy's and each driver's own
        raise _no_database(url, error) from None


def _no_database(url: str, error: Exception) -> StudyError:
    line = f"--storage {url}: {_reason(error)}; expected a URL such as sqlite:///optuna.db"
    return StudyError(redact(line, url))


@contextlib.contextmanager
def _explained(storage: BaseStorage) -> Iterator[None]:
    """What a database says when it goes away, or can't be written, as one line without a password."""
    try:
        yield
    except (StudyError, ValueError, TypeError):
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("sqlalchemy", "optuna")):
            raise
        cause = error.__cause__ or error
        line = redact(f"the search's storage can't be used: {_reason(cause)}", str(getattr(storage, "url", "")))
        raise StudyError(f"{line}; the same command goes on when it can") from None


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def importances(rows: Sequence[Row], make: Callable[[Any], object], goal: Goal) -> dict[str, float]:
    """Importance of each searched field for the score, by PED-ANOVA: shares, the largest first.

    Empty with fewer than four complete trials, or when all have the same score. Conditional fields count as well:
    Watanabe et al. 2023, "PED-ANOVA", and its conditional form in Optuna 5.
    """
    complete = [row for row in rows if row["status"] == "complete"]
    if len(complete) < 4 or len({goal.values(row)[0] for row in complete}) < 2:
        return {}
    study = optuna.create_study(directions=_directions(goal))
    study.add_trials([_frozen(row, make, goal) for row in complete])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that few trials make it unsteady is said where it is shown
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        # With a target, Optuna takes lower as better.
        found = optuna.importance.get_param_importances(
            study, evaluator=evaluator, target=lambda trial: -trial.values[0]
        )
    return {name: float(share) for name, share in found.items()}


def _open(
    name: str, owner: str, storage: BaseStorage, directions: Sequence[StudyDirection], design: str
) -> OptunaStudy:
    sampler = optuna.samplers.RandomSampler()  # replaced below, once the number of trials is known
    study = optuna.create_study(
        study_name=f"{name} {owner}".strip(),
        storage=storage,
        sampler=sampler,
        directions=directions,
        load_if_exists=True,
    )
    known = study.user_attrs.get("design")
    if known is not None and known != design:
        raise StudyError(f"the storage has a search {name!r} of another design: use --study NAME, or another --storage")
    if known is None:
        study.set_user_attr("design", design)
    count = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=STARTUP_TRIALS, seed=derive_seed(STUDY_SEED, "search", name, count)
    )
    return study


def _readable(journal: Path) -> bool:
    """Whether every line is whole: a process killed while it wrote leaves half a line, which Optuna does not read."""
    content = journal.read_bytes()
    try:
        for line in content.splitlines():
            json.loads(line)
    except ValueError:
        return False
    return not content or content.endswith(b"\n")


def _id_of(trial: FrozenTrial) -> str:
    """Which of our trials it is; '' while it is being asked for."""
    return str(trial.user_attrs.get("trial_id", ""))


def _directions(goal: Goal) -> list[StudyDirection]:
    return [StudyDirection.MAXIMIZE] if goal.cost is None else [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]


def _outcome(row: Row | None, goal: Goal) -> tuple[TrialState, list[float] | None, dict[int, float]]:
    """State, values, and intermediate values by epoch."""
    if row is None or row["status"] == "failed":
        return TrialState.FAIL, None, {}
    if row["status"] == "stopped":
        return TrialState.PRUNED, None, {row["stopped_epoch"]: row["stopped_score"]}
    return TrialState.COMPLETE, list(goal.values(row)), {}


def _frozen(row: Row, make: Callable[[Any], object], goal: Goal) -> FrozenTrial:
    """A row as Optuna's trial."""
    params = read_params(row)
    asked = _Replay(params)
    make(asked)
    state, values, steps = _outcome(row, goal)
    if state is TrialState.PRUNED:
        values = list(steps.values())
    return optuna.trial.create_trial(
        state=state,
        values=values,
        params=params,
        distributions=asked.distributions,
        user_attrs={"trial_id": row["trial_id"]},
        intermediate_values=steps,
    )


class _Replay(Chosen):
    """Values that were chosen before, and from which ranges."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.distributions[name] = FloatDistribution(low, high, log=log, step=step)
        return super().suggest_float(name, low, high, step=step, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.distributions[name] = IntDistribution(low, high, log=log, step=step)
        return super().suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.distributions[name] = CategoricalDistribution(choices)
        return super().suggest_categorical(name, choices)
