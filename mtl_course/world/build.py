"""Three data sets in their published layouts, written in a minute: whatever reads them reads the real ones."""

from __future__ import annotations
import concurrent.futures.process, contextlib, errno, hashlib, json, math, multiprocessing, os, shutil, sys, threading, uuid, warnings
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
import cv2
import numpy as np
from tqdm.auto import tqdm
from ..core.errors import UserError
from ..world import scenes as _scenes
from .scenes import SCENE_SIZES, _check_weights, draw_scene
from .signs import draw_sign_crop, draw_sign_track

__all__ = [
    "WORLD_SIZES",
    "GTSRB_COUNTS",
    "WorldOptions",
    "world_options",
    "picture_rng",
    "sign_counts",
    "kitti_lines",
    "world_version",
    "read_manifest",
    "make_world",
    "recorded_options",
    "ensure_world",
]


@dataclass(frozen=True)
class WorldOptions:
    "Everything that decides what a world looks like; the counts are its imbalance between tasks."

    seed: int = 0
    signs: int = 25800  # sign crops for training, in tracks
    frames_per_track: int = 3  # fewer than GTSRB's 30: for the same number of pictures, more different signs
    sign_test: int = 1720  # sign crops of the test set
    sign_skew: float = 0.0  # 0: equally many of each class, 1: as skewed as GTSRB
    scenes: int = 1400  # KITTI-like frames
    class_weights: dict | None = None  # relative frequency of the seven detection classes
    lanes: int = 1000  # TuSimple-like frames for training
    lane_test: int = 200
    joint: int = 60  # scenes labelled for all three tasks
    scene_size: tuple = SCENE_SIZES["kitti"]  # (width, height) in pixels
    lane_size: tuple = SCENE_SIZES["tusimple"]


WORLD_SIZES = dict(
    laptop=WorldOptions(),
    tiny=WorldOptions(signs=258, frames_per_track=3, sign_test=86, scenes=24, lanes=16, lane_test=8, joint=4),
)


def world_options(size: str = "laptop", **changes) -> WorldOptions:
    "Options of a named size with changes; raises UserError for an unknown name, option or value."
    if size not in WORLD_SIZES:
        raise UserError(f"world size must be one of {', '.join(WORLD_SIZES)}, got {size!r}.")
    known = {f.name for f in fields(WorldOptions)}
    for name in changes:
        if name not in known:
            raise UserError(f"unknown world option {name!r}; the options are {', '.join(sorted(known))}.")
    options = replace(WORLD_SIZES[size], **changes)
    for name in ("seed", "signs", "sign_test", "scenes", "lanes", "lane_test", "joint", "frames_per_track"):
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < (name == "frames_per_track"):
            raise UserError(
                f"world option {name} must be a whole number of at least {int(name == 'frames_per_track')}, got {value!r}."
            )
    if options.frames_per_track > 30:
        raise UserError(
            f"world option frames_per_track must be at most 30, as in GTSRB, got {options.frames_per_track}."
        )
    if not 0 <= options.sign_skew <= 2:
        raise UserError(f"world option sign_skew must lie between 0 and 2, got {options.sign_skew}.")
    if options.class_weights is not None:
        _check_weights(options.class_weights)
    for name in ("scene_size", "lane_size"):
        pair = getattr(options, name)
        if len(pair) != 2 or pair[0] < 64 or pair[1] < 32:
            raise UserError(f"world option {name} must be (width, height) of at least 64 x 32, got {pair}.")
    return replace(options, scene_size=tuple(options.scene_size), lane_size=tuple(options.lane_size))


WORLD_VERSION = "1.9a0b9f25"  # raised with every change that moves a pixel or a label
_STREAMS = dict(track=1, sign_test=2, kitti=3, lane=4, lane_test=5, joint=6)


def picture_rng(seed: int, stream: str, index: int) -> np.random.Generator:
    "The random generator of one picture (or track)."
    return np.random.default_rng(np.random.SeedSequence([seed, _STREAMS[stream], index]))


GTSRB_COUNTS = (
    210,
    2220,
    2250,
    1410,
    1980,
    1860,
    420,
    1440,
    1410,
    1470,
    2010,
    1320,
    2100,
    2160,
    780,
    630,
    420,
    1110,
    1200,
    210,
    360,
    330,
    390,
    510,
    270,
    1500,
    600,
    240,
    540,
    270,
    450,
    780,
    240,
    689,
    420,
    1200,
    390,
    210,
    2070,
    300,
    360,
    240,
    240,
)


def sign_counts(
    total: int,  # to share out
    skew: float = 0.0,  # 0 equal, 1 as GTSRB
) -> np.ndarray:  # (43,) int, sums to total
    "How many of `total` each sign class gets, by largest remainders; at least one each where there are enough."
    weight = np.array(GTSRB_COUNTS, np.float64) ** skew
    share = total * weight / weight.sum()
    if total >= 43:
        share = 1 + (total - 43) * weight / weight.sum()
    counts = np.floor(share + 1e-9).astype(int)
    order = np.argsort(counts - share, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def _jobs(o: WorldOptions) -> list[tuple]:
    "Every piece of work as (stream, index, class); pictures of all kinds evenly mixed, so that the time left is honest."
    tracks = np.repeat(
        np.arange(43), sign_counts(max(1, round(o.signs / o.frames_per_track)) if o.signs else 0, o.sign_skew)
    )
    streams = dict(
        track=[int(c) for c in tracks],
        sign_test=[i % 43 for i in range(o.sign_test)],
        kitti=[0] * o.scenes,
        lane=[0] * o.lanes,
        lane_test=[0] * o.lane_test,
        joint=[0] * o.joint,
    )
    jobs = [(name, i, c, (i + 0.5) / len(classes)) for name, classes in streams.items() for i, c in enumerate(classes)]
    return [job[:3] for job in sorted(jobs, key=lambda job: job[3])]


class _Shelf:
    "Writes files under a folder and remembers their hashes."

    def __init__(self, root: Path):
        self.root, self.rows, self.labels = root, [], []

    def put(self, path: str, data: bytes):
        file = self.root / path
        try:
            file.write_bytes(data)
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        self.rows.append((path, hashlib.sha256(data).hexdigest(), len(data)))

    def image(self, path: str, rgb: np.ndarray, *flags):
        ok, data = cv2.imencode(Path(path).suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(flags))
        if not ok:
            raise UserError(f"OpenCV could not encode {path}.")
        self.put(path, data.tobytes())


def kitti_lines(scene) -> str:
    "KITTI's 15 columns per object: type truncated occluded alpha x1 y1 x2 y2 h w l X Y Z rotation_y."
    lines = []
    for o in scene.objects:
        alpha = (o.yaw - math.atan2(o.place[0], o.place[2]) + math.pi) % (2 * math.pi) - math.pi
        numbers = [alpha, *o.box, *o.size, *o.place, o.yaw]
        lines.append(f"{o.name} {o.truncation:.2f} {o.occlusion} " + " ".join(f"{v:.2f}" for v in numbers))
    lines += [
        "DontCare -1 -1 -10 " + " ".join(f"{v:.2f}" for v in box) + " -1 -1 -1 -1000 -1000 -1000 -10"
        for box in scene.ignored
    ]
    return "".join(line + "\n" for line in lines) or "\n"  # an empty file would read as a cut-off one


_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)
_HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"


def _sign_row(name: str, image: np.ndarray, roi, class_id: int) -> str:
    return ";".join(str(v) for v in (name, image.shape[1], image.shape[0], *(int(r) for r in roi), class_id))


def _draw_track(shelf, o, index, class_id):
    seed = int(picture_rng(o.seed, "track", index).integers(2**31))
    for frame, (image, roi) in enumerate(draw_sign_track(class_id, seed, frames=o.frames_per_track)):
        shelf.image(f"gtsrb/GTSRB/Training/{class_id:05d}/{index:05d}_{frame:05d}.ppm", image)
        row = _sign_row(f"{index:05d}_{frame:05d}.ppm", image, roi, class_id)
        shelf.labels.append((f"gtsrb/GTSRB/Training/{class_id:05d}/GT-{class_id:05d}.csv", (index, frame), row))


def _draw_sign_test(shelf, o, index, class_id):
    image, roi = draw_sign_crop(class_id, picture_rng(o.seed, "sign_test", index))
    shelf.image(f"gtsrb/GTSRB/Final_Test/Images/{index:05d}.ppm", image)
    shelf.labels.append(("gtsrb/GT-final_test.csv", (index, 0), _sign_row(f"{index:05d}.ppm", image, roi, class_id)))


def _draw_kitti(shelf, o, index, _, root="kitti"):
    scene = draw_scene(picture_rng(o.seed, "kitti", index), "kitti", o.scene_size, o.class_weights)
    shelf.image(f"{root}/training/image_2/{index:06d}.png", scene.image)
    shelf.put(f"{root}/training/label_2/{index:06d}.txt", kitti_lines(scene).encode())
    return scene


def _lane_line(scene, raw_file: str) -> str:
    return json.dumps(dict(lanes=scene.lanes, h_samples=scene.h_samples, raw_file=raw_file))


def _draw_lane(shelf, o, index, _, stream="lane"):
    scene = draw_scene(picture_rng(o.seed, stream, index), "tusimple", o.lane_size, o.class_weights)
    date, table = ("0313", "label_data_0313.json") if stream == "lane" else ("0530", "test_label.json")
    raw_file = f"clips/{date}/{index:06d}/20.jpg"
    shelf.image(f"tusimple/{raw_file}", scene.image, *_JPEG)
    shelf.labels.append((f"tusimple/{table}", (index, 0), _lane_line(scene, raw_file)))


def _draw_lane_test(shelf, o, index, _):
    _draw_lane(shelf, o, index, _, "lane_test")


def _draw_joint(shelf, o, index, _):
    scene = draw_scene(picture_rng(o.seed, "joint", index), "joint", o.lane_size, o.class_weights)
    raw_file = f"clips/joint/{index:06d}/20.jpg"
    shelf.image(f"joint/kitti/training/image_2/{index:06d}.png", scene.image)
    shelf.put(f"joint/kitti/training/label_2/{index:06d}.txt", kitti_lines(scene).encode())
    shelf.image(f"joint/tusimple/{raw_file}", scene.image, *_JPEG)
    shelf.labels.append(("joint/tusimple/label_data_joint.json", (index, 0), _lane_line(scene, raw_file)))
    for n, (class_id, box) in enumerate(scene.signs):
        x1, y1, x2, y2 = (int(round(v)) for v in box)
        edge = max(2, round(0.1 * (x2 - x1)))  # GTSRB leaves about a tenth around a sign
        xa, ya = max(0, x1 - edge), max(0, y1 - edge)
        crop = scene.image[ya : y2 + edge, xa : x2 + edge]
        shelf.image(f"joint/gtsrb/GTSRB/Final_Test/Images/{index:06d}_{n}.ppm", crop)
        row = _sign_row(f"{index:06d}_{n}.ppm", crop, (x1 - xa, y1 - ya, x2 - xa - 1, y2 - ya - 1), class_id)
        shelf.labels.append(("joint/gtsrb/GT-final_test.csv", (index, n), row))
        shelf.labels.append(("joint/signs.csv", (index, n), f"{index:06d}.png;{x1};{y1};{x2};{y2};{class_id}"))


_DRAW = dict(
    track=_draw_track,
    sign_test=_draw_sign_test,
    kitti=_draw_kitti,
    lane=_draw_lane,
    lane_test=_draw_lane_test,
    joint=_draw_joint,
)


def _work(root: str, options: WorldOptions, jobs: list[tuple]) -> tuple[list, list, int]:
    "Draw some jobs; returns (path, hash, bytes) of the files, label lines, and the number of jobs."
    shelf = _Shelf(Path(root))
    for stream, index, class_id in jobs:
        _DRAW[stream](shelf, options, index, class_id)
    return shelf.rows, shelf.labels, len(jobs)


def _watch_parent():
    "Worker start: one OpenCV thread each, and an end when the parent process ends."
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _run(root: Path, options: WorldOptions, jobs: list[tuple], workers: int, progress: bool):
    "Draw all jobs; yields the results of `_work` as they come."
    chunks = [jobs[i : i + 8] for i in range(0, len(jobs), 8)]
    with tqdm(total=len(jobs), desc="drawing the world", unit=" pictures", disable=not progress) as bar:
        if workers <= 1:
            for chunk in chunks:
                out = _work(str(root), options, chunk)
                bar.update(out[2])
                yield out
            return
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin" else "spawn"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the workers use none of them
            pool = concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context(method), _watch_parent)
            try:
                for future in concurrent.futures.as_completed(
                    [pool.submit(_work, str(root), options, c) for c in chunks]
                ):
                    out = future.result()
                    bar.update(out[2])
                    yield out
            finally:
                pool.shutdown(cancel_futures=True)


def world_version() -> str:
    "Version of the generator: to be raised with every change that moves a pixel or a label (a test keeps the hash of the tiny world)."
    return WORLD_VERSION


def _plain(options: WorldOptions) -> dict:
    "Options as JSON gives them back."
    return json.loads(json.dumps(asdict(options)))


def read_manifest(root: str | Path) -> dict | None:
    "The manifest of a world, or None where there is none; raises UserError if it does not parse."
    path = Path(root) / "manifest.json"
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: not valid JSON ({e}): delete the folder and make the world again with mtl_data make.")
    except OSError as e:
        raise UserError(
            f"{path}: cannot be read ({e.strerror}): mend its permissions, or choose another folder."
        ) from e
    if not isinstance(manifest, dict) or "hash" not in manifest:
        raise UserError(f"{path}: not a manifest of the built-in world: choose another folder.")
    return manifest


def _foreign(root: Path) -> str | None:
    "A file under root that the world did not write, or None."
    own = {"manifest.json", "files.csv"}
    with contextlib.suppress(OSError):
        own |= {line.split(";")[0] for line in (root / "files.csv").read_text(encoding="utf-8").splitlines()}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            if path not in own:
                return path
    return None


def _write_tables(root: Path, labels: list, rows: list):
    "Label tables in index order, then the list of files; returns the world's hash."
    shelf, tables = _Shelf(root), {}
    for table, key, line in labels:
        tables.setdefault(table, []).append((key, line))
    for table, lines in sorted(tables.items()):
        head = (
            ""
            if table.endswith(".json")
            else "Filename;X1;Y1;X2;Y2;ClassId\n"
            if table.endswith("signs.csv")
            else _HEADER + "\n"
        )
        shelf.put(table, (head + "".join(line + "\n" for _, line in sorted(lines))).encode())
    rows = sorted(rows + shelf.rows)
    listing = "".join(f"{path};{digest};{size}\n" for path, digest, size in rows).encode()
    (root / "files.csv").write_bytes(listing)
    return hashlib.sha256(listing).hexdigest(), len(rows), sum(r[2] for r in rows)


def _alive(folder: Path) -> bool:
    "Whether the process that writes a temporary folder is still there; its number is in the folder's name."
    pid = folder.name.rpartition("making-")[2].split("-")[0]
    if pid.isdigit() and os.name == "posix":
        with contextlib.suppress(OSError):
            os.kill(int(pid), 0)
            return True
    return False


def _remove(world: Path):
    "Delete a folder, its manifest first: what an interruption leaves of it must not look like a world."
    with contextlib.suppress(OSError):
        (world / "manifest.json").unlink()
    shutil.rmtree(world, ignore_errors=True)


def _sweep(root: Path):
    "Remove what interrupted runs left beside root."
    for old in root.parent.glob(f"{root.name}.making-*"):
        if not _alive(old):
            _remove(old)


def _rescue(root: Path):
    "Put back the world that a remake had just moved aside when it was interrupted."
    if root.exists():
        return
    for old in sorted(root.parent.glob(f"{root.name}.making-*-old")):
        if (old / "manifest.json").is_file() and not _alive(old):
            return os.rename(old, root)


def _replace(root: Path, making: Path):
    "Move a finished world to root; an older world there, all of whose files are its own, is removed."
    if not (root.is_dir() and any(root.iterdir())):
        if root.is_dir():
            root.rmdir()
        return os.rename(making, root)
    old = root.with_name(f"{root.name}.making-{os.getpid()}-old")
    os.rename(root, old)
    try:
        os.rename(making, root)
    except BaseException:
        os.rename(old, root)
        raise
    _remove(old)


def _megabytes(o: WorldOptions) -> int:
    "Rough size of a world on disk."
    signs = 0.007 * (o.signs + o.sign_test)
    return 1 + int(
        signs
        + 2.1e-6 * (o.scenes + o.joint) * math.prod(o.scene_size)
        + 5e-7 * (o.lanes + o.lane_test + o.joint) * math.prod(o.lane_size)
    )


def _draw_into(making: Path, options: WorldOptions, workers: int, progress: bool) -> dict:
    "Draw everything into a new folder; returns counts, bytes and the hash."
    making.mkdir()
    rows, labels, jobs = [], [], _jobs(options)
    for more_rows, more_labels, _ in _run(making, options, jobs, workers, progress):
        rows += more_rows
        labels += more_labels
    digest, files, size = _write_tables(making, labels, rows)
    counts = {name: sum(job[0] == name for job in jobs) for name in _STREAMS}
    counts["track"] *= options.frames_per_track
    counts = {"signs" if name == "track" else name: n for name, n in counts.items()}
    return dict(counts=counts, files=files, bytes=size, hash=digest)


def _make(root: Path, options: WorldOptions, wanted: dict, workers: int, progress: bool) -> dict:
    "Draw into a folder beside root and rename it at the end."
    root.parent.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    if shutil.disk_usage(root.parent).free < _megabytes(options) * 1e6:
        raise OSError(errno.ENOSPC, "No space left on device")
    making = root.with_name(f"{root.name}.making-{os.getpid()}-{uuid.uuid4().hex[:6]}")
    try:
        facts = _draw_into(making, options, workers, progress)
        manifest = dict(
            **wanted, seed=options.seed, **facts, made_with=dict(numpy=np.__version__, opencv=cv2.__version__)
        )
        (making / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        _replace(root, making)
        return manifest
    finally:
        _remove(making)


def _check_folder(root: Path, wanted: dict) -> dict | None:
    "The manifest if root already is the wanted world, None if it may be made; raises UserError where files of others lie."
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is a file: give a folder for the world.")
    manifest = read_manifest(root)
    if manifest and all(manifest.get(k) == v for k, v in wanted.items()):
        return manifest
    if not root.is_dir() or not any(root.iterdir()):
        return None
    if manifest is None:
        raise UserError(
            f"{root} is not empty and has no manifest.json: it is not the built-in world, so nothing is written there; choose another folder."
        )
    if foreign := _foreign(root):
        raise UserError(
            f"{root} holds {foreign}, which the world did not write: move it away, or choose another folder."
        )
    return None


def make_world(
    root: str | Path,  # folder of the world
    size: str = "laptop",  # "laptop" or "tiny"
    workers: int | None = None,  # processes; None: one per core
    progress: bool = True,  # show a bar with the time left
    **options,  # fields of WorldOptions
) -> dict:  # the manifest
    "Make the world with these options, or leave it alone when it is already there; raises UserError for bad options or a folder that is not the world's."
    options, root = world_options(size, **options), Path(root).expanduser().absolute()
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise UserError(f"workers must be a whole number of at least 1, got {workers!r}.")
    wanted = dict(version=world_version(), options=_plain(options))
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        _rescue(root)
        if manifest := _check_folder(root, wanted):
            return manifest
        return _make(root, options, wanted, workers, progress)
    except concurrent.futures.process.BrokenProcessPool as e:
        raise UserError(
            "a drawing process was ended from outside, perhaps for lack of memory: start again with fewer workers."
        ) from e
    except OSError as e:
        if e.errno == errno.ENOSPC:
            raise UserError(
                f"the disk is full: {root} needs about {_megabytes(options)} MB; free some space or choose a smaller world."
            ) from e
        raise UserError(f"cannot write the world to {root}: {e.strerror or e}.") from e


def recorded_options(root: str | Path) -> dict:
    "The options with which the world at root was made; raises UserError where its manifest holds none that can still be used."
    path, known = Path(root) / "manifest.json", {f.name for f in fields(WorldOptions)}
    advice = f"it is out of date and cannot be made again as it was; say what it shall be: mtl_data make {root} with the options you want."
    options = (read_manifest(root) or {}).get("options")
    if not isinstance(options, dict):
        raise UserError(f"{path}: the options of this world are missing; {advice}")
    if gone := sorted(set(options) - known):
        raise UserError(f"{path}: this world was made with the option {gone[0]!r}, which no longer exists; {advice}")
    try:
        world_options(**options)
    except (UserError, TypeError, ValueError) as e:
        raise UserError(f"{path}: {str(e).rstrip('.')}; {advice}") from e
    return options


def ensure_world(
    root: str | Path,  # folder of the world
    size: str = "laptop",  # "laptop" or "tiny": what is made where there is no world yet
    workers: int | None = None,  # processes; None: one per core
    progress: bool = True,  # show a bar with the time left
) -> dict:  # the manifest
    "The world at root as this version draws it: made where there is none, made again with its own options where it is out of date; raises UserError like `make_world`."
    root = Path(root).expanduser().absolute()
    with contextlib.suppress(OSError):
        _rescue(root)
    manifest = read_manifest(root)
    if manifest is None:
        return make_world(root, size, workers, progress)
    if manifest.get("version") == world_version():
        return manifest
    return make_world(root, workers=workers, progress=progress, **recorded_options(root))
