"""How fast one GPU trains the dual-branch network, beside EAT-S, in one run.

    python -m tests.benchmarks.training_step [--minutes 8] [--results DIR]

On CUDA: the paper's size, batch 64, 4 s at 22,050 Hz, the whole step as `fit` does it (gathering, all augmentations,
forward, loss with distillation, backward, clipping, AdamW, EMA), in float32, bf16 and compiled bf16, with the clips
resident on the GPU and streamed from host memory. On a CPU: a small size of both, to know that the script works.

It needs torch and NumPy alone, no Ray and no data set: the clips are noise, 512 of them. The table is written to
`<results>/<device>.md` after every row, so that a run that is cut short leaves what it measured; a row that can't be
measured says why. Rows come in the order of their use; those that no time is left for are listed as not measured.

    clips/s, ms/step   median over windows of a few seconds, each ended by waiting for the device
    busy               the share of a step in which the GPU computes: time with at least one kernel running, from
                       torch's profiler over a few steps, by the time of a step without the profiler
    peak GB            torch.cuda.max_memory_allocated, resident clips included
"""

import argparse
import contextlib
import gc
import json
import math
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from sweeper.audio.clips import Clips
from sweeper.augmentation_config import AugmentationConfig, MixingConfig
from sweeper.model.config import SIZES, EATConfig
from sweeper.plan import TrialSpec, build_plan
from sweeper.search_spaces.recipes import Recipe, paper
from sweeper.training import batches as batches_module
from sweeper.training import fit as fit_module
from sweeper.training.batches import Batches
from sweeper.training.distributed import ALONE
from tests.studies import ARMS, PAPER, REFERENCE

COMMAND = "python -m tests.benchmarks.training_step"
CLASSES = 10
CLIPS = {"cuda": 512, "cpu": 16}
WINDOWS, WINDOW_SECONDS = 3, {"cuda": 3.0, "cpu": 1.0}
WARMUP_STEPS, PROFILED_STEPS = 5, 5
NETWORKS = ("dual-branch", "EAT-S")
GPU_WORK = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of the profiler's trace


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    network: str
    precision: str
    compiled: bool
    resident: bool


@dataclass(frozen=True)
class Measured:
    """`busy` is a share; it and `peak_bytes` are None on a CPU."""

    step_seconds: float
    clips_per_second: float
    busy: float | None
    peak_bytes: int | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="no row is begun once there is no time for it")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = args.results / f"{_slug(_device_name(device))}.md"
    if device.type == "cpu":
        torch.set_num_threads(1)  # as trials of this size run, several at a time
    deadline = time.monotonic() + 60 * args.minutes
    rows: dict[Setting, Measured | str] = dict.fromkeys(_settings(device), "not measured: out of time")
    longest = 0.0
    for setting in list(rows):
        begin = time.monotonic()
        if begin + longest > deadline:
            break
        rows[setting] = _try(setting, device)
        longest = max(longest, time.monotonic() - begin)
        print(_row(setting, rows[setting], rows), flush=True)
        _write(path, device, rows)
    _write(path, device, rows)
    print(path)


def _settings(device: torch.device) -> Iterator[Setting]:
    precisions = ("bf16", "float32") if device.type == "cuda" else ("float32",)  # a CPU always computes in float32
    kinds = [(precision, False) for precision in precisions] + [(precisions[0], True)]
    for precision, compiled in kinds:
        for resident in (True, False):
            for network in NETWORKS:
                yield Setting(network, precision, compiled, resident)


def _try(setting: Setting, device: torch.device) -> Measured | str:
    try:
        return _measure(setting, device)
    except torch.OutOfMemoryError:
        return "out of memory"
    except Exception as error:  # one row must not cost the others: compilers fail in many ways
        return f"failed: {type(error).__name__}: {' '.join(str(error).split())[:160]}"
    finally:
        torch.compiler.reset()
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _measure(setting: Setting, device: torch.device) -> Measured:
    spec = _spec(setting, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run = fit_module._Run(spec, _batches(setting, spec, device), device, ALONE)
    _steps(run, WARMUP_STEPS)
    seconds = _time_of_a_step(run, device)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    busy = _kernel_seconds(run) if device.type == "cuda" else None
    return Measured(
        step_seconds=seconds,
        clips_per_second=spec.training.batch_size / seconds,
        busy=None if busy is None else min(1.0, busy / seconds),
        peak_bytes=peak,
    )


def _steps(run: "fit_module._Run", count: int) -> None:
    plan = run.batches.training_epoch(run.spec.seed, 0, run.spec.training.batch_size)
    for _ in range(count):
        run._step(run.batches.gather(*plan[run.position % len(plan)]))
        run.position += 1


def _time_of_a_step(run: "fit_module._Run", device: torch.device) -> float:
    def window(count: int) -> float:
        _wait(device)
        begin = time.perf_counter()
        _steps(run, count)
        _wait(device)
        return (time.perf_counter() - begin) / count

    count = max(1, round(WINDOW_SECONDS[device.type] / window(2)))
    return statistics.median(window(count) for _ in range(WINDOWS))


def _kernel_seconds(run: "fit_module._Run") -> float | None:
    """Seconds per step in which the GPU computed or copied; None where the profiler can't see it."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        _steps(run, PROFILED_STEPS)
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text("utf-8"))["traceEvents"]
    # By category: annotations, too, have spans on the GPU, and those reach over its pauses.
    spans = [(event["ts"], event["ts"] + event["dur"]) for event in events if event.get("cat") in GPU_WORK]
    return _covered(spans) / 1e6 / PROFILED_STEPS if spans else None


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """Length of the union: what overlaps counts once."""
    covered, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _recipe(device: torch.device) -> Recipe:
    recipe = paper()
    if device.type == "cpu":
        # 4.096 s at 8 kHz: EAT-S needs 32,768 samples.
        small = replace(recipe.training, batch_size=4)
        recipe = Recipe("cpu", network=SIZES["small"], training=small, sample_rate=8_000, seconds=4.096)
    # Mixing from the first step: all but 12 of the paper's 1500 epochs have it.
    augmentation = AugmentationConfig(mixing=MixingConfig(warmup_epochs=0))
    # So many epochs that the one-cycle schedule doesn't end before the measurement.
    return replace(recipe, training=replace(recipe.training, augmentation=augmentation, epochs=10_000))


def _spec(setting: Setting, device: torch.device) -> TrialSpec:
    recipe = _recipe(device)
    training = replace(recipe.training, precision=setting.precision, compile=setting.compiled)
    (spec,) = build_plan(
        study="training-step",
        source=PAPER,
        arms=[ARMS[REFERENCE]],
        recipe=replace(recipe, training=training),
        dataset="noise",
        split="none",
        folds=(1,),
        classes=CLASSES,
        replicates=1,
    ).trials
    if setting.network == "EAT-S":
        width = 16 if device.type == "cuda" else 4
        eat: Any = EATConfig(classes=CLASSES, stem_width=width)
        spec = replace(spec, model=eat)
    return spec


def _batches(setting: Setting, spec: TrialSpec, device: torch.device) -> Batches:
    count, length = CLIPS[device.type], spec.data.length
    rng = np.random.default_rng(0)
    names = np.array([str(i) for i in range(count)])
    clips = Clips(
        samples=rng.integers(-(2**15), 2**15, count * length, dtype=np.int16),
        offsets=np.arange(count, dtype=np.int64) * length,
        lengths=np.full(count, length, dtype=np.int32),
        targets=np.arange(count, dtype=np.int64) % CLASSES,
        ids=names,
        groups=names,
        rows=np.arange(count),
        sample_rate=spec.data.sample_rate,
    )
    with _resident_share(0.0):  # left to itself, `Batches` makes them resident wherever they fit
        batches = Batches([clips], length, device)
    if setting.resident:
        batches.make_resident()
    return batches


@contextlib.contextmanager
def _resident_share(share: float) -> Iterator[None]:
    usual = batches_module.RESIDENT_SHARE
    batches_module.RESIDENT_SHARE = share
    try:
        yield
    finally:
        batches_module.RESIDENT_SHARE = usual


def _row(setting: Setting, measured: Measured | str, rows: dict[Setting, Measured | str]) -> str:
    cells = [
        setting.network,
        setting.precision + (", compiled" if setting.compiled else ""),
        "resident" if setting.resident else "streamed",
    ]
    if isinstance(measured, str):
        return f"| {' | '.join(cells)} | {measured} | | | | |"
    rival = rows.get(replace(setting, network=NETWORKS[1]))
    ratio = f"{measured.clips_per_second / rival.clips_per_second:.2f}" if isinstance(rival, Measured) else "–"
    cells += [
        f"{measured.clips_per_second:.3g}",
        f"{1e3 * measured.step_seconds:.1f}",
        "–" if measured.busy is None else f"{measured.busy:.0%}",
        "–" if measured.peak_bytes is None else f"{measured.peak_bytes / 1e9:.2f}",
        ratio,
    ]
    return f"| {' | '.join(cells)} |"


def _write(path: Path, device: torch.device, rows: dict[Setting, Measured | str]) -> None:
    recipe = _recipe(device)
    scaled = ""
    if device.type == "cpu":
        scaled = " Scaled down, to know that the script works: neither the published networks nor numbers to compare."
    lines = [
        f"# A training step on {_device_name(device)}",
        "",
        f"`{COMMAND}`, torch {torch.__version__.split('+')[0]}, "
        f"batch {recipe.training.batch_size} of {recipe.seconds:g} s at {recipe.sample_rate} Hz"
        + (", one thread." if device.type == "cpu" else ".")
        + scaled,
        "",
        "| network | precision | clips | clips/s | ms/step | busy | peak GB | clips/s to EAT-S's |",
        "|---|---|---|---:|---:|---:|---:|---:|",
        *(_row(setting, measured, rows) for setting, measured in rows.items()),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else []
    return f"CPU {names[0] if names else platform.processor() or platform.machine()}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


if __name__ == "__main__":
    main()
