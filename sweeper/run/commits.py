"""Commits of a user's repository, each in a checkout of its own (`git worktree`), which is gone afterwards.

The working tree itself is asked for as `.`: as its last commit where the study's files are those of it, else by a hash
of what they hold. Of the repository nothing changes but its list of worktrees; its hooks don't run.
"""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sweeper.audio.places import cache_folder
from sweeper.code_imports import OURS, absolute_imports, neighbours
from sweeper.definition import PlanError, Source
from sweeper.study_file import load

HERE = "."  # the working tree
_DIGITS = 10
_SECONDS = 120.0
_UNSET = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


@dataclass(frozen=True)
class Commit:
    """A commit that was asked for.

    Attributes:
        asked: as it was.
        name: ten digits of its hash, or of a working tree with changes `dirty-` and those of its files' contents.
        subject: first line of its message.
        sha: its hash; of a dirty tree, that of the commit beneath.
    """

    asked: str
    name: str
    subject: str
    sha: str

    @property
    def label(self) -> str:
        """What the user called it, and what it says of itself."""
        return f"{self.asked}: {self.subject[:60]}"


@contextlib.contextmanager
def sources(file: Path, asked: Sequence[str]) -> Iterator[list[tuple[Commit, Source]]]:
    """Each commit with the study that its copy of a file defines, for as long as these copies are there.

    Args:
        file: the study's, in the working tree.
        asked: names of commits, as git knows them, or `HERE`.

    Raises:
        PlanError: no repository, no such commit, or one without the file or with a broken one; before anything else.
    """
    repository = _Repository(file)
    commits = [repository.commit(name) for name in asked]
    _check_apart([commit for commit in commits if commit.asked != HERE])
    for commit in commits:
        if commit.asked != HERE:
            repository.check_file(commit)
    with contextlib.ExitStack() as stack:
        found: list[tuple[Commit, Source]] = []
        for commit in commits:
            root = repository.top if commit.asked == HERE else stack.enter_context(repository.checkout(commit))
            source = repository.load(commit, root)
            found.append((repository.as_it_is(commit, source) if commit.asked == HERE else commit, source))
        _check_apart([commit for commit, _ in found])
        yield found


def _check_apart(commits: Sequence[Commit]) -> None:
    names: dict[str, str] = {}
    for commit in commits:
        if commit.name in names:
            raise PlanError(
                f"--code: {names[commit.name]} and {commit.asked} are the same commit ({commit.name}); name it once"
            )
        names[commit.name] = commit.asked


class _Repository:
    """The repository that holds a study's file."""

    def __init__(self, file: Path) -> None:
        if file.suffix != ".py":
            raise PlanError(
                f"--code compares commits of a study's file, and {file} comes with the package, whose code is no "
                "trial's own; write the network in a file of a repository of yours, as the README's shortest study is"
            )
        if not file.is_file():
            raise PlanError(f"{file} {'is a folder' if file.is_dir() else 'does not exist'}; expected a study's file")
        self.file = file
        place = file.resolve()
        found = self._git("rev-parse", "--show-toplevel", at=place.parent)
        if found is None:
            raise PlanError(f"{file} lies in no git repository, whose commits --code compares; git init makes one")
        self.top = Path(found).resolve()
        self.inside = place.relative_to(self.top).as_posix()

    def commit(self, asked: str) -> Commit:
        """Raises PlanError where there is none of that name."""
        name = "HEAD" if asked == HERE else asked
        sha = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if not sha:
            raise PlanError(f"--code {asked}: {self.top} has no commit of that name; see git log, or git fetch")
        return Commit(asked, sha[:_DIGITS], self._git("log", "-1", "--format=%s", sha) or "", sha)

    def check_file(self, commit: Commit) -> None:
        """Raises PlanError where the commit lacks the study's file."""
        if self._git("cat-file", "-e", f"{commit.sha}:{self.inside}") is None:
            raise PlanError(
                f"--code {commit.asked}: {self.inside} is not in commit {commit.name}; name a commit that has it"
            )

    @contextlib.contextmanager
    def checkout(self, commit: Commit) -> Iterator[Path]:
        """A commit's files, in a folder of ours."""
        place = self._place(commit)
        if self._git("worktree", "add", "--detach", "--quiet", "--force", str(place), commit.sha) is None:
            raise PlanError(f"--code {commit.asked}: can't check it out to {place}: {self.reason}")
        try:
            yield place
        finally:
            self._git("worktree", "remove", "--force", str(place))
            shutil.rmtree(place, ignore_errors=True)

    def _place(self, commit: Commit) -> Path:
        """A free place; what killed processes of this host left is cleared away."""
        folder, host = cache_folder().resolve() / "checkouts", socket.gethostname()
        folder.mkdir(parents=True, exist_ok=True)
        # The whole name must be as below: a cache may be shared, and `vm-1` is the beginning of another host's names.
        ours = re.compile(rf"{re.escape(host)}-([0-9]+)-[0-9a-f]{{{_DIGITS}}}")
        for old in folder.iterdir() if Path("/proc/self").exists() else ():
            if (found := ours.fullmatch(old.name)) and not Path(f"/proc/{found[1]}").exists():
                shutil.rmtree(old, ignore_errors=True)
        self._git("worktree", "prune")
        return folder / f"{host}-{os.getpid()}-{commit.name}"

    def load(self, commit: Commit, root: Path) -> Source:
        """The study that the file defines there; raises PlanError, which names the commit."""
        path = root / self.inside
        try:
            source = load(path)
            self._check_imports(neighbours(path.parent, path.name), root)
        except PlanError as error:
            words = str(error).replace(f"{root}/", "")
            raise PlanError(words if commit.asked == HERE else f"--code {commit.asked}: {words}") from None
        return replace(source, argument=f"{self.file} at {commit.asked}")

    def as_it_is(self, commit: Commit, source: Source) -> Commit:
        """The working tree by what its files hold, unless that is what the commit beneath holds."""
        folder = (self.top / self.inside).parent
        names = [*neighbours(folder, Path(self.inside).name), *source.study.files]
        changed = self._git("status", "--porcelain", "--ignored", "--", *names, at=folder)
        if changed == "":
            return commit
        contents = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}
        digest = hashlib.sha256(repr(contents).encode()).hexdigest()[:_DIGITS]
        files = ", ".join(sorted({line[3:].strip() for line in (changed or "").splitlines()})) or self.inside
        subject = f"uncommitted changes of {files}, on {commit.name}"
        return replace(commit, name=f"dirty-{digest}", subject=subject)

    def _check_imports(self, found: Mapping[str, bytes], root: Path) -> None:
        """Refuse modules of the repository that are imported from elsewhere than beside the file: they are no commit's.

        Raises:
            PlanError: naming the first one.
        """
        own = {Path(name).parts[0].removesuffix(".py") for name in found} | {OURS}
        for module in sorted({parts[0] for data in found.values() for parts in absolute_imports(data)} - own):
            try:
                spec = importlib.util.find_spec(module)
            except (ImportError, ValueError):
                continue
            place = Path(spec.origin).resolve() if spec is not None and spec.has_location and spec.origin else None
            if place is None or not place.is_relative_to(self.top) or place.is_relative_to(root / ".git"):
                continue
            if self._git("ls-files", "--error-unmatch", "--", str(place)) is not None:
                raise PlanError(
                    f"{self.inside} imports {module} from {place}, which is installed from this repository's working "
                    "tree and so is the same for every commit; move it beside the study's file"
                )

    def _git(self, *words: str, at: Path | None = None) -> str | None:
        """What git says; None where it fails, and then `reason` says why."""
        self.reason = ""
        folder = at or self.top
        environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
        line = ["git", "-c", f"core.hooksPath={os.devnull}", "-C", str(folder), *words]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=_SECONDS, env=environment, check=False)
        except FileNotFoundError:
            raise PlanError("--code needs git, which is not installed here") from None
        except subprocess.TimeoutExpired:
            raise PlanError(f"--code: git {words[0]} took more than {_SECONDS:.0f} s in {folder}") from None
        if done.returncode:
            self.reason = (done.stderr.strip().splitlines() or ["git failed"])[-1]
            return None
        return done.stdout.rstrip("\n")
