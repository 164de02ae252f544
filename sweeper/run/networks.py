"""What the arms' networks are asked before anything is decoded: to be built, to train, to differ, to travel."""

import contextlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields

from sweeper.definition import Source
from sweeper.idle_switches import idle_switches
from sweeper.plan import PlanError, Variant, own_switches, variant
from sweeper.study import Arm, Network, Recipe
from sweeper.study import Study as Definition
from sweeper.study_file import shipped
from sweeper.waiting import waiting


def check_networks(source: Source, recipe: Recipe, arms: Sequence[Arm], classes: int, workers: int) -> list[str]:
    """Resolve every arm; of a user's own network, build each and run two clips through it, there and back.

    Returns:
        what is worth knowing, and how much each arm shares with the reference.

    Raises:
        PlanError: an arm can't be trained; one line.
    """
    study = source.study
    try:
        variants = {arm.name: variant(study, arm, recipe, classes) for arm in arms}
        base = _reference(study, recipe, classes)
    except PlanError as error:
        raise PlanError(f"{source.argument}: {error}" if source.argument else str(error)) from None
    notes = [
        f"{name} differs in the average of the weights only, which accuracy_ema scores; accuracy is the last epoch's"
        for name, found in variants.items()
        if found.switches != "{}" and all(switch.startswith("ema.") for switch in json.loads(found.switches))
    ]
    for arm in arms:
        idle = idle_switches(base.training, variants[arm.name].training, own_switches(study, arm).training)
        notes += [f"{arm.name}: switching {switch} changes nothing, as {why}" for switch, why in idle.items()]
    if not source.code and not source.package:
        return notes
    with waiting("checking the networks"):
        return notes + _try_networks(source, {study.reference: base, **variants}, workers)


def _try_networks(source: Source, variants: Mapping[str, Variant], workers: int) -> list[str]:
    """`variants` by arm, the reference first."""
    from sweeper.model.build import build  # torch takes seconds to import: wrong names are told without it
    from sweeper.model.pairing import NetworkError
    from sweeper.model.shared import shared_parameters
    from sweeper.training.check import check_network, same_step

    study, notes, reference = source.study, list[str](), None
    base = variants[study.reference]
    with shipped(source.code) if source.code else contextlib.nullcontext() as elsewhere:
        for name, found in variants.items():
            try:
                notes += check_network(found.network, found.training, workers=workers)
                module = build(found.network, 0)
                if elsewhere is not None:
                    _check_elsewhere(elsewhere, found.network)
                if reference is None:
                    reference = module
                    continue
                shared = shared_parameters(module, reference)
                notes.append(f"{name}: {shared.describe(study.reference)}")
                all_shared = shared.shared == shared.parameters == len(list(reference.parameters()))
                differs = all_shared and found.network != base.network
                if differs and same_step(found.network, base.network, base.training):
                    notes.append(_unused(own_switches(study, study.by_name[name]), study.reference))
            except NetworkError as error:
                raise PlanError(f"{source.argument}: arm {name!r}: {error}") from None
    return list(dict.fromkeys(notes))


def _unused(arm: Arm, reference: str) -> str:
    switches = ", ".join(arm.network)
    return f"{arm.name} does the same as {reference} in a first training step: does the network use {switches}?"


def _check_elsewhere(kind: type[Network], network: Network) -> None:
    """Build it where the study's file does not lie, as a worker of another machine does.

    Raises:
        NetworkError: it needs what does not travel.
    """
    from sweeper.model.build import build
    from sweeper.model.pairing import NetworkError

    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            build(kind(**{field.name: getattr(network, field.name) for field in fields(network)}), 0)
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise NetworkError(
            f"{type(network).__name__} can't be built away from the study's folder, as on other machines: {reason}; "
            "name what it reads in Study(files=…), and read it at Path(__file__).with_name(…)"
        ) from None


def _reference(study: Definition, recipe: Recipe, classes: int) -> Variant:
    return variant(study, study.by_name[study.reference], recipe, classes)
