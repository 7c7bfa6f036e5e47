"""How many training images the runs of the studies start from, and of which classes.

python benchmarks/study_data.py

Writes results/study_data.csv (columns as in data_counts.csv, the training part alone), which the
figures of imbalance and the imbalance lab read.
"""

from fastcore.script import Param, call_parse

from mtl_course.config import make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.sources import prepare_data
from mtl_course.plots.data_counts import count_data


@call_parse
def main(recipe: Param("recipe of the studies", str) = "study", out: Param("csv file", str) = "results/study_data.csv"):
    """Counts images, signs, objects and lane pixels of the training part."""
    config = make_config(recipe)
    prepare_data(config)
    table = count_data(config)
    with atomic_write(resolve(out)) as path:
        table[table["part"] == "train"].to_csv(path, index=False)
    totals = table[table["class"] == "all"]
    print(totals.pivot(index="task", columns="part", values="count").to_string())
