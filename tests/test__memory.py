import os

import pytest

from perceiver_pytorch import _memory as memory


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system that says what the returned mapping does: {path: text}."""
    texts = {"/proc/meminfo": "MemTotal: 2000 kB\nMemAvailable:   1000 kB\n"}
    monkeypatch.setattr(memory, "_text", lambda path: texts.get(path.as_posix(), ""))
    monkeypatch.setattr(memory, "_address_space", lambda: iter(()))
    return texts


def test_free_is_what_the_machine_has_available(system):
    assert memory.free_memory() == 1000 << 10


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/a/b", {"a/memory.max": "5000", "a/memory.current": "2000", "a/b/memory.max": "max"}),
        ("4:memory:/a", {"memory/memory.limit_in_bytes": "5000", "memory/memory.usage_in_bytes": "2000"}),
        ("3:cpu:/a\n0::/", {"memory.max": "5000\n", "memory.current": "2000\n"}),
    ],
)
def test_containers_leave_less(system, own, files):
    system["/proc/self/cgroup"] = own + "\n"
    system |= {f"/sys/fs/cgroup/{name}": text for name, text in files.items()}
    assert memory.free_memory() == 3000
    system |= {name: "9000" for name in system if name.endswith(("current", "usage_in_bytes"))}
    assert memory.free_memory() == 0


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/a/b", {"a/cpu.max": "250000 100000", "a/b/cpu.max": "max 100000"}, 3),
        (
            "4:cpu,cpuacct:/a",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "50000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            1,
        ),
        ("4:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("4:memory:/a", {"memory/a/cpu.max": "100000 100000"}, 8),
    ],
)
def test_containers_leave_less_cores(system, monkeypatch, own, files, cores):
    monkeypatch.setattr(memory.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert memory.usable_cores() == 8
    system["/proc/self/cgroup"] = own + "\n"
    system |= {f"/sys/fs/cgroup/{name}": text for name, text in files.items()}
    assert memory.usable_cores() == cores


def test_where_the_system_says_nothing_of_affinity_all_cores_count(system, monkeypatch):
    monkeypatch.delattr(memory.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(memory.os, "cpu_count", lambda: 6)
    assert memory.usable_cores() == 6
    monkeypatch.setattr(memory.os, "cpu_count", lambda: None)
    assert memory.usable_cores() == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_limit_on_addresses_counts(monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 50, 1 << 50))
    monkeypatch.setattr(memory, "_machine", lambda: iter(()))
    monkeypatch.setattr(memory, "_containers", lambda: iter(()))
    pages = memory._text(memory.Path("/proc/self/statm")).split()
    assert not pages or (1 << 50) - (1 << 44) < memory.free_memory() < 1 << 50
