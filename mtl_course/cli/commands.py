"""The programs under the name by which scripts of earlier installations import them."""

from .data import mtl_data
from .evaluate import mtl_evaluate
from .figures import mtl_figures
from .predict import mtl_predict
from .study import mtl_compare
from .train import mtl_train

__all__ = ["mtl_compare", "mtl_data", "mtl_evaluate", "mtl_figures", "mtl_predict", "mtl_train"]
