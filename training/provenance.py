"""Where a figure comes from: commit, command, machine and day; no folder of any machine."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

_FOLDERS = re.compile(r"(?<![\w.…])/(?:[^/\s'\"\]]+/)+")


def origin() -> dict[str, str]:
    """By which command, where and on which day this process measures."""
    return {"command": command_line(), "machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}


def git_commit() -> str:
    """The commit of the working tree, "-dirty" appended when it was changed, "unknown" outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def command_line() -> str:
    """The command this process was started with, as a user would type it."""
    program = Path(sys.argv[0])
    return command_of(f"{program.parent.name}.{program.stem}", *sys.argv[1:])


def command_of(module: str, *arguments: str) -> str:
    """The command that runs a module, without the folders of this machine."""
    return without_folders(shlex.join(["python", "-m", module, *arguments]))


def without_folders(text: str) -> str:
    """The text with absolute folders shortened to what they end with: where a machine keeps things means nothing."""
    return _FOLDERS.sub("…/", text)


def machine() -> str:
    """The machine in words: cores and processor model, no name of its own."""
    return f"{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}"


def processor() -> str:
    """The model of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else None
    return named[1] if named else platform.processor() or platform.machine()
