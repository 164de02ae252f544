"""What a sweep needs of a machine, a cluster and a storage: each looked at, and where it fails, what to do."""

import importlib
import platform
import shutil
import time
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

import sweeper
from sweeper.audio.places import cache_folder
from sweeper.execution.room import check_interpreter, find_room
from sweeper.plan import PlanError
from sweeper.results.folder import Folder, StorageError
from sweeper.results.storage import locate

GIGABYTE = 1e9
SHARED_MEMORY = 1 * GIGABYTE  # Ray keeps the clips there; with less it keeps them in files
FREE_DISK = 2 * GIGABYTE  # UrbanSound8K takes 1.5, decoded
SKEW_SECONDS = 10.0  # a third of the silence after which a trial counts as lost
INSTALL = "pip install -c constraints.txt '.[s3]' in a fresh environment"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `remedy` is empty where all is well."""

    name: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.remedy


def examine_machine() -> Iterator[Check]:
    """Look at this machine: software, GPUs, memory, disk."""
    yield packages()
    yield audio()
    yield from gpus(Path("/dev"))
    yield shared_memory(Path("/dev/shm"))
    yield disk("cache", cache_folder(), "set SWEEPER_CACHE to a folder that can be written, on a disk with room")


def packages() -> Check:
    """Whether the installed packages are those that this version asks for."""
    wanted = [Requirement(line) for line in _requirements()]
    found, wrong = [], []
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if requirement.name in {"torch", "torchaudio", "ray", "optuna", "pyarrow"}:
            found.append(f"{requirement.name} {installed}")
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} is {installed}, not {requirement.specifier}")
    described = f"python {platform.python_version()}, {', '.join(found)}"
    return Check("packages", "; ".join(wrong), INSTALL) if wrong else Check("packages", described)


def _requirements() -> list[str]:
    try:
        return requires("sweeper") or []
    except PackageNotFoundError:  # run from a checkout
        text = (Path(sweeper.__file__).parents[1] / "pyproject.toml").read_text("utf-8")
        return list(tomllib.loads(text)["project"]["dependencies"])


def audio() -> Check:
    """Whether torchaudio was built for this torch: where not, its import fails."""
    try:
        for name in ("torch", "torchaudio", "soundfile"):
            importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        return Check("audio", f"{type(error).__name__}: {str(error).splitlines()[0]}", INSTALL)
    return Check("audio", "torchaudio and soundfile can be loaded")


def gpus(devices: Path) -> Iterator[Check]:
    """The GPUs as torch sees them, each with a product computed on it, and NCCL; `devices`: where Linux shows them."""
    import torch

    if not torch.cuda.is_available():
        there = ", ".join(sorted(path.name for path in devices.glob("nvidia[0-9]*")))
        if not there:
            yield Check("gpus", "none, so trials compute on the CPU")
        elif torch.version.cuda is None:
            yield Check("gpus", f"{there}, but this torch was built without CUDA", INSTALL)
        else:
            remedy = (
                f"update the driver for CUDA {torch.version.cuda} (nvidia-smi tells), or unset CUDA_VISIBLE_DEVICES"
            )
            yield Check("gpus", f"{there}, but torch can't use it", remedy)
        return
    for index in range(torch.cuda.device_count()):
        name = f"gpu {index}"
        try:
            ones = torch.ones(64, 64, device=f"cuda:{index}")
            free, total = torch.cuda.mem_get_info(index)
            reason = "" if (ones @ ones == 64).all() else "it computes wrong numbers"
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
        if reason:
            yield Check(name, reason, "see nvidia-smi; leave the card out by CUDA_VISIBLE_DEVICES")
        else:
            model, of = torch.cuda.get_device_name(index), f"{free / GIGABYTE:.0f} of {total / GIGABYTE:.0f}"
            yield Check(name, f"{model}, {of} GB free, CUDA {torch.version.cuda}")
    if torch.distributed.is_nccl_available():
        number = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
        yield Check("nccl", number)
    else:
        yield Check("nccl", "this torch has none, so --workers-per-trial can't use GPUs", INSTALL)


def shared_memory(place: Path) -> Check:
    """Whether Ray's object store has room."""
    if not place.is_dir():
        return Check("shared memory", f"no {place}: Ray needs none on this system")
    usage = shutil.disk_usage(place)
    found = f"{place}: {usage.free / GIGABYTE:.1f} of {usage.total / GIGABYTE:.1f} GB free"
    remedy = "docker run --shm-size=8g, or in Kubernetes an emptyDir of medium Memory at /dev/shm; else clips are slow"
    return Check("shared memory", found, remedy if usage.free < SHARED_MEMORY else "")


def ray_files() -> Check:
    """Whether a Ray of this machine's own finds a place for its sockets and logs, and can be reached at all."""
    try:
        check_interpreter()
        place = find_room()
    except PlanError as error:
        return Check("ray's files", *_split(str(error)))
    return Check("ray's files", f"{place}: {shutil.disk_usage(place).free / GIGABYTE:.1f} GB free")


def disk(name: str, folder: Path, remedy: str) -> Check:
    """Whether a folder's disk has room and it can be written."""
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        return Check(name, f"can't write to {folder}: {error.strerror}", remedy)
    free = shutil.disk_usage(folder).free
    return Check(name, f"{folder}: {free / GIGABYTE:.0f} GB free", remedy if free < FREE_DISK else "")


def examine_results(results: str) -> Iterator[Check]:
    """Look at where results shall go: write, write once, read, delete; and whose clock its times are of."""
    remedy = "use --results DIR or s3://BUCKET/PREFIX"
    name = f".probe-{uuid.uuid4().hex}"
    try:
        there = locate(results)
        begin = time.time()
        there.create([])
        there.write(name, b"1", once=True)
        replaced = there.write(name, b"2", once=True)
        same = there.read(name) == [b"1"]
        changed = there.changed(name) / 1e9
        there.delete(name)
        end = time.time()
    except StorageError as error:
        found, way_out = _split(str(error))
        yield Check("results", found, way_out if "--results" in way_out else f"{way_out}; or {remedy}")
        return
    except OSError as error:
        yield Check("results", f"can't write to {results}: {error.strerror}", remedy)
        return
    if replaced or not same:
        yield Check("results", f"{there} replaces what was to be written once", f"{remedy} on another file system")
    else:
        yield Check("results", f"{there}: written, not written twice, read, deleted in {end - begin:.2f} s")
    if isinstance(there, Folder):
        yield disk("results' disk", there.path, remedy)
    # Between begin and end the clocks agree; S3 tells whole seconds.
    yield clock("results' clock", max(0.0, changed - end) + min(0.0, changed + 1 - begin))


def _split(message: str) -> tuple[str, str]:
    """An error's message as what was found and what to do."""
    found, _, remedy = message.partition("; ")
    return found, remedy or "see README, Results in object storage"


def clock(name: str, ahead: float) -> Check:
    """Judge a clock that is so many seconds ahead of this machine's."""
    found = "agrees"
    if abs(ahead) >= 1:
        found = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    remedy = "let both keep time by NTP (timedatectl set-ntp true): heartbeats and signatures compare clocks"
    return Check(name, found, remedy if abs(ahead) > SKEW_SECONDS else "")
