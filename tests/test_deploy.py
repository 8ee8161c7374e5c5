"""The files for Docker: no secret in them, nothing published beyond this machine unless a variable says so."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
FILES = [DEPLOY / "compose.yaml", DEPLOY / "compose.s3.yaml"]


def services(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["services"]
    return found


def filled_in(text: str) -> str:
    """The text with every variable at its default, as where nothing is set."""
    while found := re.search(r"\$\{\w+:-([^${}]*)\}", text):
        text = text.replace(found[0], found[1])
    return text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_secrets_are_files(path: Path) -> None:
    declared = yaml.safe_load(path.read_text("utf-8"))["secrets"]
    assert {filled_in(value["file"]) for value in declared.values()} == {f"./secrets/{name}" for name in declared}
    for service in services(path).values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|CREDENTIAL|KEY", name):
                assert name.endswith("_FILE")
                assert re.fullmatch(r"/run/secrets/\w+", value)
                assert value.rpartition("/")[2] in service["secrets"]


@pytest.mark.parametrize("path", [*FILES, DEPLOY / "Dockerfile", DEPLOY / "Dockerfile.cpu"], ids=lambda path: path.name)
def test_no_address_holds_a_password(path: Path) -> None:
    assert not re.search(r"://[^/\s@]*:[^/\s@]*@", path.read_text("utf-8"))


def test_ports_are_this_machines_alone() -> None:
    published = [port for service in services(FILES[0]).values() for port in service.get("ports", [])]
    assert [filled_in(port) for port in published] == ["127.0.0.1:5000:5000"]
    assert "ports" not in services(FILES[0])["database"]


def test_the_server_is_called_by_the_names_of_its_published_port() -> None:
    words = [filled_in(word) for word in services(FILES[0])["server"]["command"]]
    assert "--allowed-hosts=localhost:5000,127.0.0.1:5000" in words


def test_every_service_tells_whether_it_is_well() -> None:
    assert all("healthcheck" in service for service in services(FILES[0]).values())


def test_no_secret_gets_into_the_image_or_the_repository() -> None:
    first, *allowed = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[0] != "#"]
    assert first == "*"
    assert not [line for line in allowed if line.startswith("!deploy")]
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_the_image_has_what_the_server_extra_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    recipe = (DEPLOY / "Dockerfile").read_text("utf-8")
    for requirement in project["optional-dependencies"]["server"]:
        assert f'"{requirement}"' in recipe


def test_the_image_has_what_the_project_asks_of_the_packages_in_it() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    by_name = {re.split(r"[^\w-]", requirement)[0]: requirement for requirement in asked}
    installed = re.findall(r'"([\w-]+)(?:\[\w+\])?([^"]*)"', (DEPLOY / "Dockerfile").read_text("utf-8"))
    both = [(name, limits) for name, limits in installed if name in by_name]
    assert len(both) > 5
    assert [f"{name}{limits}" for name, limits in both] == [by_name[name] for name, _ in both]


def test_the_image_for_processors_asks_for_torch_as_the_project_does_and_needs_no_privileges() -> None:
    recipe = (DEPLOY / "Dockerfile.cpu").read_text("utf-8")
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    for requirement in [words for words in asked if words.startswith("torch")]:
        assert f'"{requirement}"' in recipe
    instructions = [line.split()[0] for line in recipe.splitlines() if line and line[0].isupper()]
    assert instructions.index("USER") > max(n for n, name in enumerate(instructions) if name in ("RUN", "COPY"))
    assert not re.search(r"^USER (root|0)$|--mount|--security|--network", recipe, re.MULTILINE)


def _check(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_composed_is_what_the_specification_knows(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    check = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    _check(*check, str(path))
    misspelt = tmp_path / path.name
    misspelt.write_text(path.read_text("utf-8").replace("    environment:", "    environmant:", 1))
    with pytest.raises(AssertionError, match="environmant"):
        _check(*check, str(misspelt))


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cpu", "Dockerfile.ray"])
def test_recipes_of_images_are_whole(name: str) -> None:
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts")) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no hadolint here")
    _check(hadolint, "--no-color", str(DEPLOY / name))


def test_docker_understands_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no `docker compose` here")
    for name in ("database_password", "server_password", "s3_credentials"):
        (tmp_path / name).write_text("x")
    files = [word for path in FILES for word in ("--file", str(path))]
    done = subprocess.run(
        [docker, "compose", *files, "config", "--quiet"],
        env={"PATH": str(Path(docker).parent), "DN_SECRETS": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
