"""``environment.json``: which code and packages wrote a bundle, and which made the rows in it. No times, no places."""

from __future__ import annotations

import platform
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.audit.bundle.source import Source
from bench.core.files import configs_dir
from bench.results import records


def describe(read: Source) -> dict[str, Any]:
    """Describe where a bundle comes from."""
    every = [one.record for _, items in read.records for one in items]
    return {
        "bundle": {
            "code": _code(),
            "commit": records.git_state()[0],
            "packages": records.package_versions(),
            "system": platform.system(),
        },
        "rows": {
            "commits": sorted({record.git_sha for record in every if record.git_sha}),
            "fitted_by": sorted({record.fit_git_sha for record in every if record.fit_git_sha}),
            "packages": _versions([record.packages for record in every]),
            "processors": sorted({str(record.hardware.get("processor", "")) for record in every} - {""}),
        },
    }


def _versions(found: list[dict[str, str]]) -> dict[str, list[str]]:
    names = sorted({name for packages in found for name in packages})
    return {name: sorted({packages[name] for packages in found if name in packages}) for name in names}


def _code() -> str:
    """Hash of the package and its configuration, as they are now (64 hex digits)."""
    root = Path(__file__).resolve().parents[2]
    files = [*root.rglob("*.py"), *root.rglob("*.md"), *configs_dir().rglob("*.yaml")]
    digest = sha256()
    for path in sorted(files):
        base = root if path.is_relative_to(root) else configs_dir().parent
        digest.update(path.relative_to(base).as_posix().encode() + b"\0" + sha256(path.read_bytes()).digest())
    return digest.hexdigest()
