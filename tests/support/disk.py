"""What a power cut would leave: only what was synced, of files and of the names in folders.

Contents count as of the last fsync of the file, names as of the last fsync of their folder. Real
file systems often keep more; none has to.
"""

import os
import stat
from pathlib import Path

import pytest


class Disk:
    """Watches `os.fsync` from the moment it is made; what was there before is on disk."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, dict[str, tuple[int, bool]]] = {}
        for folder, _, files in os.walk(root):
            self._note_folder(Path(folder))
            for name in files:
                self._note_file(Path(folder, name))
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            sync(descriptor)
            self._note(Path(f"/proc/self/fd/{descriptor}").resolve())

        patch.setattr(os, "fsync", fsync)

    def left(self) -> dict[str, bytes]:
        """The files that a cut now would leave, by their path under the root.

        A file whose name is on disk and whose content never was is empty.
        """
        return dict(self._walk(self._root.stat().st_ino, ""))

    def _walk(self, folder: int, prefix: str) -> list[tuple[str, bytes]]:
        found = []
        for name, (node, is_folder) in self._folders.get(folder, {}).items():
            if is_folder:
                found += self._walk(node, f"{prefix}{name}/")
            else:
                found.append((prefix + name, self._files.get(node, b"")))
        return found

    def _note(self, path: Path) -> None:
        if stat.S_ISDIR(path.stat().st_mode):
            self._note_folder(path)
        else:
            self._note_file(path)

    def _note_folder(self, path: Path) -> None:
        self._folders[path.stat().st_ino] = {
            each.name: (each.stat(follow_symlinks=False).st_ino, each.is_dir())
            for each in path.iterdir()
        }

    def _note_file(self, path: Path) -> None:
        self._files[path.stat().st_ino] = path.read_bytes()
