"""The conda recipe asks for what the package asks for."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
"""Packages that have another name in conda."""


def split(requirement):
    name, bound = re.fullmatch(r"([\w-]+)\s*(\S*)", requirement).groups()
    return NAMES.get(name, name), bound


def test_the_recipe_follows_the_package():
    recipe = yaml.safe_load((ROOT / "conda" / "meta.yaml").read_text())
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    assert recipe["package"] == {"name": project["name"], "version": project["version"]}
    wanted = {("python", project["requires-python"]), *map(split, project["dependencies"])}
    assert {split(line) for line in recipe["requirements"]["run"]} == wanted
    host = {split(line) for line in recipe["requirements"]["host"]}
    assert {split(line) for line in settings["build-system"]["requires"]} <= host
    commands = {f"{name} = {target}" for name, target in project["scripts"].items()}
    assert set(recipe["build"]["entry_points"]) == commands
    assert recipe["about"]["license"] == project["license"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()
