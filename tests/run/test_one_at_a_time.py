"""Calls in several threads take turns."""

from __future__ import annotations

import threading

from transferlab.run.one_at_a_time import one_at_a_time


def test_threads_take_turns_and_a_call_within_a_call_goes_through():
    inside, seen, meet = [], [], threading.Barrier(3, timeout=60)

    @one_at_a_time
    def inner(name: int) -> int:
        inside.append(name)
        seen.append(len(inside))
        inside.pop()
        return name

    @one_at_a_time
    def outer(name: int) -> int:
        inside.append(name)
        seen.append(len(inside))
        result = inner(name)
        inside.pop()
        return result

    def work(name: int) -> None:
        meet.wait()
        for _ in range(50):
            assert outer(name) == name

    threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 2] * 150
