"""What a room does for each kind of outcome, found as the registries find their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from medkit.core.registry import import_modules

T = TypeVar("T")


class ByOutcome(Generic[T]):
    """Functions or classes by kind of outcome: ``yes_no``, ``number``, ``mask`` …

    A new kind is a new file in ``package``; every module there that does not start with ``_`` is
    imported at the first look-up. Of a kind that nobody registered nothing is known: ``get`` gives
    None, which the caller shows as "not estimable". It is never taken for another kind.

    Args:
        what: What is looked up, for messages: ``calibration``.
        package: Where its files lie: ``medkit.evaluation.outcomes``.

    Example:
        >>> curves = ByOutcome("curve", "medkit.workflows.compare")
        >>> @curves.register("yes_no")
        ... def receiver_operating_characteristic(outcome): ...
    """

    def __init__(self, what: str, package: str):
        self.what, self.package = what, package
        self._found: dict[str, T] = {}
        self._discovered = False

    def register(self, *kinds: str) -> Callable[[T], T]:
        """Decorate what serves these kinds of outcome.

        Raises:
            ValueError: A kind has one already.
        """

        def decorate(value: T) -> T:
            for kind in kinds:
                before = self._found.get(kind)
                if before is not None and _origin(before) != _origin(value):
                    raise ValueError(f"{self.what} of '{kind}' is registered twice: {before}")
                self._found[kind] = value
            return value

        return decorate

    def get(self, kind: str) -> T | None:
        """What serves a kind of outcome; None where nothing does."""
        self._discover()
        return self._found.get(kind)

    def kinds(self) -> list[str]:
        """The kinds that something serves, sorted."""
        self._discover()
        return sorted(self._found)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True  # first: the modules may look something up while they load
        import_modules(self.package)


def _origin(value: object) -> tuple[str | None, str | None]:
    return (getattr(value, "__module__", None), getattr(value, "__qualname__", None))
