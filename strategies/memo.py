"""Where algorithms keep what they derive from a history or a trial table. It never changes what they answer."""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class Memo(WeakKeyDictionary[Any, T]):
    """What an algorithm remembers of each history or table. It is neither copied nor pickled along with it."""

    def __reduce__(self) -> tuple[type[Memo[T]], tuple[()]]:
        return Memo, ()

    def __deepcopy__(self, memo: object) -> Memo[T]:
        return Memo()
