"""docs/howto/add-an-event.md is complete: its steps are applied to a copy of the repository, whose tests then pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import ROOT, copied, edit, follow

PAGE = ROOT / "docs" / "howto" / "add-an-event.md"


def test_following_the_page_gives_a_repository_whose_tests_pass(tmp_path: Path) -> None:
    copy = copied(tmp_path / "copy")
    assert follow(copy, PAGE) == []
    for page in ("reference/events.md", "reference/signals.md"):
        assert "conference.rename" in (copy / "docs" / page).read_text()


def test_an_anchor_must_be_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("a = 1\n    a = 1\nb = 2\n")
    with pytest.raises(AssertionError, match="is on 2 lines"):
        edit(tmp_path, "In `x.py`, after `a = 1`, add:", "c = 3\n")
    with pytest.raises(AssertionError, match="no step"):
        edit(tmp_path, "Somewhere in `x.py`:", "c = 3\n")
    edit(tmp_path, "In `x.py`, replace `b = 2` with:", "b = 3\n")
    edit(tmp_path, "In `x.py`, before the last line, add:", "d = 4\n")
    assert (tmp_path / "x.py").read_text() == "a = 1\n    a = 1\nd = 4\nb = 3\n"
