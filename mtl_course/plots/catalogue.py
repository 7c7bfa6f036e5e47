"""Every figure that `mtl_figures` draws."""

from .architecture import architecture_diagram, figure_6_resnet50_architecture
from .comparison import evaluation_comparison
from .data_counts import data_counts_figure
from .efficiency import efficiency_analysis
from .figures import RUN_FIGURES
from .gradients import figure_11_gradient_flow
from .imbalance import figure_12_data_imbalance, learning_curves
from .predictions import precision_recall, qualitative_detection, qualitative_lanes, qualitative_signs
from .sharing import mtl_benefits, performance_comparison

__all__ = ["FIGURES"]

FIGURES = {  # file name -> function of the results folder
    **RUN_FIGURES,
    "figure_6_resnet50_architecture": figure_6_resnet50_architecture,
    "architecture_diagram": architecture_diagram,
    "data_counts": data_counts_figure,
    "evaluation_comparison": evaluation_comparison,
    "efficiency_analysis": efficiency_analysis,
    "qualitative_signs": qualitative_signs,
    "qualitative_detection": qualitative_detection,
    "qualitative_lanes": qualitative_lanes,
    "precision_recall": precision_recall,
    "figure_11_gradient_flow": figure_11_gradient_flow,
    "figure_12_data_imbalance": figure_12_data_imbalance,
    "learning_curves": learning_curves,
    "performance_comparison": performance_comparison,
    "mtl_benefits": mtl_benefits,
}
