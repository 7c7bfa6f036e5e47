"""The drawings of README and of 00_start_here: the idea of sharing, and the map of the course.

python benchmarks/course_pictures.py
"""

from mtl_course.core.files import atomic_write, resolve
from mtl_course.plots.overview import course_map, sharing_drawing

PICTURES = {"results/one_backbone.png": sharing_drawing, "results/course_map.png": course_map}

if __name__ == "__main__":
    for path, draw in PICTURES.items():
        with atomic_write(resolve(path)) as temporary:
            draw().savefig(temporary, dpi=200)
        print(path)
