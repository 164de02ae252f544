"""Hosts for `ray up` on one machine: each a set of Linux namespaces with an sshd, on a network of their own.

A host has its own network address, process table, /tmp, home and /dev/shm, so that `ray stop` there sees only what runs
there, and can lose its power. They share the rest of the disk, thereby Python and its packages, and the folders in
`shared`. The commands of a user run on a further host without such walls but on the same network, the laptop.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

PROGRAMS = ("ip", "unshare", "sshd", "ssh", "ssh-keygen", "rsync")
LAPTOP = "172.31.255.254"  # hosts lie in 172.31.0.0/16, as in EC2's default network
HOME = pwd.getpwnam("root").pw_dir  # of whom everything runs on the hosts
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

BOOT = """
set -e
hostname {name}
mount --make-rprivate /
{binds}
mount --bind {disk}/hosts /etc/hosts
mount --bind {disk}/passwd /etc/passwd
mount --rbind {disk}/root {home}
mount -t tmpfs -o size=2g tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir /run/sshd
cp {disk}/sshd_config {disk}/hostkey /run/sshd/
mount --rbind {disk}/tmp /tmp
exec /usr/sbin/sshd -D -e -f /run/sshd/sshd_config
"""
SSHD = """Port 22
HostKey /run/sshd/hostkey
AuthorizedKeysFile %h/.ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
MaxStartups 100
MaxSessions 100
PidFile none
Subsystem sftp internal-sftp
"""


def missing() -> str:
    """What this machine lacks for such hosts; empty where it lacks nothing."""
    if os.geteuid() != 0:
        return "needs root: it makes network namespaces"
    lacking = [program for program in PROGRAMS if not shutil.which(program, path=PATH)]
    if lacking:
        return f"needs {', '.join(lacking)} (Debian: iproute2, util-linux, openssh-server, openssh-client, rsync)"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], check=False, capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"can't make a network namespace: {tried.stderr.strip()}"


class Network:
    """A network of hosts, and the laptop on it, for the block of a `with`."""

    def __init__(self, folder: Path, shared: Iterable[Path | str]) -> None:
        """`folder` holds the hosts' disks; `shared` are folders that they all see under the same path."""
        self.folder = folder
        self.shared = [str(path) for path in shared if str(path).startswith(("/tmp/", f"{HOME}/"))]
        self.name = f"sw{os.getpid() % 100_000}"  # a network interface's name has 15 letters at most
        self.key = folder / "key"
        self._hosts: dict[str, subprocess.Popen[bytes]] = {}
        self.address: dict[str, str] = {}

    def __enter__(self) -> "Network":
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self._ip(f"netns add {self.name}")
        self._ip(f"-n {self.name} link set lo up")
        self._ip(f"-n {self.name} link add bridge type bridge")
        self._ip(f"-n {self.name} addr add {LAPTOP}/16 dev bridge")
        self._ip(f"-n {self.name} link set bridge up")
        return self

    def __exit__(self, *_error: object) -> None:
        for host in list(self._hosts):
            self.kill(host)
        self._ip(f"netns del {self.name}")

    def boot(self, host: str, address: str, *, public: str = "", key: str = "", bashrc: str = "") -> None:
        """Switch on a host at an address of 172.31.0.0/16.

        Args:
            host: its name, at most 8 letters.
            address: of its only interface.
            public: a second address, which only the laptop and the hosts need to reach.
            key: a public ssh key that may log in, beside the network's own.
            bashrc: what the image has in ~/.bashrc.
        """
        disk, space = self.folder / host, f"{self.name}-{host}"
        for part in ("tmp", "root/.ssh"):
            (disk / part).mkdir(parents=True)
        self.address[host] = address
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", disk / "hostkey"], check=True)
        (disk / "root/.ssh/authorized_keys").write_text(self.key.with_suffix(".pub").read_text() + key)
        (disk / "root/.bashrc").write_text(bashrc)
        # Its own name stands for its address: gloo listens where that leads.
        (disk / "hosts").write_text(f"127.0.0.1 localhost\n{address} {host}\n")
        # Cloud images log in as ubuntu: here another name of root.
        (disk / "passwd").write_text(Path("/etc/passwd").read_text() + f"ubuntu:x:0:0::{HOME}:/bin/bash\n")
        (disk / "sshd_config").write_text(SSHD)
        binds = "\n".join(f"mkdir -p {disk}{path}; mount --rbind {path} {disk}{path}" for path in self.shared)
        self._ip(f"netns add {space}")
        self._ip(f"-n {self.name} link add {host} type veth peer name eth0 netns {space}")
        self._ip(f"-n {self.name} link set {host} master bridge up")
        self._ip(f"-n {space} link set lo up")
        self._ip(f"-n {space} addr add {address}/16 dev eth0")
        self._ip(f"-n {space} link set eth0 up")
        self._ip(f"-n {space} route add default via {LAPTOP}")
        if public:
            self._ip(f"-n {space} addr add {public}/32 dev lo")
            self._ip(f"-n {self.name} route add {public}/32 via {address}")
        walls = "unshare --mount --pid --uts --ipc --fork --mount-proc --kill-child bash -c"
        self._hosts[host] = subprocess.Popen(
            ["ip", "netns", "exec", space, *walls.split(), BOOT.format(name=host, disk=disk, binds=binds, home=HOME)],
            stdin=subprocess.DEVNULL,
            stdout=(disk / "sshd.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={"PATH": PATH, "HOME": HOME, "LANG": "C.UTF-8"},
        )
        deadline = time.monotonic() + 20
        while self.ssh(host, "true").returncode:
            assert time.monotonic() < deadline, (disk / "sshd.log").read_text()
            time.sleep(0.1)

    def kill(self, host: str) -> None:
        """Cut a host's power: its processes are gone without a word, its address answers no more."""
        process = self._hosts.pop(host)
        self._ip(f"-n {self.name} link del {host}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:  # the host's first process: the kernel then kills all in its process table
            os.kill(int(child), signal.SIGKILL)
        process.wait()
        self._ip(f"netns del {self.name}-{host}")

    def on_laptop(self, *command: str | Path) -> list[str]:
        """The command as a command of this machine that runs on the laptop."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def ssh(self, host: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host."""
        options = "-o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        ssh = ["ssh", "-i", self.key, *options.split(), "-o", "ConnectTimeout=3", f"root@{self.address[host]}", command]
        return subprocess.run(self.on_laptop(*ssh), check=False, capture_output=True, text=True, timeout=300)

    def received(self, host: str) -> int:
        """Bytes that a host has received since it was switched on."""
        return int(self.ssh(host, "awk '/eth0/ {print $2}' /proc/net/dev").stdout)

    def _ip(self, arguments: str) -> None:
        subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)
