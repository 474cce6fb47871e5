"""The map in the package's docstring lists every module and package."""

from __future__ import annotations

import pkgutil
import re

import pipeline


def test_package_map_is_complete_and_current() -> None:
    assert pipeline.__doc__
    entries = re.findall(r"^ {4}(\w+(?:, \w+)*) {2,}\S", pipeline.__doc__, re.MULTILINE)
    listed = [name for names in entries for name in names.split(", ")]
    actual = [module.name for module in pkgutil.iter_modules(pipeline.__path__) if module.name != "__main__"]
    assert sorted(listed) == sorted(actual)
