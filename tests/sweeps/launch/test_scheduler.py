"""Which run starts next."""

import threading
from pathlib import Path

from sweeps.launch.scheduler import MemoryScheduler, QueuedRun, chains


def task(name, seconds=0.0, memory=0.0, flops=0.0):
    return QueuedRun(Path(name), seconds=seconds, memory_bytes=memory, flops=flops)


def drain(queue, device=None):
    names = []
    while (taken := queue.take(device)) is not None:
        names.append(taken.run_dir.name)
        queue.release(taken, device)
    return names


def test_longest_first_and_unknown_durations_by_flops():
    assert drain(MemoryScheduler([task("a", 1), task("b", 3), task("c", 2)], {})) == ["b", "c", "a"]
    assert drain(MemoryScheduler([task("a", flops=1), task("b", flops=9)], {})) == ["b", "a"]


def test_a_run_that_does_not_fit_waits_while_a_smaller_one_starts():
    queue = MemoryScheduler(
        [task("big", 9, 80), task("large", 8, 60), task("small", 1, 10)], {None: 100}
    )
    first = queue.take(None)
    second = queue.take(None)
    assert (first.run_dir.name, second.run_dir.name) == ("big", "small")
    waiting = threading.Thread(target=lambda: taken.append(queue.take(None)))
    taken = []
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    queue.release(first, None)
    waiting.join(5)
    assert taken[0].run_dir.name == "large"


def test_a_run_larger_than_the_device_starts_alone_rather_than_never():
    queue = MemoryScheduler([task("huge", 9, 500)], {None: 100})
    assert queue.take(None).run_dir.name == "huge"


def test_devices_have_limits_of_their_own():
    queue = MemoryScheduler([task("a", 2, 80), task("b", 1, 80)], {"0": 100, "1": 100})
    assert queue.take("0").run_dir.name == "a"
    assert queue.take("1").run_dir.name == "b"


def test_closing_hands_out_nothing_more():
    queue = MemoryScheduler([task("a"), task("b")], {})
    queue.take(None)
    queue.close()
    assert queue.take(None) is None


def branch(name, n_tokens, seconds=1.0, trunk="t"):
    return QueuedRun(Path(name), seconds=seconds, trunk=trunk, n_tokens=n_tokens)


def test_runs_of_one_trunk_come_one_after_another_the_shortest_first():
    queue = MemoryScheduler(
        [branch("long", 4), branch("short", 1), branch("other", 9, trunk="u")], {}
    )
    first, second = queue.take(None), queue.take(None)
    assert {first.run_dir.name, second.run_dir.name} == {"short", "other"}
    waiting = threading.Thread(target=lambda: taken.append(queue.take(None)))
    taken = []
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    queue.release(first if first.trunk == "t" else second, None)
    waiting.join(5)
    assert taken[0].run_dir.name == "long"


def test_a_run_counts_with_those_that_wait_for_it():
    tasks = [task("alone", 5), branch("long", 4, seconds=4), branch("short", 1, seconds=2)]
    assert drain(MemoryScheduler(tasks, {})) == ["short", "alone", "long"]
    assert [len(chain) for chain in chains(tasks)] == [2, 1]
