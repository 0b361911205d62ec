"""One implementation for both worlds: methods are written once as coroutines, and `both` makes them awaited by the
caller in an AsyncSession, run to their end in a Session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

Self_ = TypeVar("Self_")
P = ParamSpec("P")
R = TypeVar("R")
Driver = Callable[[Coroutine[Any, Any, Any]], Any]


class Blocking:
    """What runs its coroutines by `_drive`."""

    _drive: Driver


class Awaited:
    """What gives its coroutines to the caller."""


class both(Generic[P, R]):
    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: Blocking, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: Awaited, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        bound = self._function.__get__(instance, owner)
        if not isinstance(instance, Blocking):
            return bound

        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return instance._drive(bound(*args, **kwargs))  # type: ignore[no-any-return]

        return run


class streamed(Generic[P, R]):
    """The same for what gives one item after the other: an asynchronous iterator, or an ordinary one."""

    def __init__(self, function: Callable[Concatenate[Any, P], AsyncGenerator[R, None]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: Blocking, owner: type) -> Callable[P, Generator[R, None, None]]: ...
    @overload
    def __get__(self, instance: Awaited, owner: type) -> Callable[P, AsyncGenerator[R, None]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        bound = self._function.__get__(instance, owner)
        if not isinstance(instance, Blocking):
            return bound

        def run(*args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
            items = bound(*args, **kwargs)
            try:
                while (item := instance._drive(_next(items))) is not _END:
                    yield item
            finally:
                instance._drive(items.aclose())

        return run


_END = object()


async def _next(items: AsyncGenerator[R, None]) -> R | object:
    return await anext(items, _END)


class Loop:
    """An event loop in a thread of its own, from `start` to `close`; any thread may `run` coroutines on it."""

    def start(self) -> None:
        self._ended = asyncio.Event()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._main, args=(ready,), name="orchestrator session", daemon=True)
        self._thread.start()
        ready.wait()

    def _main(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            ready.set()
            runner.run(self._wait())

    async def _wait(self) -> None:
        await self._ended.wait()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Its result; interrupted, it is cancelled."""
        if self._loop.is_closed():
            coroutine.close()
            raise RuntimeError("the session is closed: a Session, and what it gave, is used inside `with`")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Whatever still runs is cancelled; the thread has ended when this returns."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
