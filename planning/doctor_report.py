"""Report of ``fla doctor`` for an issue: system, memory, disk and checks, without names of users or hosts."""

import getpass
import os
import platform
import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from .doctor import Check

_CPU_INFO = Path("/proc/cpuinfo")


def machine_report(checks: Sequence[Check], *, folder: Path) -> str:
    """Return a block of text about this machine.

    Args:
        checks: results of :func:`.doctor.examine`.
        folder: folder of the user's work, whose disk is named by its space alone.
    """
    gib, disk = 2**30, shutil.disk_usage(folder)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    lines = [
        f"fla {__version__} on {platform.system()} {platform.release()}, {platform.machine()}",
        f"processor: {_processor()}, {os.cpu_count()} cores",
        f"memory: {memory / gib:.1f} GiB",
        f"disk: {disk.free / gib:.0f} of {disk.total / gib:.0f} GiB free",
        *(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.found}" for check in checks),
    ]
    # A fence, so that an issue shows the lines as they are.
    return "\n".join(["```", *(_anonymous(line, folder) for line in lines), "```"])


def _processor() -> str:
    # Python knows only the architecture on Linux.
    if _CPU_INFO.exists():
        found = re.search(r"(?m)^model name\s*:\s*(.+)$", _CPU_INFO.read_text(errors="replace"))
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _anonymous(text: str, folder: Path) -> str:
    """Replace the folder, the home folder, the user and the host by words."""
    places = {Path.home(): "HOME", Path.home().resolve(): "HOME", folder: "FOLDER"}
    # The longest first: a folder in the home folder would otherwise keep half of its path.
    for place, word in sorted(places.items(), key=lambda item: -len(str(item[0]))):
        text = text.replace(str(place), word) if place != Path("/") else text
    for name, word in ((_user(), "USER"), (socket.gethostname(), "HOST")):
        # Whole words alone: a user named "a" must not change every a.
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text) if name else text
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a number without a name, as in a container
        return ""
