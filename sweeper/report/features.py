"""The paper's Fig. 7: does each stage of the network separate the classes better than the one before?

t-SNE maps of raw audio and of the features that a trained network makes of it, with silhouette scores (1: classes far
apart, 0: touching, below: mixed). A map's distances mean little, so the score that counts is taken on the features
themselves; the one on the map is beside it because the map is what one sees.

References:
    L. van der Maaten, G. Hinton. Visualizing data using t-SNE. JMLR 9 (2008) 2579–2605.
    P. Rousseeuw. Silhouettes. J. Comput. Appl. Math. 20 (1987) 53–65.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sweeper.audio import datasets
from sweeper.audio.clips import Clips
from sweeper.audio.datasets import DatasetError
from sweeper.audio.fold_data import cut
from sweeper.audio.store import prepare
from sweeper.report.cells import count
from sweeper.results.evidence import mark_of
from sweeper.results.leaderboard import Leaderboard

if TYPE_CHECKING:
    from sweeper.training.weights import Classifier, Loader

MAX_CLIPS = 5000  # the paper's four test sets have at most 1746; from here on, t-SNE takes minutes
DIMENSIONS = 50  # that t-SNE is given
BLOCK = 4096  # dimensions at a time; raw audio at 22 kHz has 88,200
BATCH = 32
LIGHT_GFLOP = 1000.0  # seconds on one core
STAGES = {"raw": "raw audio", "detail": "detail branch", "semantic": "semantic branch", "fused": "fused"}


class Unavailable(Exception):
    """Why there is no map; a sentence."""


@dataclass(frozen=True)
class FeatureMap:
    """One stage.

    Attributes:
        title: the stage in words.
        points: t-SNE's map, `[clips, 2]`.
        silhouette: of the features, Euclidean.
        silhouette_map: of the map.
    """

    title: str
    points: NDArray[np.float64]
    silhouette: float
    silhouette_map: float


@dataclass(frozen=True)
class FeatureMaps:
    """The maps of one trained network's test clips; `targets` `[clips]`, `trial` its leaderboard row, in part.

    `tested`: how many clips there are in its test set, of which these are all or `MAX_CLIPS`.
    """

    maps: tuple[FeatureMap, ...]
    targets: NDArray[np.int64]
    trial: Mapping[str, Any]
    tested: int

    @property
    def clips(self) -> str:
        """Which clips, in words."""
        if self.tested == len(self.targets):
            return f"all {count(self.tested, 'test clip')}"
        return f"{len(self.targets)} of {count(self.tested, 'test clip')}, evenly spaced"


KnownMaps = dict[tuple[str, str], FeatureMaps]


def feature_maps(
    board: Leaderboard,
    data: Path | None,
    known: KnownMaps | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    code: "Loader | None" = None,
) -> FeatureMaps:
    """Recompute features from the reference arm's weights, for the test clips of its first block.

    Args:
        board: the study.
        data: the data set's folder; None where none is needed, or nobody said.
        known: maps that were made before, by trial, where a page is made again and again; the new one is put there.
        meanwhile: called before the part that takes seconds or minutes, if it comes to that.
        code: finds the network's class where that is the study's own, as for `weights.load`.

    Raises:
        Unavailable: no weights, or the data isn't at hand or not the same.
    """
    trial = _trial(board)
    known, key = {} if known is None else known, (trial["trial_id"], trial["evidence"])
    if key not in known:
        known[key] = _recomputed(board, trial, data, meanwhile, code)
    return known[key]


def _recomputed(
    board: Leaderboard,
    trial: Mapping[str, Any],
    data: Path | None,
    meanwhile: Callable[[], None],
    code: "Loader | None",
) -> FeatureMaps:
    whose = f"the weights of {trial['arm']}, fold {trial['fold']}, seed {trial['replicate']}"
    if not board.study.evidence.has_weights(trial):
        raise Unavailable(f"{whose} are gone")
    test = _test_clips(trial, board.plan, data)
    meanwhile()
    # Here, as torch takes seconds to import, and where the clips are not at hand nothing needs it.
    from sweeper.training import weights

    with board.study.evidence.weights(trial) as path:
        if not path.exists():
            raise Unavailable(f"{whose} are gone")
        try:
            classifier = weights.load(path, code=code)
        except weights.WeightsError as error:
            raise Unavailable(str(error)) from None
    if classifier.trial_id != trial["trial_id"] or classifier.mark not in ("", mark_of(trial)):
        raise Unavailable(f"{whose} are those of another trial or attempt")
    features, targets, tested = _features(classifier, test, trial["gflops_per_clip"])
    classes = len(np.unique(targets))
    if classes < 2 or len(targets) < 4 or classes == len(targets):
        raise Unavailable(f"{len(targets)} test clips of {classes} classes are too few")
    with threadpool_limits(1):
        maps = [_map(STAGES.get(name, name), features.pop(name), targets) for name in list(features)]
    return FeatureMaps(tuple(maps), targets, trial, tested)


def _trial(board: Leaderboard) -> Mapping[str, Any]:
    """The reference's first complete block that still has weights, else its first."""
    trials = board.trials
    wanted = pc.and_(pc.equal(trials["arm"], board.arms.reference), pc.equal(trials["kind"], "ablation"))
    wanted = pc.and_(wanted, pc.equal(trials["status"], "complete"))
    columns = ["trial_id", "arm", "dataset", "split", "fold", "replicate", "sample_rate"]
    columns += ["data_digest", "gflops_per_clip", "evidence"]
    rows: list[dict[str, Any]] = trials.filter(wanted).select(columns).to_pylist()
    if not rows:
        raise Unavailable(f"no trial of {board.arms.reference} is complete")
    return next((row for row in rows if board.study.evidence.has_weights(row)), rows[0])


def _test_clips(trial: Mapping[str, Any], plan: Mapping[str, Any], data: Path | None) -> Iterable[Clips]:
    try:
        dataset = datasets.load(trial["dataset"], data)
        skips = "skip" if plan.get("skipped") else "fail"
        store = prepare(dataset, trial["sample_rate"], bad_clips=skips, progress=False)  # type: ignore[arg-type]
        if store.digest != trial["data_digest"]:
            raise Unavailable("the data at hand are not those of the study (another digest)")
        return cut(store, trial["split"], [trial["fold"]])[trial["fold"]].scored
    except DatasetError as error:
        raise Unavailable(f"{error}") from None


def _features(
    classifier: "Classifier", test: Iterable[Clips], gflops_per_clip: float | None
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64], int]:
    """By stage `[clips, dimensions]`, their targets, and how many clips there are; `MAX_CLIPS` at most, evenly."""
    import torch

    from sweeper.training.batches import Batches

    parts = list(test)
    targets = np.concatenate([part.targets for part in parts])
    chosen = np.unique(np.linspace(0, len(targets) - 1, min(MAX_CLIPS, len(targets))).astype(np.int64))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier.network.to(device)
    batches = Batches(parts, round(classifier.sample_rate * classifier.seconds), device)
    raw = np.empty((len(chosen), batches.length), np.float32)  # large: not to be put together from parts
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in STAGES}
    light = gflops_per_clip is not None and gflops_per_clip * len(chosen) < LIGHT_GFLOP
    # On a busy machine, many threads with little to do wait for each other far longer than they work.
    with threadpool_limits(1 if light else None), torch.no_grad():
        for start in range(0, len(chosen), BATCH):
            rows = chosen[start : start + BATCH]
            waveforms = batches.gather(rows, np.full(len(rows), 0.5)).waveforms
            raw[start : start + BATCH] = waveforms.squeeze(1).cpu().numpy()
            answer = classifier.answer(waveforms)
            for name, values in (answer.features or {"logits": answer.logits}).items():  # of a network without stages
                found.setdefault(name, []).append(values.flatten(1).float().cpu().numpy())
    stages = {name: np.concatenate(values) for name, values in found.items() if values}
    return {"raw": raw} | stages, targets[chosen], len(targets)


def _map(title: str, values: NDArray[np.float32], targets: NDArray[np.int64]) -> FeatureMap:
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_score

    products = _inner_products(values)
    squares = np.diag(products)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0))
    np.fill_diagonal(distances, 0)
    # van der Maaten and Hinton's own first step, without which raw audio's distances would take most of the time.
    reduced = _principal_components(products, min(DIMENSIONS, *values.shape))
    perplexity = min(30.0, (len(values) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced).astype(np.float64)
    apart = float(silhouette_score(distances, targets, metric="precomputed"))
    return FeatureMap(title, points, apart, float(silhouette_score(points, targets)))


def _inner_products(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """`[clips, clips]` of the centred features, from which both distances and components follow.

    It needs a block of dimensions at a time, in double precision, and no second copy of a test set of raw audio.
    """
    products = np.zeros((len(values), len(values)))
    for start in range(0, values.shape[1], BLOCK):
        block = values[:, start : start + BLOCK].astype(np.float64)
        block -= block.mean(axis=0)
        products += block @ block.T
    return products


def _principal_components(products: NDArray[np.float64], amount: int) -> NDArray[np.float64]:
    """`[clips, amount]`, as a PCA gives them but for their signs."""
    from scipy.linalg import eigh

    clips = len(products)
    variance, components = eigh(products, subset_by_index=[clips - amount, clips - 1])
    scaled: NDArray[np.float64] = components[:, ::-1] * np.sqrt(np.maximum(variance[::-1], 0))
    return scaled
