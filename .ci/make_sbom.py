"""Write rust/sbom.cyclonedx.json: what of Cargo.lock is compiled into the extension.

maturin's own list names the folder that the package was built in and the time; this one is a
function of Cargo.lock, so that two builds of one commit hold the same bytes.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections import deque
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SBOM = ROOT / "rust" / "sbom.cyclonedx.json"
SHIPPED = "dllm2rec-py"


def bill_of_materials() -> dict[str, Any]:
    """The packages that the extension needs to run or to be built, on any platform."""
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--locked", "--format-version", "1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    packages = {package["id"]: package for package in metadata["packages"]}
    needs = {node["id"]: sorted(_needed(node)) for node in metadata["resolve"]["nodes"]}
    (root,) = (key for key, package in packages.items() if package["name"] == SHIPPED)
    reached, waiting = {root}, deque([root])
    while waiting:
        new = [key for key in needs[waiting.popleft()] if key not in reached]
        reached.update(new)
        waiting.extend(new)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    checksums = {
        (package["name"], package["version"]): package.get("checksum")
        for package in lock["package"]
    }
    ordered = sorted(reached, key=lambda key: _reference(packages[key]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": _component(packages[root], None)},
        "components": [
            _component(packages[key], checksums[packages[key]["name"], packages[key]["version"]])
            for key in ordered
            if key != root
        ],
        "dependencies": [
            {
                "ref": _reference(packages[key]),
                "dependsOn": [_reference(packages[other]) for other in needs[key]],
            }
            for key in ordered
        ],
    }


def _needed(node: dict[str, Any]) -> set[str]:
    return {
        dependency["pkg"]
        for dependency in node["deps"]
        if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
    }


def _reference(package: dict[str, Any]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def _component(package: dict[str, Any], checksum: str | None) -> dict[str, Any]:
    component = {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
        "purl": _reference(package),
    }
    if checksum is not None:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return component


def text() -> str:
    """The file's text."""
    return json.dumps(bill_of_materials(), indent=1) + "\n"


if __name__ == "__main__":
    SBOM.write_text(text(), encoding="utf-8")
