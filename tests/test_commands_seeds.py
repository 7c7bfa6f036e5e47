"""The benchmark over seeds: rows of different recipes never meet in one mean."""

import pandas as pd, pytest
from conftest import load_benchmark
from mtl_course.config import RECIPES
from mtl_course.core.errors import UserError


@pytest.fixture
def bench(tmp_path, monkeypatch):
    "laptop_seeds with a csv of its own and runs that cost nothing: the learning rate is the score."
    bench = load_benchmark("laptop_seeds")
    monkeypatch.setattr(bench, "resolve", lambda p: tmp_path / p)

    def run_seed(seed, recipe, changes="", clock=True):
        log = tmp_path / "results" / "seeds" / str(seed) / "logs" / "training.csv"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{bench.label(recipe, changes)},{seed}\n")
        row = dict(recipe=bench.label(recipe, changes), config=bench.recipe_hash(recipe, changes), seed=seed)
        return [
            row
            | dict(
                task=t,
                metric=m,
                value=float(bench.changed(changes).get("learning_rate", RECIPES[recipe]["learning_rate"])),
            )
            for t, m in (*bench.HEADLINES, *[("all", "minutes")] * clock, ("all", "peak_memory_gib"))
        ]

    monkeypatch.setattr(bench, "run_seed", run_seed)
    monkeypatch.setattr(
        bench, "objects_of", lambda recipe: pd.DataFrame([dict(object="Car", train_objects=1, median_width=1.0)])
    )
    return bench


def rows(folder):
    return pd.read_csv(folder / "results" / "laptop_seeds.csv", dtype={"config": str})


def test_rows_of_another_recipe_are_dropped(bench, tmp_path, monkeypatch, capsys):
    bench.main(seeds="0,1", recipe="laptop")
    bench.main(seeds="0", recipe="smoke")
    assert "dropped" not in capsys.readouterr().out and set(rows(tmp_path).seed) == {0, 1}
    old = bench.recipe_hash("laptop")
    monkeypatch.setitem(RECIPES, "laptop", RECIPES["laptop"] | dict(learning_rate=0.25))
    bench.main(seeds="2", recipe="laptop")
    out, table = capsys.readouterr().out, rows(tmp_path)
    assert "18 rows of seeds 0, 1 are dropped" in out and bench.recipe_hash("laptop") != old
    laptop = table[table.recipe == "laptop"]
    assert (
        set(laptop.seed) == {2} and set(laptop.value) == {0.25} and (table.recipe == "smoke").sum() == 9
    )  # the other recipe's rows stay


def test_rows_without_a_hash_are_dropped_and_measured_ones_kept(bench, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "laptop_seeds.csv").write_text("recipe,seed,task,metric,value\nlaptop,0,lane,iou,0.5\n")
    bench.main(seeds="0", recipe="laptop")
    assert "1 rows of seeds 0 are dropped" in capsys.readouterr().out and 0.5 not in set(rows(tmp_path).value)
    bench.main(seeds="0", recipe="laptop")
    assert "seed 0: measured already" in capsys.readouterr().out


def test_a_recipe_with_changes_has_rows_of_its_own(bench, tmp_path):
    bench.main(seeds="0", recipe="laptop")
    bench.main(seeds="0", recipe="laptop", changes="learning_rate=0.125")
    table = rows(tmp_path)
    assert set(table[table.recipe == "laptop, learning_rate=0.125"].value) == {0.125} and 0.125 not in set(
        table[table.recipe == "laptop"].value
    )
    assert bench.recipe_hash("laptop", "learning_rate=0.125") != bench.recipe_hash("laptop")


def test_the_log_that_is_kept_is_of_seed_0_of_make_train(bench, tmp_path):
    bench.main(seeds="0,1", recipe="laptop")
    bench.main(seeds="0", recipe="smoke")
    bench.main(seeds="0", recipe="laptop", changes="learning_rate=0.125")
    assert (tmp_path / "results" / "laptop_log.csv").read_text() == "laptop,0\n"


def test_memory_is_that_of_all_processes(bench):
    import subprocess, sys

    grandchild = 'import time; x = bytearray(b"1")*150_000_000; time.sleep(2)'
    child = (
        "import subprocess, sys, time; x = bytearray(b'1')*150_000_000;"
        f" p = subprocess.Popen([sys.executable, '-c', {grandchild!r}]); p.wait()"
    )
    assert 0.28 < bench.run_watched([sys.executable, "-c", child]) < 0.6
    with pytest.raises(subprocess.CalledProcessError):
        bench.run_watched([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_hash_is_of_the_values_and_not_of_the_seed(bench, monkeypatch):
    before = bench.recipe_hash("laptop")
    monkeypatch.setitem(RECIPES, "laptop", RECIPES["laptop"] | dict(seed=5, results_dir="elsewhere"))
    assert bench.recipe_hash("laptop") == before and bench.recipe_hash("smoke") != before


@pytest.fixture
def tables(tmp_path, monkeypatch):
    "The program that writes the README's table, reading a table of its own."
    module = load_benchmark("readme_tables")
    monkeypatch.setattr(module, "resolve", lambda path: tmp_path / path)
    return module


def write_seeds(folder, values, configs):
    "results/laptop_seeds.csv with the same values for every score; minutes of seed 0 alone."
    rows = []
    for task, metric, _ in load_benchmark("readme_tables").ROWS:
        for seed, (value, config) in enumerate(zip(values, configs, strict=True)):
            if metric != "minutes" or seed == 0:
                rows.append(dict(recipe="laptop", config=config, seed=seed, task=task, metric=metric, value=value))
    (folder / "results").mkdir()
    pd.DataFrame(rows).to_csv(folder / "results" / "laptop_seeds.csv", index=False)


def test_the_readmes_table_has_means_and_intervals(tables, tmp_path):
    write_seeds(tmp_path, (0.2, 0.3, 0.4), ("a", "a", "a"))
    lines = tables.table().splitlines()
    assert "mean of 3 seeds" in lines[0]
    assert "| objects: mAP50 | 0.300 | 0.052 – 0.548 |" in lines  # 0.1/√3 · t(0.975; 2) = 0.248
    assert "| minutes, the world included | 0.2 | one run |" in lines


def test_the_readmes_table_refuses_several_recipes(tables, tmp_path):
    write_seeds(tmp_path, (0.2, 0.3), ("a", "b"))
    with pytest.raises(UserError, match="one laptop recipe"):
        tables.table()


def test_objects_are_counted_in_the_recipes_own_training_part(smoke):
    table = load_benchmark("laptop_seeds").objects_of("smoke").set_index("object")
    assert (
        table.train_objects.sum() > 0
        and table.train_objects.idxmax() == "Car"
        and (table.median_width.dropna() > 2).all()
    )
