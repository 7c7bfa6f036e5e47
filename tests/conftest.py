"""What several tests need: few threads (the runner may have one core), a tiny world, the folder
with real data, benchmarks as modules.
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before PyTorch is loaded

import pytest
import torch

from mtl_course.config import make_config
from mtl_course.core.files import real_data_root
from mtl_course.data.sources import prepare_data

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
THOROUGH = {  # modules of tests that take minutes: official scores, mutations, kills, studies, commands
    "test_affinity",
    "test_balancer_mutations",
    "test_balancers",
    "test_balancing_cost",
    "test_batch_size",
    "test_claims_audit",
    "test_commands",
    "test_commands_seeds",
    "test_figures_imbalance",
    "test_gradient_flow",
    "test_kills",
    "test_kitti_curve",
    "test_kitti_files",
    "test_kitti_metric",
    "test_kitti_official",
    "test_process",
    "test_readme_example",
    "test_results_keys",
    "test_runs_folder",
    "test_runs_states",
    "test_sharing",
    "test_studies_imbalance",
    "test_studies_runner",
    "test_studies_stop",
    "test_training",
    "test_training_processes",
    "test_tusimple_files",
    "test_tusimple_metric",
    "test_widgets_gradient_arrows",
    "test_widgets_imbalance_lab",
    "test_widgets_lifetime",
    "test_widgets_new_task",
    "test_widgets_playground",
    "test_widgets_playground_threads",
    "test_widgets_prediction_browser",
    "test_widgets_replay",
}


def pytest_configure():
    "Lets interrupts arrive, here and in programs of tests; shells ignore them in the background."
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    "Marks the tests of the thorough modules; make test leaves them out, make test-all runs them."
    for item in items:
        if item.path.stem in THOROUGH:
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(scope="session")
def smoke():
    "The `smoke` recipe, its world made."
    config = make_config("smoke")
    prepare_data(config, progress=False)
    return config


@pytest.fixture(scope="session")
def real_data():
    "The folder with slices of the real data sets; skips where it is absent."
    root = real_data_root()
    if root is None:
        pytest.skip("no real data here: set MTL_REAL_DATA to a folder with gtsrb/, kitti/ and tusimple/")
    return root


@pytest.fixture(scope="module")
def one_thread():
    """Small matrices are fastest on one thread; the others' number comes back afterwards, for it
    changes the last digits of sums.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def threads_stay():
    """No module of tests may leave another number of threads behind: the losses of later ones would
    differ in the third digit under bf16.
    """
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


def load_benchmark(name: str):
    """The module benchmarks/<name>.py, loaded anew; what stands beside it can be imported by it, as
    when it is run.
    """
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module
