"""What is shipped, and what is installed: the wheel is the library alone, and every dependency is pinned. SPEC 3."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;\\]+)", re.MULTILINE)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel and a source distribution made of this checkout, without any network."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return directory


def wheel_names(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        return set(content.namelist())


def test_the_wheel_holds_the_library_and_nothing_else(built: Path) -> None:
    """Another distribution owns the name `workflows`: a wheel that shipped ours would overwrite its files."""
    assert {name.partition("/")[0] for name in wheel_names(built)} == {"dunning", "dunning-0.1.0.dist-info"}


def test_the_wheel_holds_everything_that_the_library_reads_at_run_time(built: Path) -> None:
    names = wheel_names(built)
    on_disk = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "dunning").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert "dunning/py.typed" in names
    assert on_disk <= names


def test_the_source_distribution_holds_the_service_folders(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        folders = {Path(name).parts[1] for name in content.getnames() if len(Path(name).parts) > 1}

    assert {"src", "workflows", "activities", "workers", "tests", "temporal-dev.yml", "Makefile"} <= folders
    assert not {".venv", ".dunning", ".mypy_cache", ".git"} & folders


def test_the_service_folders_are_importable_from_the_checkout_only(tmp_path: Path) -> None:
    probe = "import importlib.util as u; print(u.find_spec('dunning') is not None, u.find_spec('activities'))"
    ran = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert ran.stdout.strip() == "True None"


def test_no_console_script_leads_into_the_service_folders() -> None:
    assert PROJECT["project"]["scripts"] == {"dunning": "dunning.cli:main"}


def pins(file: str) -> dict[str, str]:
    return {found["name"]: found["version"] for found in PIN.finditer((ROOT / file).read_text())}


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_has_hashes_and_no_source_is_named(file: str) -> None:
    text = (ROOT / file).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())

    assert len(entries) == len(pins(file)) > 30
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert set(re.findall(r"--[a-z-]+", text)) == {"--hash"}


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        (
            "requirements-dev.lock",
            PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"],
        ),
    ],
)
def test_the_lock_satisfies_the_project(file: str, wanted: list[str]) -> None:
    pinned = pins(file)
    for text in wanted:
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in pinned, f"{file} lacks {name}"
        assert requirement.specifier.contains(pinned[name]), f"{file}: {name} {pinned[name]}"


def test_development_runs_on_the_versions_of_production() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_make_alone_lists_the_commands_of_the_product() -> None:
    """SPEC 17: these names are stable."""
    ran = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True)
    listed = {line.split()[1] for line in ran.stdout.splitlines() if line.strip().startswith("make ")}

    assert {"setup", "demo", "dev", "test", "check", "test-ui", "bench", "help"} <= listed


def test_nothing_committed_names_this_machine() -> None:
    """Paths of a developer's machine and hosts of registries make a checkout work in one place only."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    place = re.compile(re.escape(str(ROOT)) + r"\b|/home/[a-z]+/|files\.pythonhosted|pypi\.org/simple")
    found = [
        name
        for name in tracked.stdout.split("\0")
        if name
        and name != "tests/test_packaging.py"
        and (ROOT / name).is_file()
        and place.search((ROOT / name).read_bytes().decode("utf-8", errors="ignore"))
    ]

    assert not found
