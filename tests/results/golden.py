"""Small tables as this version writes them, kept for ever: run `python -m tests.results.golden` for a new version."""

import json
import shutil
import tempfile
from pathlib import Path

from sweeper.results import schema
from sweeper.results.leaderboard import derive
from sweeper.results.store import Study
from tests.results.rows import trial_row

FOLDER = Path(__file__).with_name("golden")


def main() -> None:
    others = (
        "dual-branch",
        "macem-a",
        "macem-b",
        "macem-a+b",
        "macem-b+garm",
        "macem-a+garm",
    )  # with these, a factorial
    gains = {"full": 0.0, "garm": 0.02} | dict.fromkeys(others, 0.01)
    rows = [
        trial_row(arm, fold, accuracy=0.4 + 0.05 * fold + gain) for arm, gain in gains.items() for fold in (1, 2, 3)
    ]
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        study = Study(Path(scratch) / "golden")
        study.create()
        for row in rows:
            study.commit(row, [], [])
        names = ("trial_id", "arm", "fold", "replicate")
        plan = {"trials": [{name: row[name] for name in names} for row in rows]}
        (study.folder / "plan.json").write_text(json.dumps(plan))
        derive(study)
        for name in ("leaderboard", "summary", "effects"):
            shutil.copy(study.folder / f"{name}.parquet", FOLDER / f"{name}-v{schema.SCHEMA_VERSION}.parquet")


if __name__ == "__main__":
    main()
