"""Detection of network file systems."""

import os
from pathlib import Path

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "9p"}
_MOUNTS = Path("/proc/self/mountinfo")


def is_local(path: Path) -> bool:
    """Return whether a file is on a disk of this machine, True where the system does not list its mounts.

    FUSE counts as a network, because SSHFS and mounts of object stores use FUSE.
    """
    # macOS has no such list. A wrong answer costs speed only on a network disk that fails.
    if not _MOUNTS.exists():
        return True
    # The device number finds the mount of a file behind links and bind mounts too.
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        # Optional fields stand before the hyphen, in any number.
        mount, _, kind = line.partition(" - ")
        if mount.split(" ")[2] == number:
            return not _is_network(kind.split(" ")[0])
    return True


def _is_network(kind: str) -> bool:
    """Tell by a file system's name.

    >>> _is_network("nfs4"), _is_network("fuse.sshfs"), _is_network("ext4")
    (True, True, False)
    """
    return kind in _NETWORK or kind.startswith("fuse")
