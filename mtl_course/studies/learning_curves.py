"""From how many images on does sharing stop to help? Each task's images cut down, trained alone and
together.
"""

from dataclasses import asdict

import pandas as pd

from .plans import SIZES, curve_name
from .scores import change_verdict, paired_change, signed

__all__ = ["curve_runs"]

_COLUMNS = ["images", "run", "control", "change", "low", "high", "p", "same", "floor", "seeds"]


def curve_runs(task: str, full: int | None, shared: bool) -> dict[int, str]:  # images -> run, fewest first
    """The runs of one curve; `full` is the number of all images, for the point with all of them."""
    runs = {images: curve_name(task, images, shared) for images in SIZES[task]}
    if full:
        runs[full] = "equal" if shared else "alone"
    return dict(sorted(runs.items()))


def curve_table(
    table: pd.DataFrame,  # STUDY_COLUMNS
    task: str,
    full: int | None = None,  # all its images; None: leave out that point
    split: str = "test",
) -> pd.DataFrame:  # images, shared, alone, change, low, high, p, same, floor, seeds
    """Sharing against training alone at each number of images that was measured both ways."""
    alone = curve_runs(task, full, shared=False)
    rows = []
    for images, run in curve_runs(task, full, shared=True).items():
        change = paired_change(table, run, alone[images], task, split=split)
        if change:
            rows.append(dict(images=images) | asdict(change))
    points = pd.DataFrame(rows, columns=_COLUMNS).rename(columns=dict(run="shared", control="alone"))
    return points.sort_values("images", ignore_index=True)


def curve_sentence(
    table: pd.DataFrame,  # STUDY_COLUMNS
    task: str,
    full: int | None = None,  # all its images
    split: str = "test",
) -> str:
    """From which size on sharing stops to help a task, as far as the table tells."""
    points = list(curve_table(table, task, full, split).itertuples())
    if len(points) < 2:
        sizes = "only one size has" if points else "no size has"
        return f"{task}: {sizes} been trained both ways, so nothing can be said about sizes."
    changes = [f"{p.images:,.0f} images {signed(p.change)} ({change_verdict(p)})" for p in points]
    helped = [p.images for p in points if change_verdict(p) == "higher"]
    harmed = [p.images for p in points if change_verdict(p) == "lower"]
    end = _end_of_help([p.images for p in points], helped)
    if harmed:
        end += f"; a hint that it is worse with {' and '.join(f'{n:,.0f}' for n in harmed)} images"
    return f"{task}, shared minus alone: {', '.join(changes)}: {end}."


def _end_of_help(sizes: list[int], helped: list[int]) -> str:  # both in rising order
    if not helped:
        return "at no size is sharing better by more than the seeds scatter"
    most = helped[-1]
    if most == sizes[-1]:
        return f"a hint that sharing helps with {most:,.0f} images, the most that were tried"
    following = next(n for n in sizes if n > most)
    return (
        f"a hint that sharing helps up to {most:,.0f} images and no longer, "
        f"as far as the seeds tell, from {following:,.0f} on"
    )
