from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.text import VectorCache

DIM = 5


def keys_of(numbers: range | list[int]) -> list[bytes]:
    return [hashlib.sha256(str(n).encode()).digest() for n in numbers]


def vectors_of(numbers: range | list[int]) -> np.ndarray:
    return np.array([np.random.default_rng(n).normal(size=DIM) for n in numbers], np.float32).reshape(-1, DIM)


def fill(cache: VectorCache, numbers: range | list[int]) -> None:
    cache.put(keys_of(numbers), vectors_of(numbers))


def held(cache: VectorCache, numbers: range | list[int]) -> list[int]:
    """Which of `numbers` are cached; those must be right to the bit."""
    found = cache.get(keys_of(numbers))
    present = [n for n, key in zip(numbers, keys_of(numbers), strict=True) if key in found]
    for n, key in zip(present, keys_of(present), strict=True):
        np.testing.assert_array_equal(found[key], vectors_of([n])[0])
    return present


@pytest.mark.parametrize("memory_vectors", [0, 3, 1000])
def test_what_was_put_comes_back_to_the_bit_also_after_opening_again(tmp_path: Path, memory_vectors: int) -> None:
    cache = VectorCache(tmp_path, DIM, memory_vectors=memory_vectors)
    fill(cache, range(10))
    fill(cache, range(10, 14))
    for opened in (cache, VectorCache(tmp_path, DIM, memory_vectors=memory_vectors)):
        assert held(opened, range(20)) == list(range(14))
        assert len(opened) == 14


def test_an_open_reader_sees_what_others_add_once_it_looks_again(tmp_path: Path) -> None:
    reader, writer = VectorCache(tmp_path, DIM), VectorCache(tmp_path, DIM)
    fill(writer, range(3))
    fill(writer, range(3, 5))
    assert held(reader, range(5)) == []
    reader.refresh()
    assert held(reader, range(5)) == list(range(5))
    fill(writer, range(5, 7))
    reader.refresh()
    assert held(reader, range(9)) == list(range(7))


def test_without_a_folder_the_last_used_vectors_stay_in_memory() -> None:
    cache = VectorCache(None, DIM, memory_vectors=3)
    fill(cache, range(3))
    assert held(cache, [0]) == [0]
    fill(cache, [3])
    assert held(cache, range(4)) == [0, 2, 3]
    assert len(cache) == 3


def test_a_vector_of_the_cache_cannot_be_changed_by_its_reader(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, DIM)
    fill(cache, [1])
    (vector,) = cache.get(keys_of([1])).values()
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 0


def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found shape \(2, 3\), expected \(2, 5\)"):
        VectorCache(tmp_path, DIM).put(keys_of([1, 2]), np.zeros((2, 3), np.float32))


def test_the_vectors_file_is_a_plain_matrix(tmp_path: Path) -> None:
    fill(VectorCache(tmp_path, DIM), range(4))
    (path,) = tmp_path.glob(f"*.{DIM}.f32")
    np.testing.assert_array_equal(np.memmap(path, np.float32, "r").reshape(-1, DIM), vectors_of(range(4)))


@given(st.sampled_from(["keys", "f32"]), st.integers(0, 12 * 36), st.lists(st.integers(1, 4), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_loses_only_its_tail_and_is_filled_again(suffix: str, size: int, puts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, numbers = VectorCache(folder, DIM), range(sum(puts))
        start = 0
        for count in puts:
            fill(first, range(start, start + count))
            start += count
        (path,) = Path(folder).glob(f"*.{suffix}")
        size = min(size, path.stat().st_size)
        os.truncate(path, size)

        cut = VectorCache(folder, DIM, memory_vectors=0)
        whole = list(range(size // (36 if suffix == "keys" else 4 * DIM)))
        assert held(cut, numbers) == whole
        fill(cut, [n for n in numbers if n not in whole])
        for opened in (cut, VectorCache(folder, DIM, memory_vectors=0)):
            assert held(opened, numbers) == list(numbers)


def test_a_damaged_vector_is_a_counted_miss_and_its_replacement_wins(tmp_path: Path) -> None:
    fill(VectorCache(tmp_path, DIM), range(3))
    (path,) = tmp_path.glob("*.f32")
    raw = bytearray(path.read_bytes())
    raw[4 * DIM + 2] ^= 1
    path.write_bytes(raw)

    cache = VectorCache(tmp_path, DIM)
    assert held(cache, range(3)) == [0, 2]
    assert cache.damaged == 1
    fill(cache, [1])
    again = VectorCache(tmp_path, DIM)
    assert held(again, range(3)) == [0, 1, 2]
    assert again.damaged == 0


WRITER = """
import hashlib, sys
import numpy as np
from forewarn.text.cache import VectorCache
cache = VectorCache(sys.argv[1], 5)
for n in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.put([hashlib.sha256(str(n).encode()).digest()], np.random.default_rng(n).normal(size=(1, 5)))
    print(n, flush=True)
"""


def start_writer(folder: Path, first: int, last: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)})


def test_processes_may_write_at_the_same_time(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, 0, 300), start_writer(tmp_path, 200, 500)]
    assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0]
    assert held(VectorCache(tmp_path, DIM), range(600)) == list(range(500))


def test_a_killed_writer_leaves_everything_it_had_put_and_nothing_half(tmp_path: Path) -> None:
    writer = start_writer(tmp_path, 0, 10**9)
    assert writer.stdout is not None
    for _ in range(50):
        announced = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    announced = max([announced, *map(int, writer.communicate()[0].split(b"\n")[:-1])])
    cache = VectorCache(tmp_path, DIM)
    assert held(cache, range(announced + 1)) == list(range(announced + 1))
    assert len(cache) - (announced + 1) in (0, 1)  # the last may be written and not yet announced
    assert cache.damaged == 0


def test_a_forked_child_does_not_write_into_its_parents_segment(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, DIM)
    fill(cache, [0])
    child = os.fork()
    if child == 0:
        fill(cache, [1])
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.glob("*.keys"))) == 2
