"""Hold what is compiled in and what is installed to known advisories, and licences to their list.

    python .ci/audit.py

cargo-deny reads Cargo.lock and deny.toml; pip-audit what is installed beside the package, strictly:
what it finds no data of is a finding too. Advisories are fetched. Where they cannot be, cargo-deny
takes the copy that an earlier audit left in `$CARGO_HOME/advisory-dbs`, which can be carried there;
without any, that part is skipped and said to be. Exit code 0 is no finding, 1 a finding, 2 that a
tool is missing.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {
    "cargo-deny": "cargo install --locked cargo-deny",
    "pip-audit": "python -m pip install pip-audit",
}
CHECKED, SKIPPED, FOUND = "checked", "skipped", "FOUND"


def ran(*words: str) -> subprocess.CompletedProcess[str]:
    """What a command said, whatever it ended with."""
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def outcome(done: subprocess.CompletedProcess[str], subject: str) -> tuple[str, str]:
    """What a command found: nothing, or what it said."""
    return (FOUND, done.stdout + done.stderr) if done.returncode else (CHECKED, subject)


def last_line(text: str) -> str:
    """The last thing that a failed command said."""
    return [line.strip() for line in text.splitlines() if line.strip()][-1]


def rules() -> tuple[str, str]:
    """Licences, bans and sources of what Cargo.lock names."""
    done = ran("cargo-deny", "--locked", "check", "licenses", "bans", "sources")
    return outcome(done, "licences, bans and sources of Cargo.lock")


def rust_advisories() -> tuple[str, str]:
    """Advisories of what Cargo.lock names."""
    fetched = ran("cargo-deny", "--locked", "fetch", "db")
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    if fetched.returncode == 0:
        return outcome(
            ran("cargo-deny", "--locked", "check", "advisories"), "advisories of Cargo.lock"
        )
    if any((home / "advisory-dbs").glob("advisory-db-*")):
        done = ran("cargo-deny", "--locked", "--offline", "check", "advisories")
        return outcome(done, "advisories of Cargo.lock, by the copy in advisory-dbs")
    return SKIPPED, f"advisories of Cargo.lock: {last_line(fetched.stderr)}"


def python_advisories() -> tuple[str, str]:
    """Advisories of what is installed here, but for the package itself."""
    installed = {
        # An index knows torch 2.10.0, not the build 2.10.0+cpu.
        f"{one.name}=={one.version.partition('+')[0]}"
        for one in importlib.metadata.distributions()
        if one.name != "dllm2rec"
    }
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder) / "installed.txt"
        names.write_text("\n".join(sorted(installed)), encoding="utf-8")
        done = ran("pip-audit", "--format=json", "--no-deps", "--disable-pip", "-r", str(names))
    try:
        looked_at = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return SKIPPED, f"advisories of what is installed: {last_line(done.stderr)}"
    unknown = [f"{one['name']}: {one['skip_reason']}" for one in looked_at if "skip_reason" in one]
    if len(unknown) == len(looked_at):
        return SKIPPED, f"advisories of what is installed: no data of any package; {unknown[0]}"
    bad = [
        f"{one['name']} {one['version']}: {', '.join(hole['id'] for hole in one['vulns'])}"
        for one in looked_at
        if one.get("vulns")
    ]
    if bad or unknown:
        return FOUND, "\n".join(["advisories of what is installed", *bad, *unknown])
    return CHECKED, f"advisories of {len(looked_at)} packages that are installed"


def main() -> int:
    """Audit, and say what was checked and what was not."""
    missing = [f"{name}: {how}" for name, how in TOOLS.items() if shutil.which(name) is None]
    if missing:
        print("not installed", *missing, sep="\n  ", file=sys.stderr)
        return 2
    found = [audit() for audit in (rules, rust_advisories, python_advisories)]
    for kind, text in found:
        print(f"{kind}: {text}")
    return int(any(kind == FOUND for kind, _ in found))


if __name__ == "__main__":
    sys.exit(main())
