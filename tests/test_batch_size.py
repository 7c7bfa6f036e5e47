"""The largest sensible batch: measured apart, stopped by memory, speed or refusal, told."""

import functools, sys
import pandas as pd, pytest
import mtl_course.cli.train as program
from mtl_course.cli.program import _underscored
from conftest import load_benchmark
from mtl_course.core.memory import available_memory
from mtl_course.plots.batch_size import draw_batch_sizes
from mtl_course.training.batch_size import find_batch_size, measure_step
from mtl_course.training.random_batch import images_per_task, random_batch, with_batch_size
from mtl_course.core.task import TASKS
from mtl_course.core.errors import UserError
from mtl_course.config import make_config
from test_commands import refused, shell

GIB = 2**30


@pytest.fixture(scope="module")
def signs():
    return make_config("smoke", tasks="classification", classification_batch_size=0)


def machine(a=0.1, b=0.02, fixed=0.5, each=0.1, ends_at=10**9, asked=None):
    "A machine whose numbers are formulas."

    def measure(config, batch_size, steps, limit):
        if asked is not None:
            asked.append(batch_size)
        row = dict(batch_size=batch_size, images=sum(images_per_task(with_batch_size(config, batch_size)).values()))
        if batch_size >= ends_at:
            return row | dict(fits=False)
        seconds = a + b * batch_size
        return row | dict(
            fits=True,
            device="made up",
            seconds=seconds,
            low=seconds,
            high=seconds,
            images_per_second=row["images"] / seconds,
            memory=(fixed + each * batch_size) * GIB,
        )

    return measure


@pytest.fixture
def room(monkeypatch):
    "Sets the memory that is said to be there."
    return lambda gib: monkeypatch.setattr(
        "mtl_course.training.batch_size.available_memory", lambda device="cpu": gib * GIB
    )


# --- the search


def test_memory_stops_before_it_is_reached(signs, room):
    room(10)
    asked = []
    found = find_batch_size(signs, progress=False, measure=machine(a=9, asked=asked), largest=4096)
    assert (
        asked == [1, 2, 4, 8, 16, 32, 64] and found.choice.batch_size == 64
    )  # 128 would need 13.3 of 8 GiB: not tried
    assert "128 would need about 13.3 GiB, more than the 8.0 GiB" in found.reason and found.table.chosen.tolist() == [
        False
    ] * 6 + [True]


def test_a_share_of_what_is_there(signs, room):
    room(10)
    assert (
        find_batch_size(signs, share=0.2, progress=False, measure=machine(a=9)).choice.batch_size == 8
    )  # 1.3 GiB of 2; 16 would need 2.1


def test_speed_stops(signs, room):
    room(1000)
    found = find_batch_size(signs, progress=False, measure=machine())

    def speed(n):
        return n / (0.1 + 0.02 * n)

    right = next(2**k for k in range(20) if speed(2 ** (k + 1)) < 1.05 * speed(2**k))
    assert (
        found.choice.batch_size == right == found.table[found.table.chosen].batch_size.item()
        and "worth while" in found.reason
        and f"{2 * right} changes images/s by +" in found.reason
    )
    assert find_batch_size(signs, growth=1.5, progress=False, measure=machine()).choice.batch_size < right
    assert (
        "larger ones than 2 were not tried"
        in find_batch_size(signs, largest=2, progress=False, measure=machine()).reason
    )


def test_refusal_stops(signs, room):
    room(1000)
    found = find_batch_size(signs, progress=False, measure=machine(a=9, ends_at=8))
    assert (
        found.choice.batch_size == 4
        and "8 ran out of memory" in found.reason
        and found.table.fits.tolist() == [True, True, True, False]
    )
    assert len(draw_batch_sizes(found.table.assign(device="made up")).axes) == 2  # the refused one is left out
    with pytest.raises(UserError, match="no batch fits: 1 ran out of memory"):
        find_batch_size(signs, progress=False, measure=machine(ends_at=1))
    room(0.5)
    with pytest.raises(UserError, match=r"1 needs 0.6 GiB, more than the 0.4 GiB.*smaller"):
        find_batch_size(signs, progress=False, measure=machine())


def test_the_mixture_of_tasks_stays(room):
    room(1000)
    config = make_config("laptop")
    for n in (1, 2, 4, 32):
        assert images_per_task(with_batch_size(config, n)) == dict(
            classification=16 * n, detection=max(1, round(5 * n / 4)), lane=n
        )
    found = find_batch_size(config, progress=False, measure=machine())
    sentence = str(found)
    n = found.choice.batch_size
    assert (
        f"--batch_size {n} --classification_batch_size {16 * n} --detection_batch_size {5 * n // 4} (" in sentence
        and "lane_batch" not in sentence
        and "\n" not in sentence
    )
    parts = make_config("laptop", accumulate=4)
    asked = []
    find_batch_size(parts, progress=False, measure=machine(asked=asked))
    assert asked[0] == 4  # a batch of fewer cannot be cut into four


# --- the memory that is there


@pytest.mark.parametrize(
    "files, gib",
    [
        ({}, 20),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/memory.max": 8 * GIB,
                "sys/fs/cgroup/a/memory.current": 3 * GIB,
                "sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {GIB}",
            },
            6,
        ),
        (
            {"proc/self/cgroup": "0::/gone", "sys/fs/cgroup/memory.max": 5 * GIB, "sys/fs/cgroup/memory.current": GIB},
            4,
        ),  # as inside a container
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/memory.max": "max", "sys/fs/cgroup/a/memory.current": GIB}, 20),
        (
            {
                "proc/self/cgroup": "4:cpu,memory:/a\n0::/",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": 4 * GIB,
                "sys/fs/cgroup/memory/a/memory.usage_in_bytes": GIB,
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/a",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": 4 * GIB,
                "sys/fs/cgroup/memory/a/memory.usage_in_bytes": GIB,
            },
            20,
        ),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": GIB, "sys/fs/cgroup/memory.current": 2 * GIB}, 0),
    ],
)
def test_the_smallest_limit_counts(tmp_path, files, gib):
    for name, text in ({"proc/meminfo": f"MemTotal: {30 * 2**20} kB\nMemAvailable: {20 * 2**20} kB"} | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(str(text))
    assert available_memory("cpu", tmp_path) == gib * GIB


# --- a process of its own


def test_a_step_is_measured_and_refused_memory_is_an_answer(signs):
    row = measure_step(signs, 3, steps=2)
    assert (
        row["fits"]
        and row["batch_size"] == row["images"] == 3
        and 0 < row["low"] <= row["seconds"] <= row["high"]
        and row["images_per_second"] == pytest.approx(3 / row["seconds"])
    )
    assert 0.1 * GIB < row["memory"] < 8 * GIB
    if sys.platform == "linux":
        assert measure_step(signs, 3, steps=2, limit=2**20) == dict(batch_size=3, images=3, fits=False)


def test_other_mistakes_are_told(signs, tmp_path):
    with pytest.raises(UserError, match="accumulate is 9"):
        measure_step(
            make_config("smoke", tasks="classification", classification_batch_size=0, accumulate=9), 1, steps=1
        )


# --- the batch


def test_a_made_up_batch_is_one_to_train_on():
    config = make_config("smoke", batch_size=2, classification_batch_size=3, detection_batch_size=1)
    batch = random_batch(config)
    shapes = {task: tuple(images.shape) for task, images in batch["images"].items()}
    assert shapes == dict(classification=(3, 3, 32, 32), detection=(1, 3, 96, 320), lane=(2, 3, 96, 160))
    assert batch["lane"].shape == (2, 96, 160) and set(batch["lane"].unique().tolist()) == {0, 1}


def test_made_up_boxes_lie_in_their_image():
    for _ in range(50):
        boxes = TASKS["detection"].random_labels(1, (96, 320))[0]["boxes"]
        assert len(boxes) and (boxes[:, :2] >= 0).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes[:, 2] <= 320).all() and (boxes[:, 3] <= 96).all()


def test_the_benchmarks_use_it():
    data = load_benchmark("efficiency").made_up((64, 96), 2, "cpu")
    assert {t: tuple(x.shape) for t, (x, _) in data.items()} == dict.fromkeys(
        ("classification", "detection", "lane"), (2, 3, 64, 96)
    ) and data["lane"][1].shape == (2, 64, 96)
    assert load_benchmark("specification_time").random_batch is random_batch


# --- the command


@pytest.mark.parametrize("spelling", ["--find-batch-size", "--find_batch_size"])
def test_the_command_prints_and_keeps_the_table(spelling, tmp_path, monkeypatch, room):
    room(1000)
    monkeypatch.setattr(
        program, "search_batch_size", functools.partial(find_batch_size, progress=False, measure=machine())
    )
    code, out, err = shell(
        "mtl_train",
        "--recipe",
        "smoke",
        "--data_root",
        "nowhere",
        spelling,
        "--results-dir",
        tmp_path / "r",
        "--lane-batch-size=4",
    )
    assert code == 0 and err == "", err
    table = pd.read_csv(tmp_path / "r" / "batch_size.csv")
    chosen = table[table.chosen].iloc[0]
    assert (
        f"--batch_size {chosen.batch_size} " in out
        and f"--lane_batch_size {2 * chosen.batch_size} " in out
        and "images_per_second" in out
        and "batch_size.csv" in out
    )
    assert len(out.splitlines()) == 1 + len(table) + 2 and [p.name for p in (tmp_path / "r").iterdir()] == [
        "batch_size.csv"
    ]  # nothing trained, no data needed
    assert set(table.recipe) == {"smoke"} and table.images_per_second.tolist() == pytest.approx(
        (table.images / table.seconds).tolist()
    )


def test_the_command_refuses_several_processes(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert "without torchrun" in refused("mtl_train", "--recipe", "smoke", "--find-batch-size")


def test_hyphens_only_change_names():
    assert [_underscored(a) for a in ("--no-test", "--a-b=c-d", "a-b", "-h", "--seed")] == [
        "--no_test",
        "--a_b=c-d",
        "a-b",
        "-h",
        "--seed",
    ]


# --- tables in the README


def test_markers():
    markers = load_benchmark("readme_markers")
    assert markers.between_markers("a<s>old<e>b", "<s>", "<e>", r"new \1") == "a<s>\n\nnew \\1\n\n<e>b"
    for text in ("no markers", "<s> only", "<e> only", "<s><s><e>", "<e> the wrong way round <s>"):
        with pytest.raises(UserError, match="<[se]>"):
            markers.between_markers(text, "<s>", "<e>", "new")


def test_a_readme_without_markers_costs_one_sentence(tmp_path):
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(SystemExit, match="expected once"):
        load_benchmark("readme_markers").write_between(tmp_path / "README.md", "<s>", "<e>", "new")
    assert (tmp_path / "README.md").read_text() == "nothing" and len(list(tmp_path.iterdir())) == 1
