"""What comes from others is held to rules, and the package speaks to no other machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.network import ALONE, ConnectedElsewhere, only_here

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DENY = tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8"))
AUDIT = ROOT / ".ci" / "audit.py"

# Stands in for a tool: says what is in the file of its name and arguments, and ends with its code.
TOOL = """#!/usr/bin/env python3
import json, pathlib, sys
says = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text())
for words, (code, out, err) in says.items():
    if words in " ".join(sys.argv[1:]):
        print(out)
        print(err, file=sys.stderr)
        sys.exit(code)
sys.exit(f"not expected: {sys.argv}")
"""
NO_DATA = json.dumps({"dependencies": [{"name": "torch", "skip_reason": "not found"}]})
NO_HOLE = json.dumps({"dependencies": [{"name": "torch", "version": "2.10.0", "vulns": []}]})
HOLE = json.dumps(
    {"dependencies": [{"name": "torch", "version": "2.10.0", "vulns": [{"id": "CVE-1"}]}]}
)
HALF = json.dumps(
    {"dependencies": [*json.loads(NO_HOLE)["dependencies"], *json.loads(NO_DATA)["dependencies"]]}
)
GOOD = (0, "", "")


def audited(home: Path, monkeypatch, *, rules=GOOD, fetch=GOOD, rust=GOOD, python=(0, NO_HOLE, "")):
    """Run the audit with tools that say what they are told to; its exit code."""
    says = {
        "cargo-deny": {"check licenses": rules, "fetch": fetch, "check advisories": rust},
        "pip-audit": {"--no-deps": python},
    }
    for name, answers in says.items():
        tool = home / name
        tool.write_text(TOOL, encoding="utf-8")
        tool.chmod(0o755)
        tool.with_suffix(".json").write_text(json.dumps(answers), encoding="utf-8")
    monkeypatch.setenv("PATH", f"{home}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CARGO_HOME", str(home))
    return runpy.run_path(str(AUDIT))["main"]()


def test_an_audit_without_a_finding_says_what_was_checked(tmp_path, monkeypatch, capsys):
    assert audited(tmp_path, monkeypatch) == 0
    assert re.findall(r"^\w+", capsys.readouterr().out, re.MULTILINE) == ["checked"] * 3


def test_what_an_audit_cannot_reach_is_said_to_be_skipped(tmp_path, monkeypatch, capsys):
    away = (1, "", "could not resolve host")
    assert audited(tmp_path, monkeypatch, fetch=away, python=(1, "", "no host")) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in told] == ["checked", "skipped", "skipped"]
    assert "could not resolve host" in told[1]
    assert audited(tmp_path, monkeypatch, fetch=away, python=(0, NO_DATA, "")) == 0
    assert "no data of any package" in capsys.readouterr().out


def test_a_carried_copy_of_the_advisories_is_read_where_none_can_be_fetched(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "advisory-dbs" / "advisory-db-1").mkdir(parents=True)
    away, hole = (1, "", "no host"), (1, "", "RUSTSEC-1")
    assert audited(tmp_path, monkeypatch, fetch=away) == 0
    assert "by the copy in advisory-dbs" in capsys.readouterr().out
    assert audited(tmp_path, monkeypatch, fetch=away, rust=hole) == 1
    assert "RUSTSEC-1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tool", "says", "told"),
    [
        ("rules", (1, "", "GPL-3.0"), "GPL-3.0"),
        ("rust", (1, "", "RUSTSEC-1"), "RUSTSEC-1"),
        ("python", (1, HOLE, ""), "torch 2.10.0: CVE-1"),
        ("python", (0, HALF, ""), "torch: not found"),  # strictly: no data is a finding
    ],
)
def test_a_finding_fails_the_audit(tmp_path, monkeypatch, capsys, tool, says, told):
    assert audited(tmp_path, monkeypatch, **{tool: says}) == 1
    assert told in capsys.readouterr().out


def test_an_audit_without_its_tools_says_how_to_install_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runpy.run_path(str(AUDIT))["main"]() == 2
    told = capsys.readouterr()
    assert "cargo install --locked cargo-deny" in told.err
    assert told.out == ""


def test_the_audit_is_run_again_and_again():
    hosted = (ROOT / ".github" / "workflows" / "audit.yml").read_text(encoding="utf-8")
    assert "make audit" in hosted
    assert "schedule:" in hosted
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\n\tpython .ci/audit.py\n" in makefile


# Of the name by which a lock file calls the index that cargo asks by default.
DEFAULT_INDEX = "c19b7c6f923b580ac259164a89f2577984ad5ab09ee9d583b888f934adbbe8d0"


def test_only_the_registry_is_a_source_and_one_version_of_each_is_built():
    assert DENY["sources"] == {"unknown-registry": "deny", "unknown-git": "deny"}
    assert DENY["bans"]["multiple-versions"] == "deny"
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    (source,) = {package["source"] for package in locked if "source" in package}
    assert source.startswith("registry+")
    assert hashlib.sha256(source.encode()).hexdigest() == DEFAULT_INDEX


def test_a_source_archive_holds_what_a_build_reads():
    """The build of a wheel from an archive ended at its missing list of what is compiled in."""
    settings = PROJECT["tool"]["maturin"]
    carried = {one["path"] for one in settings["include"] if "sdist" in one["format"]}
    assert {*settings["sbom"]["include"], *PROJECT["project"]["license-files"]} <= carried


def of(family: socket.AddressFamily) -> SimpleNamespace:
    """What stands for a socket."""
    return SimpleNamespace(family=family)


@pytest.mark.parametrize(
    "event",
    [
        ("socket.connect", (of(socket.AF_INET), ("192.0.2.1", 80))),
        ("socket.connect", (of(socket.AF_INET6), ("2001:db8::1", 80, 0, 0))),
        ("socket.sendto", (of(socket.AF_INET), ("192.0.2.1", 53))),
        ("socket.getaddrinfo", ("example.org", 443, 0, 0, 0)),
        ("socket.gethostbyname", (b"example.org",)),
    ],
)
def test_the_hook_sees_another_machine(event):
    with pytest.raises(ConnectedElsewhere, match=event[0]):
        only_here(*event)


def test_the_hook_lets_this_machine_through():
    only_here("socket.connect", (of(socket.AF_INET), ("127.0.0.1", 80)))
    only_here("socket.connect", (of(socket.AF_INET6), ("::1", 80, 0, 0)))
    only_here("socket.connect", (of(socket.AF_UNIX), "/run/any"))
    only_here("socket.getaddrinfo", (None, 0, 0, 0, 0))
    only_here("open", ("file", "r", 0))


def test_these_tests_speak_to_no_other_machine():
    with pytest.raises(ConnectedElsewhere):
        socket.create_connection(("192.0.2.1", 9), timeout=0.1)


@pytest.mark.slow
def test_import_and_training_speak_to_no_other_machine(tmp_path):
    code = (
        f"{ALONE}import dllm2rec; [getattr(dllm2rec, name) for name in dllm2rec.__all__];"
        "from dllm2rec.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["train", "--out", "run", "--student", "gru4rec", "--set", "train.max_epochs=1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
