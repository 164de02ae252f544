"""How much room clips will need, before they are decoded."""

import soundfile

from sweeper.audio.datasets import Dataset

LOOKED_AT = 16  # files
MORE = 1.25  # than these say, as others may be longer


def expected_bytes(dataset: Dataset, sample_rate: int) -> int | None:
    """About as many bytes as the data set's clips take at `sample_rate` (Hz), by the headers of a few files.

    None where they can't be read; why, decoding will say.
    """
    few = dataset.clips[:: max(1, len(dataset.clips) // LOOKED_AT)]
    try:
        seconds = sum(soundfile.info(str(clip.path)).duration for clip in few) / len(few)
    except (OSError, RuntimeError, ZeroDivisionError):  # the second is soundfile's own
        return None
    return int(MORE * 2 * sample_rate * seconds * len(dataset.clips))
