"""Which trial Tune runs next."""

from ray.tune.experiment import Trial

from sweeper.execution.in_order import InOrder


class Waits:
    """As much of Tune's trials as is asked for; says how often it was."""

    def __init__(self):
        self.status, self.asked = Trial.PENDING, 0

    def is_finished(self):
        self.asked += 1
        return self.status in (Trial.TERMINATED, Trial.ERROR)


def test_the_first_that_waits_is_next_and_one_that_failed_comes_last():
    scheduler, (first, second, third) = InOrder(), (Waits(), Waits(), Waits())
    assert scheduler.choose_trial_to_run(None) is None
    for trial in (first, second, third):
        scheduler.on_trial_add(None, trial)
    assert scheduler.choose_trial_to_run(None) is first
    first.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(None) is second
    first.status = Trial.PENDING
    scheduler.on_trial_add(None, first)
    assert scheduler.choose_trial_to_run(None) is second
    second.status = third.status = Trial.TERMINATED
    assert scheduler.choose_trial_to_run(None) is first
    first.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(None) is None


def test_a_choice_does_not_cost_more_when_many_are_finished():
    scheduler, trials = InOrder(), [Waits() for _ in range(100)]
    for trial in trials:
        scheduler.on_trial_add(None, trial)
        assert scheduler.choose_trial_to_run(None) is trial
        trial.status = Trial.TERMINATED
    assert max(trial.asked for trial in trials) <= 2
