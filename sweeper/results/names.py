"""Names that become paths, and what they may be.

A study may come from anybody: whatever it says of itself is checked here before a path is made of it.
"""

import re
import unicodedata

from sweeper.results.tables import StudyError

TRIAL = re.compile(r"[0-9a-f]{16}")  # see `TrialSpec.trial_id`
ATTEMPT = re.compile(r"[0-9a-f]{16}-[0-9a-f]{12}")  # its trial, and the attempt's own name
MARK = re.compile(r"[0-9a-f]{12}")  # see `evidence.py`
PACK = re.compile(r"pack-[0-9a-f]{16}\.parquet")

LONGEST = 150  # bytes of a study's name: a file system takes 255, and loggers put more before and after
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)  # on Windows


def check_study_name(name: str) -> None:
    """Refuse what is no name of a folder, on this system or another that the study may be copied to.

    Raises:
        StudyError: the name, and why.
    """
    if reason := _objection(name):
        shown = name if len(name) <= 60 else name[:60] + "…"
        raise StudyError(f"--study {shown!r} {reason}; use letters, digits and, within, . _ - as in urbansound-long.2")


def _objection(name: str) -> str:
    """What is wrong with a study's name, in words; '' if nothing is."""
    bad = sorted({c for c in name if c in '/\\:*?"<>|[]' or (unicodedata.category(c)[0] in "CZ" and c != " ")})
    objections = (
        (not name.strip(), "is empty"),
        (not name.strip("."), "can't name a folder"),
        (bool(bad), f"has {', '.join(map(ascii, bad))}"),
        (len(name.encode("utf-8", "replace")) > LONGEST, f"is longer than {LONGEST} bytes"),
        (name[:1] in tuple(".-~ "), f"begins with {name[:1]!r}"),
        (name[-1:] in tuple(". "), f"ends with {name[-1:]!r}"),
        (_RESERVED.fullmatch(name) is not None, "is a device's name on Windows"),
    )
    return next((words for wrong, words in objections if wrong), "")


def trial_name(trial_id: object) -> str:
    """A trial's id, to be made a path of.

    Raises:
        StudyError: it is none.
    """
    if not isinstance(trial_id, str) or not TRIAL.fullmatch(trial_id):
        raise StudyError(f"{str(trial_id)[:60]!r} is no trial's id, which has 16 hexadecimal digits")
    return trial_id
