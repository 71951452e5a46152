"""Whatever the harness starts is ended, and nothing else. The harness that dies here is a real child process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import LabError
from harness.host import lease as lease_module
from harness.host import undo as undo_module
from harness.host.lease import Lease, boot_id
from harness.host.reaper import Reaper, sweep
from harness.host.undo import COOKIE, Record, cgroup_folders, mounts_below, started, undo

ROOT = Path(__file__).parents[2]
linux_root = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux")


def until(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def gone(pid: int) -> bool:
    return not started(pid)


def stranger(command: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", command], start_new_session=True, env={**os.environ, **environment})


def stat(process: Path) -> str:
    try:
        return (process / "stat").read_text()
    except OSError:
        return ""


def stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# Processes


def test_spawned_program_gets_arguments_environment_and_log(tmp_path):
    with Reaper(tmp_path) as reaper:
        command = ["sh", "-c", 'echo "$0 $1 $GREETING"; cat; pwd', "a b", "$c"]
        process = reaper.spawn(command, log=tmp_path / "log", env={**os.environ, "GREETING": "hi"}, cwd=Path("/"))
        assert process.wait(10) == 0
    assert (tmp_path / "log").read_text().splitlines() == ["a b $c hi", "/"]


def test_end_reaches_the_whole_session_and_those_that_ignore_sigterm(tmp_path):
    script = "trap '' TERM; sleep 600 & echo $!; while :; do sleep 600; done"
    with Reaper(tmp_path) as reaper:
        process = reaper.spawn(["sh", "-c", script], log=tmp_path / "log", grace=0.05)
        assert until(lambda: (tmp_path / "log").read_text().endswith("\n"))
        child = int((tmp_path / "log").read_text())
        reaper.end(process)
        assert process.returncode == -signal.SIGKILL
        assert gone(child)
    assert reaper.removed == []


def test_sigterm_comes_first(tmp_path):
    os.mkfifo(tmp_path / "never")
    script = "trap 'echo bye; exit' TERM; echo up; read x <> never"
    with Reaper(tmp_path) as reaper:
        reaper.spawn(["sh", "-c", script], log=tmp_path / "log", cwd=tmp_path)
        assert until(lambda: "up" in (tmp_path / "log").read_text())
    assert "bye" in (tmp_path / "log").read_text()


def test_program_that_is_not_there(tmp_path):
    with Reaper(tmp_path) as reaper, pytest.raises(LabError, match="is not installed"):
        reaper.spawn(["no-such-program-of-tare"], log=tmp_path / "log")


def test_program_does_not_run_before_it_is_registered(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("disk full")

    with Reaper(tmp_path) as reaper:
        with monkeypatch.context() as patch:
            patch.setattr(reaper._lease, "add", refuse)
            with pytest.raises(OSError, match="disk full"):
                reaper.spawn(["touch", str(tmp_path / "ran")], log=tmp_path / "log")
        assert not (tmp_path / "ran").exists()


def test_recycled_pid_is_never_killed():
    process = stranger("sleep 600")
    try:
        assert not undo(Record(kind="process", name="sleep", pid=process.pid, start="1", label="x"))
        assert not undo(Record(kind="process", name="sleep", pid=process.pid, label="x"))
        assert process.poll() is None
    finally:
        stop(process)


@pytest.mark.parametrize("ours", [True, False])
def test_orphans_of_a_dead_leader_are_told_by_their_cookie(ours):
    process = stranger("sleep 600 & echo", **{COOKIE: "mine" if ours else "another"})
    process.wait()
    record = Record(kind="process", name="sh", pid=process.pid, start="1", label="mine")
    assert undo(record) is ours
    left = [
        int(entry.name) for entry in Path("/proc").glob("[0-9]*") if f" {process.pid} {process.pid} " in stat(entry)
    ]
    assert [pid for pid in left if started(pid)] == left[: 0 if ours else 1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def test_zombies_count_as_gone():
    process = stranger("exit")
    assert until(lambda: gone(process.pid))
    process.wait()


def test_start_times_are_known_without_proc(monkeypatch):
    monkeypatch.setattr(undo_module, "PROC", Path("/nonexistent"))
    assert started(os.getpid())
    assert not started(2**22 + 1)


# Folders and files


def test_folders_go_and_what_was_there_stays(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    with Reaper(tmp_path) as reaper:
        ours = reaper.folder(tmp_path / "ours" / "deep")
        (ours / "file").write_text("x")
        with pytest.raises(LabError, match="already exists"):
            reaper.folder(theirs)
        reaper.shared_folder(theirs)
        reaper.shared_folder(tmp_path / "empty")
        reaper.shared_folder(tmp_path / "used")
        (tmp_path / "used" / "by others").write_text("x")
        short = reaper.short_folder()
        assert len(str(short / "exec/containerd/containerd-debug.sock")) < 108
        reaper.file(tmp_path / "file")
        (tmp_path / "file").write_text("x")
    assert not any(path.exists() for path in (ours, tmp_path / "empty", short, tmp_path / "file"))
    assert theirs.is_dir()
    assert (tmp_path / "used").is_dir()
    assert f"folder {ours}" in reaper.removed


@pytest.mark.parametrize("name", ["/", "/etc", "relative/path"])
def test_folders_that_cannot_be_ours_are_refused(name):
    with pytest.raises(ValueError, match="not a folder of ours"):
        undo(Record(kind="folder", name=name))


@pytest.mark.parametrize("name", ["", "..", "a/b", "*"])
def test_cgroups_that_cannot_be_ours_are_refused(name):
    with pytest.raises(ValueError, match="not the name"):
        undo(Record(kind="cgroup", name=name))


@linux_root
def test_folder_is_unmounted_before_it_is_removed(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious").write_text("x")
    with Reaper(tmp_path) as reaper:
        ours = reaper.folder(tmp_path / "with space")
        (ours / "bound").mkdir()
        done = subprocess.run(["mount", "--bind", theirs, ours / "bound"], capture_output=True)
        if done.returncode:
            pytest.skip("may not mount here")
        assert mounts_below(ours) == [ours / "bound"]
    assert not ours.exists()
    assert (theirs / "precious").exists()


@linux_root
def test_cgroup_is_removed_with_what_runs_in_it(tmp_path):
    parents = [path for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if os.access(path, os.W_OK)]
    process = stranger("sleep 600")
    try:
        with Reaper(tmp_path) as reaper:
            reaper.cgroup("tare-test")
            try:
                (parents[0] / "tare-test/inner").mkdir(parents=True)
                (parents[0] / "tare-test/inner/cgroup.procs").write_text(str(process.pid))
            except (OSError, IndexError):
                pytest.skip("may not make cgroups here")
        assert cgroup_folders("tare-test") == []
        assert gone(process.pid)
    finally:
        stop(process)


# Scopes and order


def test_scopes_end_what_is_theirs_and_the_outer_one_the_rest(tmp_path):
    with Reaper(tmp_path) as reaper:
        first = reaper.folder(tmp_path / "first")
        with reaper.scope() as scope:
            second = scope.folder(tmp_path / "second")
            third = scope.scope().folder(tmp_path / "third")
        assert first.exists()
        assert not second.exists()
        assert not third.exists()
        fourth = reaper.scope().folder(tmp_path / "fourth")
    assert reaper.removed == [f"folder {fourth}", f"folder {first}"]
    assert reaper.close() == reaper.removed


def test_one_failure_does_not_stop_the_others_and_is_kept_for_later(tmp_path, caplog):
    with Reaper(tmp_path) as reaper:
        first = reaper.folder(tmp_path / "first")
        reaper._add(Record(kind="nonsense", name="x"))
        second = reaper.folder(tmp_path / "second")
    assert reaper.removed == [f"folder {second}", f"folder {first}"]
    assert "unknown kind" in caplog.text
    (path,) = (tmp_path / "leases").glob("*.json")
    assert "nonsense" in path.read_text()
    assert "unknown kind" in path.with_suffix(".log").read_text(), "the guardian tried again and says so"
    assert sweep(tmp_path) == []


def test_an_exception_in_the_block_ends_everything(tmp_path):
    with pytest.raises(RuntimeError), Reaper(tmp_path) as reaper:
        process = reaper.spawn(["sleep", "600"], log=tmp_path / "log")
        raise RuntimeError
    assert process.returncode == -signal.SIGTERM
    assert list((tmp_path / "leases").iterdir()) == []


def test_own_handlers_are_left_alone(tmp_path):
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    ours = signal.getsignal(signal.SIGTERM)
    try:
        with Reaper(tmp_path):
            assert signal.getsignal(signal.SIGTERM) is ours
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


# Leases

records = st.builds(
    Record,
    kind=st.sampled_from(["folder", "link", "mount"]),
    name=st.text(),
    pid=st.integers(0, 2**22),
    start=st.text(),
    grace=st.floats(0, 10),
    label=st.text(),
)


@settings(deadline=None, max_examples=25)
@given(made=st.lists(records, max_size=6), dropped=st.sets(st.integers(0, 5)), torn=st.integers(0, 200))
def test_lease_says_what_is_left_wherever_its_last_line_is_torn(tmp_path_factory, made, dropped, torn):
    """Cutting the file anywhere loses only lines from the end: never a record of a whole line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease_module.os, "fsync", lambda _: None)  # no power will fail
        lease = Lease.create(tmp_path_factory.mktemp("lease"), "token")
        numbers = [lease.add(record) for record in made]
        for number in sorted(dropped & set(numbers)):
            lease.drop(number)
    assert list(lease.records) == [number for number in numbers if number not in dropped]
    kept = dict(lease.records)
    path = lease.path
    os.close(lease._descriptor)
    again = Lease.take(path)
    assert again is not None
    assert again.records == kept
    os.close(again._descriptor)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - torn % len(whole)])
    lines = path.read_text(errors="replace").splitlines()
    told = set()
    for line in lines[1:]:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            told = told - {entry["undone"]} if "undone" in entry else told | {entry["made"]}
    after = Lease.take(path)
    assert after is not None
    assert set(after.records) == told if len(lines) > 1 else after.records == {}
    os.close(after._descriptor)


def dead_lease(cache: Path, *made: Record, boot: str | None = None) -> Path:
    lease = Lease.create(cache / "leases", "dead")
    for record in made:
        lease.add(record)
    os.close(lease._descriptor)
    if boot is not None:
        lease.path.write_text(lease.path.read_text().replace(boot_id(), boot))
    return lease.path


def test_sweep_undoes_dead_leases_and_leaves_living_ones(tmp_path):
    dead, alive = tmp_path / "dead", tmp_path / "alive"
    dead.mkdir()
    with Reaper(tmp_path) as reaper:
        reaper.folder(alive)
        path = dead_lease(tmp_path, Record(kind="folder", name=str(dead)))
        assert sweep(tmp_path) == [f"folder {dead}"]
        assert alive.exists()
        assert not path.exists()
        assert sweep(tmp_path) == []
    assert not alive.exists()


def test_after_a_reboot_only_files_are_swept(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    process = stranger("sleep 600")
    try:
        ended = Record(kind="process", name="sleep", pid=process.pid, start=started(process.pid), label="x")
        dead_lease(tmp_path, Record(kind="folder", name=str(folder)), ended, boot="another boot")
        assert sweep(tmp_path) == [f"folder {folder}"]
        assert process.poll() is None
    finally:
        stop(process)
    assert list((tmp_path / "leases").iterdir()) == []


def test_sweep_of_nothing(tmp_path):
    assert sweep(tmp_path / "never") == []


def test_lease_is_private(tmp_path):
    with Reaper(tmp_path) as reaper:
        assert reaper._lease.path.stat().st_mode & 0o077 == 0
        assert reaper._lease.path.parent.stat().st_mode & 0o077 == 0


# A harness that dies

CHILD = """
import os, sys, time
from pathlib import Path
from harness.host.reaper import Reaper
cache = Path(sys.argv[1])
with Reaper(cache) as reaper:
    reaper.folder(cache / "folder")
    process = reaper.spawn(["sleep", "600"], log=cache / "sleep.log")
    if "fork" in sys.argv and os.fork() == 0:  # holds pipe and lock
        time.sleep(30)
    print(process.pid, reaper._guardian.pid, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def harness(cache: Path, *arguments: str, script: str = CHILD):
    """A child harness: the process, and its message once it held everything."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(cache), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    with process:
        try:
            words = process.stdout.readline().split()
            assert words, process.stderr.read()
            yield process, words
        finally:
            process.kill()


def nothing_left(cache: Path, *pids: int) -> bool:
    return all(map(gone, pids)) and not (cache / "folder").exists() and not any((cache / "leases").iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_is_left_of_a_harness_that_is_ended(tmp_path, number):
    theirs = stranger("sleep 600")
    try:
        with harness(tmp_path) as (process, (sleep, guardian)):
            assert (tmp_path / "folder").is_dir()
            process.send_signal(number)
            process.wait(20)
            assert until(lambda: nothing_left(tmp_path, int(sleep), int(guardian)))
        assert theirs.poll() is None
    finally:
        stop(theirs)


def test_guardian_does_not_wait_for_forked_children(tmp_path):
    with harness(tmp_path, "fork") as (process, (sleep, guardian)):
        process.kill()
        assert until(lambda: nothing_left(tmp_path, int(sleep), int(guardian)))


def test_sweep_where_the_guardian_was_killed_too(tmp_path):
    with harness(tmp_path) as (process, (sleep, guardian)):
        assert sweep(tmp_path) == []
        os.kill(int(guardian), signal.SIGKILL)
        process.kill()
        process.wait(20)
        assert until(lambda: gone(int(guardian)))
        assert started(int(sleep))
        removed = sweep(tmp_path)
        assert removed == [f"process sleep (pid {sleep})", f"folder {tmp_path / 'folder'}"]
        assert nothing_left(tmp_path, int(sleep))


def test_no_lock_no_sweep(tmp_path, monkeypatch):
    """If the file system has no locks, no owner can be known to be dead."""
    folder = tmp_path / "folder"
    folder.mkdir()
    dead_lease(tmp_path, Record(kind="folder", name=str(folder)))

    def refuse(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(lease_module.fcntl, "flock", refuse)
    assert sweep(tmp_path) == []
    assert folder.exists()
