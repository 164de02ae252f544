"""Random numbers of several seeds at once, the same as each seed draws alone.

Under `torch.func.vmap` a layer draws for all networks in one operation. Here every such operation is taken apart, below
vmap, where its tensors are `[networks, ...]`: each network draws its row from a generator that its own seed set.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sweeper.model.modes import UncompiledMode
from sweeper.model.stacked import drawing, is_stacked, on_stacks

# What operations that may draw call the share of what they drop: at 0 they draw nothing.
_SHARES = ("dropout", "dropout_p")
# In these vmap forgets how its input lies in memory, which is the order that their draws are in.
_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout)


class CannotFuse(RuntimeError):
    """These trials can't train as one program; `reason` says why, in a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return CannotFuse, (self.reason,)


class SeedsDraws(UncompiledMode):  # type: ignore[no-untyped-call]
    """While it is entered, each network draws what it would alone after `torch.manual_seed` of its seed.

    The states of torch's global generators are others afterwards.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self._generators.append(torch.cuda.default_generators[index])
        self._states: list[list[Tensor]] = []  # of each network, those of the generators
        self._alone = False  # a network draws by itself

    def start(self, seeds: Sequence[int]) -> None:
        """Begin a step: one seed for each network."""
        self._states = [[generator.manual_seed(seed).get_state() for generator in self._generators] for seed in seeds]

    @contextlib.contextmanager
    def where_told(self) -> Iterator[None]:
        """To be entered where a network of this package says that it draws (`sweeper.model.stacked.drawing`)."""
        token = drawing.set(self)
        try:
            yield
        finally:
            drawing.reset(token)

    @contextlib.contextmanager
    def everywhere(self) -> Iterator[None]:
        """Entered, and torch's functions for dropout are taken apart above vmap."""
        with self, _Dropouts(self):
            yield

    def one_by_one(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """For `on_stacks`: the function of each network by itself, where it draws its own numbers."""

        def on_each(*stacks: Tensor) -> Any:
            self._alone = True
            try:
                # `unbind`, whose gradient is one stack; that of indexing is a tensor of zeros for each network.
                rows = zip(*(stack.unbind() for stack in stacks), strict=True)
                return _together([self._of(network, function, *row) for network, row in enumerate(rows)])
            finally:
                self._alone = False

        return on_each

    def _of(self, network: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for generator, state in zip(self._generators, self._states[network], strict=True):
            generator.set_state(state)
        result = function(*args, **kwargs)
        self._states[network] = [generator.get_state() for generator in self._generators]
        return result

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        if self._alone or not _draws(func, args, keywords):
            return func(*args, **keywords)
        networks = range(len(self._states))
        results = [self._of(n, func, *_row(func, args, n, len(networks)), **keywords) for n in networks]
        return args[0] if func._schema.is_mutable else _together(results)


class _Dropouts(TorchFunctionMode):
    def __init__(self, draws: SeedsDraws) -> None:
        super().__init__()
        self._draws = draws

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        if func not in _DROPOUTS or not args or not is_stacked(args[0]):
            return func(*args, **keywords)
        x, *others = args
        return on_stacks(self._draws.one_by_one(lambda row: func(row, *others, **keywords)), x)


def _draws(func: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    if torch.Tag.nondeterministic_seeded not in func.tags or keywords.get("generator") is not None:
        return False
    declared = {argument.name: argument.default_value for argument in func._schema.arguments}
    given = declared | dict(zip(declared, args, strict=False)) | keywords
    return all(given.get(share) != 0 for share in _SHARES)


def _together(results: Sequence[Any]) -> Any:
    if isinstance(results[0], Tensor):
        return torch.stack(list(results))
    return tuple(torch.stack(column) for column in zip(*results, strict=True))


def _row(func: Any, args: tuple[Any, ...], network: int, networks: int) -> list[Any]:
    """The arguments of one network: its row of each tensor, and of a shape all but the first axis.

    Raises:
        CannotFuse: an argument has no axis of networks, or none has one.
    """
    row: list[Any] = []
    shapes = []
    for value in args:
        if isinstance(value, Tensor):
            shapes.append(value.shape[:1])
            row.append(value[network] if value.ndim else value)
        elif isinstance(value, list):  # the shape of what is drawn
            shapes.append(torch.Size(value[:1]))
            row.append(value[1:])
        else:
            row.append(value)
    if set(shapes) != {torch.Size([networks])}:
        raise CannotFuse(f"it draws by {func}, which does not tell one seed's numbers from another's")
    return row
