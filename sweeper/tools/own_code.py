"""The code of a study's own network, from a file that its user names: what weights need to be used again."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeper.study import Network
    from sweeper.training.weights import Loader, Needs


def own_code(file: Path) -> "Loader":
    """Loads a network's class from a study's file, which must be as it was when the weights were trained.

    What the study keeps of it is taken as it is, and that is said: an earlier version gave some files other digests.
    """

    def load(needs: "Needs") -> "type[Network]":
        from sweeper.study_file import load, network_class
        from sweeper.training.weights import WeightsError

        code = load(file).code
        network = network_class(code)
        kept = file.absolute().parent.name == needs.digest
        if network is not None and kept and code != needs.digest:
            print(f"note: {file} is taken for the code of the weights, as the name of its folder says", file=sys.stderr)
        elif network is None or code != needs.digest:
            raise WeightsError(
                f"{file} holds other code ({code or 'none of a network'}) than the weights were trained with "
                f"({needs.digest}); the study {needs.study} keeps that in its folder code/{needs.digest}"
            )
        return network

    return load
