"""The parts of a page that change, and the differences that a stream sends of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple


class Rows(NamedTuple):
    """The rows of a list, in their order: each the id of its element, and its HTML."""

    rows: tuple[tuple[str, str], ...]

    @property
    def html(self) -> str:
        """The rows as HTML."""
        return "".join(html for _, html in self.rows)


Fragments = Mapping[str, "str | Rows"]
"""Id of an element → its HTML, element included; or the rows in it."""


def element_id(prefix: str, text: str) -> str:
    """Return an id for the element of something that has any text as its name."""
    return prefix + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


class Sent:
    """What a viewer has of the parts of a page."""

    def __init__(self) -> None:
        self._html: dict[str, int] = {}
        self._orders: dict[str, tuple[str, ...]] = {}

    def difference(self, fragments: Fragments) -> dict[str, Any] | None:
        """Return what has to be sent, and note it as sent; None if nothing has changed.

        `html` has elements to replace by id; `lists` has, by the id of a list, the `rows` that are new or changed, and
        their `order` if it changed.
        """
        html: dict[str, str] = {}
        lists: dict[str, Any] = {}
        for name, fragment in fragments.items():
            if isinstance(fragment, Rows):
                if changed := self._list(name, fragment):
                    lists[name] = changed
            elif self._is_new(name, fragment):
                html[name] = fragment
        if not html and not lists:
            return None
        return {"html": html, "lists": lists}

    def _is_new(self, name: str, html: str) -> bool:
        digest = hash(html)
        if self._html.get(name) == digest:
            return False
        self._html[name] = digest
        return True

    def _list(self, name: str, fragment: Rows) -> dict[str, Any]:
        order = tuple(one for one, _ in fragment.rows)
        self._forget(set(self._orders.get(name, ())) - set(order))
        rows = {one: html for one, html in fragment.rows if self._is_new(one, html)}
        changed: dict[str, Any] = {"rows": rows} if rows else {}
        if order != self._orders.get(name):
            self._orders[name] = order
            changed["order"] = order
        return changed

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._html.pop(name, None)
