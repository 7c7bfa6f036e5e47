"""Files that are never half written, what killed processes leave, and one writer at a time."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write, locked, project_root, replaced_folder, short_path, temporary_folder

DEAD = 2**22 + 1  # more than Linux gives to a process


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_path_is_shown_alike_wherever_a_command_starts(monkeypatch):
    root = project_root()
    monkeypatch.chdir(root / "nbs")
    assert [str(short_path(root / name)) for name in ("results/a.csv", "nbs/a.csv")] == ["results/a.csv", "nbs/a.csv"]
    assert short_path("/elsewhere/a.csv") == short_path("/elsewhere/b/../a.csv")


def test_a_file_has_its_old_content_until_it_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ValueError), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise ValueError
    assert (path.read_text(), names(tmp_path)) == ("old", ["table.csv"])


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda file, real=os.fsync: calls.append("fsync") or real(file))
    monkeypatch.setattr(os, "replace", lambda a, b, real=os.replace: calls.append("replace") or real(a, b))
    with atomic_write(tmp_path / "table.csv") as temporary:
        temporary.write_text("new")
    assert calls == ["fsync", "replace", "fsync"]


def test_files_that_are_not_durable_do_not_wait_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("waited for the disk"))
    with atomic_write(tmp_path / "picture.json", durable=False) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "picture.json").read_text() == "new"


def test_a_folder_of_many_files_is_searched_once(tmp_path, monkeypatch):
    searched = []
    monkeypatch.setattr(os, "scandir", lambda folder, real=os.scandir: searched.append(folder) or real(folder))
    for number in range(5):
        with atomic_write(tmp_path / f"{number}.json") as temporary:
            temporary.write_text("new")
    assert searched == [tmp_path]


def test_a_file_is_as_readable_as_others(tmp_path):
    (tmp_path / "plain").write_text("x")
    with atomic_write(tmp_path / "table.csv") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "table.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in (f".table.csv.{os.getpid()}.tmp.csv", ".table.csv.lock"):
        (tmp_path / name).symlink_to(victim)
    with atomic_write(tmp_path / "table.csv") as temporary:
        temporary.write_text("new")
    with pytest.raises(OSError), locked(tmp_path / "table.csv"):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", [".table.csv.{}.tmp.csv", ".table.csv.{}-0123abcd.tmp.csv"])
def test_leftovers_of_a_dead_process_go(tmp_path, name):
    (tmp_path / name.format(DEAD)).write_text("half")
    with atomic_write(tmp_path / "table.csv") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["table.csv"]


def test_what_is_being_written_stays(tmp_path):
    path = tmp_path / "table.csv"
    with atomic_write(path) as first:
        os.utime(first, (0, 0))  # old, but its writer is there
        with atomic_write(path) as second:
            second.write_text("second")
        first.write_text("first")
    assert path.read_text() == "first"


@pytest.mark.parametrize("name", [f".notes.{DEAD}.old", f".other.csv.{DEAD}.tmp.csv", f"table.csv.{DEAD}.tmp.csv"])
def test_files_of_others_stay(tmp_path, name):
    (tmp_path / name).write_text("of somebody else")
    with atomic_write(tmp_path / "table.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / name).exists()


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "kitti"
    folder.mkdir()
    (folder / "old.txt").write_text("x")
    with replaced_folder(folder) as new:
        (new / "new.txt").write_text("x")
    assert (names(folder), names(tmp_path)) == (["new.txt"], ["kitti"])


def test_a_folder_that_was_moved_aside_comes_back(tmp_path):
    (tmp_path / f".kitti.{DEAD}-0123abcd.old").mkdir()
    (tmp_path / f".kitti.{DEAD}-0123abcd.old" / "old.txt").write_text("x")
    with pytest.raises(ValueError), replaced_folder(tmp_path / "kitti"):
        raise ValueError
    assert (names(tmp_path), names(tmp_path / "kitti")) == (["kitti"], ["old.txt"])


WRITES = """
import sys, time
from mtl_course.core.files import replaced_folder, temporary_folder
with replaced_folder(sys.argv[1]) as new, temporary_folder() as folder:
    print(new, folder, sep="\\n", flush=True)
    time.sleep(60)
"""


def test_folders_of_a_killed_process_go(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    command = [sys.executable, "-c", WRITES, str(tmp_path / "kitti")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    left = [process.stdout.readline().strip() for _ in range(2)]
    with temporary_folder():
        assert all(map(os.path.isdir, left))  # while its process lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    with replaced_folder(tmp_path / "kitti"), temporary_folder():
        assert not any(map(os.path.isdir, left))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_a_second_writer_is_refused(tmp_path):
    with locked(tmp_path / "run", "the run is written"):
        with pytest.raises(UserError, match="^the run is written$"), locked(tmp_path / "run", "the run is written"):
            pass
    assert not names(tmp_path)


def test_a_second_writer_waits_for_the_first(tmp_path):
    order = []

    def write():
        with locked(tmp_path / "table"):
            order.append("second")

    with locked(tmp_path / "table"):
        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
