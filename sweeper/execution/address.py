"""Which Ray cluster a sweep is to run on, and whether it answers: found out without Ray, which would wait for minutes.

What answers at an address is asked for its cluster's id, as Ray asks first of all. The answer, or the refusal, tells
Ray's control service (GCS) from anything else, and whether it takes the token that Ray would send.
"""

import contextlib
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from sweeper.plan import PlanError
from sweeper.results.redaction import redact

KNOCK_SECONDS = 2.0  # until a connection stands
ANSWER_SECONDS = 10.0  # then, until a busy head has answered
FIRST_QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"
HERE = "leave out --address and unset RAY_ADDRESS to run on this machine"
SUBMIT = "ray job submit --address http://HOST:8265 -- python -m sweeper run …"


@dataclass(frozen=True)
class Token:
    """What Ray sends to a cluster, '' for nothing, and where it found that."""

    value: str
    place: str


def find_cluster(address: str | None) -> str | None:
    """The address of the running cluster that a sweep joins, in Ray's form; None: start a Ray on this machine instead.

    Args:
        address: `host:port`, `auto` (the cluster that `ray start` began on this machine) or `local`; None:
            `$RAY_ADDRESS` where it is set, else `local`. Ray prefers `$RAY_ADDRESS` to `auto`, and so does this.

    Raises:
        PlanError: the address is malformed; nothing answers there, or something other than Ray; the cluster refuses our
            token; or this machine is not one of its nodes.
    """
    address, named = (address or "").strip(), os.environ.get("RAY_ADDRESS", "").strip()
    given = redact(f"--address {address}", address)
    if named and address in {"", "auto"}:
        address, given = named, redact(f"RAY_ADDRESS={named}", named)
    if address in {"", "local"}:
        return None
    if address != "auto":
        _check_form(address, given)
        _knock(address, given, find_token(automatic=False))
    elif (record := _record()).is_file():
        _knock_recorded(record, given)
    if not _is_node():
        raise PlanError(
            f"{given}: this machine is not a node of that cluster; start the sweep on one, or from here by `{SUBMIT}`, "
            f"or {HERE}"
        )
    return address


def find_token(*, automatic: bool) -> Token:
    """The token that Ray would send, looked for where Ray looks.

    Args:
        automatic: whether Ray found the cluster by itself; it then sends a token even if `RAY_AUTH_MODE` is not set.

    Raises:
        PlanError: `RAY_AUTH_MODE` or `RAY_AUTH_TOKEN_PATH` asks for a token, and none can be read.
    """
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode is None and not automatic:
        return Token("", "RAY_AUTH_MODE is not set")
    if mode is not None and mode.lower() != "token":
        return Token("", f"RAY_AUTH_MODE={mode}")
    if value := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return Token(value, "RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named or os.path.expanduser("~/.ray/auth_token"))  # noqa: PTH111  # of a user without a home too
    value = _first_line(path)
    if named and not value:
        raise PlanError(f"RAY_AUTH_TOKEN_PATH={named}: no token can be read there; correct or unset it")
    if mode is not None and not value:
        raise PlanError(
            f"RAY_AUTH_MODE={mode}, and no token in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or {path}; put the cluster's "
            "there, or unset RAY_AUTH_MODE"
        )
    return Token(value, str(path))


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").partition("\n")[0].strip()
    except (OSError, ValueError):
        return ""


def _check_form(address: str, given: str) -> None:
    scheme, _, rest = address.rpartition("://")
    host, _, port = rest.rpartition(":")
    if scheme in {"http", "https"}:
        submit = SUBMIT.replace("http://HOST:8265", redact(address, address))
        raise PlanError(
            f"{given}: that is a dashboard, which takes jobs; `{submit}`, or on a node of the cluster write HOST:6379, "
            f"or {HERE}"
        )
    if scheme == "ray":
        raise PlanError(
            f"{given}: that is for Ray Client, through which no sweep can run; write HOST:6379 on a node of the "
            f"cluster, or `{SUBMIT}` elsewhere, or {HERE}"
        )
    if rest.count(":") > 1 and not (host.startswith("[") and host.endswith("]")):
        raise PlanError(f"{given}: an IPv6 address is written in brackets; for example [fd00::5]:6379")
    if scheme or not host or not port.isdecimal():
        raise PlanError(f"{given}: expected host:port, such as 10.0.0.5:6379, or 'auto' or 'local'")
    if not 1 <= int(port) <= 65535:
        raise PlanError(f"{given}: there is no port {port}; `ray start` takes 6379 unless told")


def _record() -> Path:
    """The file in which `ray start` writes down its cluster's address."""
    default = os.environ.get("TMPDIR", "/tmp") if sys.platform == "linux" else "/tmp"
    return Path(os.environ.get("RAY_TMPDIR", default), "ray", "ray_current_cluster")


def _knock_recorded(record: Path, given: str) -> None:
    found = f"{given}: {record} names {_first_line(record)}"
    try:
        _check_form(_first_line(record), found)
        _knock(_first_line(record), found, find_token(automatic=True))
    except PlanError as error:
        raise PlanError(f"{error} (`ray stop`, or removing that file, forgets a cluster that is gone)") from None


def asks_for_token(address: str) -> bool:
    """Whether the cluster at `host:port` refuses who sends no token."""
    return _ask(address, "").code == "UNAUTHENTICATED"


def _knock(address: str, given: str, token: Token) -> None:
    """Raises PlanError unless a GCS that takes the token answers at `host:port`; `given`: by whom it was named."""
    answer = _ask(address, token.value)
    if answer.code == "OK":
        return
    if answer.code == "UNAUTHENTICATED":
        sent = f"not the one in {token.place}" if token.value else f"and none is sent, as {token.place}"
        raise PlanError(
            f"{given}: the cluster asks for its token, {sent}; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a "
            "file with the token (on the cluster's head, `ray get-auth-token` prints it)"
        )
    if answer.code == "UNAVAILABLE" and "HTTP/2" not in answer.details:
        reason = answer.details.rpartition(": ")[2].rstrip("]")
    elif answer.code == "DEADLINE_EXCEEDED":
        reason = answer.details
    else:
        found = f"{given}: what listens at {address} is not Ray's GCS"
        raise PlanError(f"{found}; write its HOST:PORT (6379 unless another was chosen), or {HERE}")
    raise PlanError(f"{given}: no Ray cluster answers at {address} ({reason}); start one, or {HERE}")


@dataclass(frozen=True)
class Answer:
    """How a question was answered: the name of a gRPC status, and what was said beside it."""

    code: str
    details: str


def _ask(address: str, token: str) -> Answer:
    """Ask what listens at `host:port` for its cluster's id."""
    import grpc  # a tenth of a second, which sweeps without a cluster save

    connected = threading.Event()
    header = (("authorization", f"Bearer {token}"),) if token else ()
    options = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
    with grpc.insecure_channel(address, options) as channel:
        channel.subscribe(lambda state: connected.set() if state is grpc.ChannelConnectivity.READY else None)
        answer = channel.unary_unary(FIRST_QUESTION).future(b"", timeout=ANSWER_SECONDS, metadata=header)
        with contextlib.suppress(grpc.FutureTimeoutError):
            answer.exception(timeout=KNOCK_SECONDS)
        if not answer.done() and not connected.is_set():
            return Answer("DEADLINE_EXCEEDED", f"nothing in {KNOCK_SECONDS:.0f} s")
        code = answer.code()  # waits
        late = code is grpc.StatusCode.DEADLINE_EXCEEDED
        return Answer(code.name, f"nothing in {ANSWER_SECONDS:.0f} s" if late else str(answer.details()))


def _is_node() -> bool:
    """Whether a node's process runs here, which Ray would look for for a minute; True where this can't be told."""
    if not Path("/proc/self/cmdline").exists():
        return True
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if command.read_bytes().partition(b"\0")[0].endswith(b"raylet"):
                return True
    return False
