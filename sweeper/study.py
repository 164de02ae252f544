"""What a study is, as plain data: a network, the arms that it is ablated into, and the recipes that train it.

No torch is imported here: plans are made without it. A study that comes with the project, `search_spaces/paper.py`, and
one in a user's own file are made of the same types, and nothing else in the project knows which is which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sweeper.augmentation_config import AugmentationConfig
from sweeper.factorial import combinations
from sweeper.field_types import PLAIN, check_name, is_number, is_plain, parts_of
from sweeper.space import Space
from sweeper.switches import switched
from sweeper.training_config import DistillationConfig, EMAConfig, TrainingConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "Arm",
    "AugmentationConfig",
    "DistillationConfig",
    "EMAConfig",
    "Network",
    "Output",
    "Protocol",
    "Recipe",
    "Study",
    "Table",
    "TrainingConfig",
    "factorial",
]

FILLED = ("classes", "sample_rate", "samples")
HEADS = "branch_heads"


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a network is made of: fields that decide what `build` returns. Derive a frozen dataclass from it.

    The plan fills in the fields here. A field's value is a number, a text, a flag, None or a tuple of these. A network
    that has a field `branch_heads: bool` is told by it whether self-distillation will train such heads.

    Attributes:
        classes: number of logits.
        sample_rate: of the waveform, in Hz.
        samples: of each clip.
    """

    classes: int = 0
    sample_rate: int = 0
    samples: int = 0

    def build(self) -> nn.Module:
        """The network: waveform `[batch, 1, samples]` to logits `[batch, classes]`, or to an `Output`.

        It draws its initial values with torch, as torch's own layers do; they are paired across arms by name.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method build() that returns a torch.nn.Module")

    def load(self, module: nn.Module) -> None:
        """Put pre-trained values into `module`, after its initial values were drawn; by default none."""

    def loss(self, output: Any, targets: Tensor) -> Tensor | None:
        """Loss of each clip, `[batch]`; None for the recipe's classification loss.

        Args:
            output: what the network returned.
            targets: label weights `[batch, classes]` in 0…1: one-hot, or the union of two clips' that were mixed.
        """
        return None

    def filled(self, classes: int, sample_rate: int, samples: int) -> Self:
        """The network for such clips.

        Raises:
            ValueError: it can't take them.
        """
        return replace(self, classes=classes, sample_rate=sample_rate, samples=samples)

    def decides(self) -> dict[str, Any]:
        """What of it decides a result, as JSON values: its kind and its fields."""
        return {"kind": kind(type(self))} | asdict(self)


def kind(network: type[Network]) -> str:
    """A class's name; with its module's where it comes from a package, and not from a study's file."""
    file = network.__module__.startswith(CODE)
    return network.__qualname__ if file else f"{network.__module__}.{network.__qualname__}"


CODE = "sweeper_code_"  # modules of studies' files are called so, see `sweeper.study_file`


class Output(NamedTuple):
    """What a network returns that has more to say than its logits.

    Attributes:
        logits: ``[batch, classes]``.
        features: means over time, each ``[batch, channels]``, by name: ``"semantic"`` and ``"detail"`` for
            the branches that exist, ``"fused"`` for what two branches became (or for a network that has no
            branches).
        branch_logits: ``[batch, classes]`` by branch; empty unless there are branch heads.
    """

    logits: Tensor
    features: dict[str, Tensor]
    branch_logits: dict[str, Tensor]


@dataclass(frozen=True)
class Arm:
    """One variant: what it switches in the network, or in its training, and nothing else.

    Attributes:
        name: what tables and the command line call it.
        removes: in words, the one thing that it takes away.
        network: fields of the network, with their values in this arm.
        training: likewise of the training; fields of its parts by dotted names, such as `"ema.decay"`.
        published: accuracy that was published for it, as a fraction of 1: by data set, or one number for that of the
            study's `protocol`. It stands beside rows of its data set only.
    """

    name: str
    removes: str = ""
    network: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    published: float | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        check_name("arm", self.name)
        if not isinstance(self.removes, str):
            raise ValueError(
                f"arm {self.name!r}: removes={self.removes!r}: expected words; fields and values go into network=… or "
                "training=…"
            )
        self._check_published()
        for switches in ("network", "training"):
            if not isinstance(getattr(self, switches), Mapping):
                raise ValueError(
                    f"arm {self.name!r}: {switches}={getattr(self, switches)!r}: expected fields and values, as "
                    '{"norm": False}'
                )
            given = {name: _tuples(value) for name, value in getattr(self, switches).items()}
            object.__setattr__(self, switches, MappingProxyType(given))
        for name, value in self.network.items():
            if not is_plain(value):
                raise ValueError(f"arm {self.name!r} switches {name} to {value!r}: expected {PLAIN}")
        for name in self.network.keys() & {*FILLED, HEADS}:
            raise ValueError(f"arm {self.name!r} switches {name}, which the plan sets for all arms")

    def _check_published(self) -> None:
        if isinstance(self.published, Mapping):
            object.__setattr__(self, "published", MappingProxyType(dict(self.published)))
        values = self.published.values() if isinstance(self.published, Mapping) else (self.published,)
        for value in values:
            if value is not None and not (is_number(value) and 0 <= value <= 1):
                raise ValueError(f"arm {self.name!r}: published={value!r} must be a fraction of 1, as 0.868")

    @property
    def switches(self) -> dict[str, Any]:
        """All that it switches, by name; one that the network and the training both have comes as `training.name`."""
        clash = self.network.keys()
        training = {(f"training.{name}" if name in clash else name): value for name, value in self.training.items()}
        return dict(self.network) | training


@dataclass(frozen=True)
class Table:
    """Arms that are read side by side.

    Attributes:
        name: what the command line calls it.
        arms: names, in the order of the rows.
        title: printed above; by default the name.
        columns: headings by switch, for a column each; None: of all that its arms switch.
        against: name of another table: a report says where a difference here is larger than one there.
    """

    name: str
    arms: tuple[str, ...]
    title: str = ""
    columns: Mapping[str, str] | None = None
    against: str = ""

    def __post_init__(self) -> None:
        check_name("table", self.name)
        arms: Any = self.arms
        if isinstance(arms, str) or not arms:
            raise ValueError(f'table {self.name!r}: arms={arms!r}: expected names of arms, as ("full", "no-norm")')
        object.__setattr__(self, "arms", tuple(self.arms))
        if double := [arm for arm, count in Counter(self.arms).items() if count > 1]:
            raise ValueError(f"table {self.name!r} names {double[0]!r} twice")
        if self.columns is not None:
            object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How published values were measured. Rows are held against them only where they were measured likewise.

    Attributes:
        source: whose values they are, on what data: said beside them.
        dataset, split: as the command line calls them; an arm's value that names no data set is of this one.
        recipe: as the command line calls it; several where they are readings of the same words.
        clips: how many the data set has; by data set where values are of several.
        test_share: of the clips that were tested, 0…1.
        notes: what else a reader should know.
        citation: to be cited with the study.
        claims: statements of the source that do not hold: where, what it says, what was found.
    """

    source: str
    dataset: str
    split: str
    recipe: str | tuple[str, ...]
    clips: int | Mapping[str, int]
    test_share: float
    notes: tuple[str, ...] = ()
    citation: str = ""
    claims: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.clips, Mapping):
            object.__setattr__(self, "clips", dict(self.clips))
            if self.dataset not in self.clips:
                raise ValueError(f"protocol: clips={self.clips} does not say how many clips {self.dataset!r} has")


@dataclass(frozen=True)
class Recipe:
    """How the networks are trained, and the audio they hear: at `sample_rate` Hz, cut or zero-padded to `seconds` s.

    `network`: of another size than the study's, for this recipe.
    """

    name: str
    training: TrainingConfig = field(kw_only=True)
    sample_rate: int = field(kw_only=True)
    seconds: float = field(kw_only=True)
    network: Network | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_name("recipe", self.name)
        if not isinstance(self.training, TrainingConfig):
            raise ValueError(f"recipe {self.name!r}: training={self.training!r}: expected a TrainingConfig")
        if not isinstance(self.sample_rate, int) or not is_number(self.seconds):
            raise ValueError(
                f"recipe {self.name!r}: sample_rate={self.sample_rate!r}, seconds={self.seconds!r}: expected a whole "
                "number of Hz, and a number of seconds"
            )
        if self.sample_rate < 1 or not self.seconds > 0:
            raise ValueError(
                f"recipe {self.name!r}: {self.seconds:g} s at {self.sample_rate} Hz; both must be more than 0"
            )

    @property
    def length(self) -> int:
        """Clip length in samples."""
        return round(self.sample_rate * self.seconds)


@dataclass(frozen=True)
class Study:
    """A network, its arms and its recipes.

    Attributes:
        network: the network that arms are variants of.
        arms: its variants, in the order of the tables.
        recipes: the first one is the default.
        tables: which arms are read side by side; by default all, in one table.
        reference: the arm that all are compared with.
        space: for searches: `space(trial, training)` returns the training with values that the trial suggests. It may
            have a method `recipe_values(training)`: the values with which it returns `training` unchanged.
        protocol: how the arms' published values were measured.
        files: names of files beside the study's own that the network's `load` reads.

    Raises:
        ValueError: names are missing or double, or an arm switches what is not there.
    """

    network: Network
    arms: tuple[Arm, ...]
    recipes: tuple[Recipe, ...]
    tables: tuple[Table, ...] = ()
    reference: str = "full"
    space: Space | None = None
    protocol: Protocol | None = None
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, part in (("arms", Arm), ("recipes", Recipe), ("tables", Table), ("files", str)):
            object.__setattr__(self, name, parts_of(name, getattr(self, name), part))
        network: Any = self.network
        if not isinstance(network, Network) or not is_dataclass(network):
            what = f"the class {network.__name__}" if isinstance(network, type) else repr(network)
            raise ValueError(f"network={what}: expected an instance of a dataclass derived from Network, as Net()")
        if self.space is not None and not callable(self.space):
            raise ValueError(f"space={self.space!r}: expected a function space(trial, training)")
        parts_of("protocol", [self.protocol] if self.protocol is not None else [], Protocol)
        for what in ("arm", "recipe", "table"):
            names = [part.name for part in getattr(self, f"{what}s")]
            if double := sorted(name for name, count in Counter(names).items() if count > 1):
                raise ValueError(f"two {what}s are called {double[0]!r}")
        if not self.recipes:
            raise ValueError("recipes=(): a study needs one at least")
        self._check_names()
        for recipe in self.recipes:
            if recipe.network is not None and type(recipe.network) is not type(self.network):
                raise ValueError(
                    f"recipe {recipe.name!r}: its network is a {type(recipe.network).__name__}, the study's is a "
                    f"{type(self.network).__name__}"
                )

    def _check_names(self) -> None:
        names = self.by_name
        if self.reference not in names:
            raise ValueError(
                f"reference={self.reference!r} is no arm; the arms are: {', '.join(names) or 'none'}; name one of them"
            )
        for table in self.tables:
            if table.against and table.against not in {other.name for other in self.tables}:
                raise ValueError(f"table {table.name!r} is held against {table.against!r}, which is no table")
            if table.name == "all" or (table.name == "others" and len(self.all_tables) > len(self.tables)):
                raise ValueError(f"a table is called {table.name!r}, as one that there is anyway: give it another name")
            if unknown := [arm for arm in table.arms if arm not in names]:
                raise ValueError(f"table {table.name!r} names {unknown[0]!r}; the arms are: {', '.join(names)}")
            known = {switch for arm in self.arms for switch in arm.switches}
            if unknown := sorted((table.columns or {}).keys() - known):
                raise ValueError(f"table {table.name!r} has a column {unknown[0]!r}, which no arm switches")
        known = {f.name for f in fields(self.network)}
        own = type(self.network)
        bare = "" if "__dataclass_fields__" in vars(own) else f"; is @dataclass(…) missing above class {own.__name__}?"
        for arm in self.arms:
            if unknown := sorted(arm.network.keys() - known):
                raise ValueError(
                    f"arm {arm.name!r} switches {unknown[0]!r}, which is not a field of {own.__name__}; "
                    f"it has: {', '.join(sorted(known - {*FILLED, HEADS})) or 'none of its own'}{bare}"
                )
        self._check_twins()

    def _check_twins(self) -> None:
        """Two arms that switch the same would be one, trained twice and compared with itself."""
        seen: list[tuple[str, Any, Any]] = [(self.reference, {}, {})]
        for arm in self.arms:
            if arm.name == self.reference:
                continue
            for other, network, training in seen:
                if (arm.network, arm.training) == (network, training):
                    what = "switches nothing, as" if other == self.reference else "switches the same as"
                    raise ValueError(f"arm {arm.name!r} {what} {other!r}: leave one of them out")
            seen.append((arm.name, arm.network, arm.training))

    @property
    def by_name(self) -> dict[str, Arm]:
        """The arms by name."""
        return {arm.name: arm for arm in self.arms}

    @property
    def all_tables(self) -> tuple[Table, ...]:
        """The tables, and one for arms that are in none."""
        listed = {name for table in self.tables for name in table.arms}
        rest = tuple(name for name in self.by_name if name not in listed)
        if not rest:
            return self.tables
        return (*self.tables, Table("others" if self.tables else "arms", rest, "Other arms" if self.tables else "Arms"))

    def recipe_network(self, recipe: Recipe) -> Network:
        """The reference's network in this recipe; its clips are not filled in yet."""
        network = recipe.network or self.network
        return replace(network, **self.by_name[self.reference].network)

    def recipe_training(self, recipe: Recipe) -> TrainingConfig:
        """How this recipe trains the reference."""
        return switched(recipe.training, self.by_name[self.reference].training)


def factorial(
    network: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    training: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    fraction: float | str | None = None,
) -> tuple[Arm, ...]:
    """The arms of a factorial design: every combination of the switches' values, or a fraction of them.

    The first value of each switch is the reference's; the arm that has them all is called `full`, and the others by
    what differs. Which effects a fraction can't tell apart is said before it runs (`sweeper.factorial.aliases`).

        >>> arms = factorial(network={"attention": (True, False)}, training={"ema.decay": (0.995, 0.0)})
        >>> [arm.name for arm in arms]
        ['full', 'ema.decay=0.0', 'attention=False', 'attention=False,ema.decay=0.0']

    Args:
        network: the values of each switched field of the network.
        training: likewise of the training, by dotted names.
        fraction: of two values each, run only so many of the combinations: 1/2, 1/4, …; or generators as pyDOE3 takes
            them, such as "a b c abc".

    Raises:
        ValueError: a switch has fewer than two values, or the design can't be made.
    """
    switches = [("network", name, tuple(values)) for name, values in network.items()]
    switches += [("training", name, tuple(values)) for name, values in training.items()]
    arms = []
    for chosen in combinations({name: len(values) for _, name, values in switches}, fraction):
        given: dict[str, dict[str, Any]] = {"network": {}, "training": {}}
        changes = []
        for (part, name, values), level in zip(switches, chosen, strict=True):
            if level or not any(chosen):  # the reference says all of its values: they needn't be the network's own
                given[part][name] = values[level]
            if level:
                changes.append((name, values[0], values[level]))
        words = ",".join(f"{name}={value}" for name, _, value in changes)
        removes = ", ".join(f"{name} {old} → {new}" for name, old, new in changes)
        arms.append(Arm(words or "full", removes, network=given["network"], training=given["training"]))
    return tuple(arms)


def _tuples(value: Any) -> Any:
    """Lists as tuples: a config must be hashable, and equal to the same one read back."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
