"""Six small programs around the package: data, training, evaluation, prediction, comparison, figures."""

__all__ = [
    "PICTURES",
    "VIDEOS",
    "ALL_FIGURES",
    "mtl_data",
    "mtl_train",
    "mtl_evaluate",
    "mtl_predict",
    "find_pictures",
    "mtl_compare",
    "mtl_figures",
]

import contextlib, functools, inspect, json, math, os, sys, warnings
from pathlib import Path
import cv2, numpy as np, torch
from fastcore.script import Param, anno_parser
from tqdm.auto import tqdm
from ..plots.architecture import ARCHITECTURE_FIGURES
from ..training.batch_size import batch_size_sentence, find_batch_size as search_batch_size, write_batch_sizes
from ..plots.comparison import COMPARISON_FIGURES, write_data_counts
from ..config import RECIPES, TASKS, config_fields, load_config, make_config
from ..core.errors import UserError
from ..core.files import atomic_write, project_root, resolve
from ..core.device import choose_device, choose_precision
from ..data.checking import check_data, check_labels, download, how_to_get
from ..data.loaders import evaluation_loader, prepare_data
from ..data.images import read_image
from ..world.build import WORLD_SIZES, make_world
from ..evaluation.evaluate import evaluate_model
from ..evaluation.predict import draw_found, predict_image
from ..evaluation.results import format_scores, model_label, write_results
from ..studies.runner import headline_scores, study_summary
from ..plots.figures import FIGURES, make_figures
from ..plots.gradients import GRADIENT_FIGURES
from ..plots.imbalance import IMBALANCE_FIGURES
from ..losses import BALANCERS, make_balancer
from ..models.checkpoint import load_model
from ..plots.predictions import PREDICTION_FIGURES
from ..plots.sharing import SHARING_FIGURES
from ..studies.plans import STUDIES, STUDY_FILE, make_study
from ..training.loop import config_to_resume, start_fabric, train


@contextlib.contextmanager
def _speaks_plainly(name):
    "Inside the block a mistake ends the program `name` with one line on stderr and exit code 2; warnings are one line, too."
    with warnings.catch_warnings():  # what is changed here is put back
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
        try:
            yield
        except (UserError, OSError) as e:
            _end(name, _sentence(e))
        except KeyboardInterrupt:
            _end(name, "stopped", 130)
        except RuntimeError as e:
            if not _lost_another_process(e):
                raise
            _end(
                name,
                "" if torch.distributed.get_rank() else "another process of this run ended; what it said stands above",
            )


def _end(name, sentence, code=2):
    if sentence:
        print(f"{name}: {sentence}", file=sys.stderr)
    if _several_processes():  # the threads that connect them may outlive the interpreter and crash it on its way out
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _several_processes():
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _sentence(error):
    "The sentence of a `UserError`; one from a loader's worker process comes wrapped in that process's trace."
    return str(error).split("UserError: ")[-1].strip()


def _lost_another_process(error):
    "Whether an error says that another process of a distributed run does not answer any more."
    return _several_processes() and any(
        word in str(error) for word in ("gloo", "monitoredBarrier", "Connection", "NCCL")
    )


def _command(function):
    "Makes a function a program: called by its console script it takes its arguments from the command line, called from Python it is a function as before."

    @functools.wraps(function)
    def command(*args, **kwargs):
        with _speaks_plainly(function.__name__):
            if not args and not kwargs and _is_script(inspect.currentframe().f_back):
                kwargs = _parsed(function)
            return function(*args, **kwargs)

    return command


def _is_script(frame):
    "Whether a call comes from the top of a file that is being run (not from a notebook, a function or a module)."
    return (
        frame.f_globals.get("__name__") == "__main__"
        and "__file__" in frame.f_globals
        and frame.f_locals is frame.f_globals
    )


def _parsed(function) -> dict:  # parameter -> value
    "The arguments on the command line, options before or behind the others; raises `UserError` where argparse would print a page of usage."

    def refuse(message):
        raise UserError(f"{message}; {function.__name__} --help lists the options")

    parser = anno_parser(function, function.__name__)
    parser.error = refuse  # of this parser alone
    arguments = vars(parser.parse_intermixed_args([_underscored(a) for a in sys.argv[1:]]))
    return {k: v for k, v in arguments.items() if k in inspect.signature(function).parameters}


def _underscored(argument):
    "An option's name with underscores, as parameters have them: --no-test is --no_test. Values stay as they are."
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value


def _with_config_options(function):
    "Adds an option for every field of `Config` to a function that takes `**overrides`."
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
    extra = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Param(_option_help(f), str))
        for f in config_fields().values()
        if f.name not in signature.parameters
    ]
    function.__signature__ = signature.replace(parameters=own + extra)
    function.__annotations__ = {p.name: p.annotation for p in own + extra}
    return function


def _option_help(f):
    "A field's line of help with the values it takes and its value in the `laptop` recipe."
    options, text = f.options, f.help
    if f.name == "balancer":
        options, text = (*BALANCERS, "torchjd:<weighting>"), text.split(";")[0]
    if options:
        text += f" [{', '.join(options)}]"
    value = f.text(getattr(make_config("laptop"), f.name))
    return (text if value == "" else f"{text} (laptop: {value})").replace("%", "%%")


def _check_tasks(asked, model, checkpoint):
    "Raises `UserError` for a task that the model was not trained on."
    absent = [t for t in asked or () if t not in model.tasks]
    if absent:
        raise UserError(
            f"tasks is {','.join(asked)}: {_short(checkpoint)} has no {absent[0]} head, only {', '.join(model.tasks)}"
        )


def _refuse(report, data_root, note=""):
    "Stops when a report, shown before, has problems."
    n = len(report.problems)
    if n:
        raise UserError(
            f"{data_root}: {n} problem{'s' * (n > 1)}, listed above; mend {'them' if n > 1 else 'it'} before training{note}"
        )


@_command
def mtl_data(
    action: Param(
        "make: the built-in world; check: a folder of data, file by file; get: how to obtain the real sets; download: those that can be",
        str,
        choices=["make", "check", "get", "download"],
    ),
    data_root: Param(
        "folder with gtsrb/, kitti/ and tusimple/; make and check: datasets/world unless another is given; download: a new folder, which must be given",
        str,
        opt=False,
        nargs="?",
    ) = None,
    size: Param("size of the world to make", str, choices=list(WORLD_SIZES)) = "laptop",
    tasks: Param("tasks to check or download, comma-separated", str) = ",".join(TASKS),
    seed: Param("seed of the world to make", int) = 0,
    signs: Param(
        "make: sign crops for training (without this option, as many as the size has; so with those below)", int
    ) = None,
    sign_test: Param("make: sign crops of the test set", int) = None,
    frames_per_track: Param("make: pictures of one and the same sign while coming nearer, 1 to 30", int) = None,
    sign_skew: Param(
        "make: imbalance of the sign classes, 0: equally many of each, 1: as in GTSRB, at most 2", float
    ) = None,
    scenes: Param("make: road scenes with boxes", int) = None,
    class_weights: Param(
        "make: how often each kind of object comes, such as Car=3,Tram=0.5; those left out do not come", str
    ) = None,
    lanes: Param("make: lane images for training", int) = None,
    lane_test: Param("make: lane images of the test set", int) = None,
    joint: Param("make: scenes labelled for all three tasks", int) = None,
    workers: Param("make: drawing processes; default: one per core", int) = None,
):
    "Makes the built-in driving world, checks data, or says how to get the real data sets."
    options = dict(
        signs=signs,
        sign_test=sign_test,
        frames_per_track=frames_per_track,
        sign_skew=sign_skew,
        scenes=scenes,
        class_weights=_weights(class_weights),
        lanes=lanes,
        lane_test=lane_test,
        joint=joint,
        workers=workers,
    )
    options = {k: v for k, v in options.items() if v is not None}
    if options and action != "make":
        raise UserError(f"{next(iter(options))} is an option of `mtl_data make`, not of `mtl_data {action}`")
    if action == "download" and not data_root:
        raise UserError("name the folder for the real data: mtl_data download FOLDER")
    data_root, tasks = data_root or "datasets/world", make_config(tasks=tasks).tasks
    root = resolve(data_root)
    if action == "make":
        manifest = make_world(root, size=size, seed=seed, **options)
        print(
            f"{data_root}: {', '.join(f'{n} {k}' for k, n in manifest['counts'].items())}; seed {manifest['seed']}, hash {manifest['hash'][:16]}"
        )
    elif action == "check":
        if not root.is_dir():
            raise UserError(f"{data_root}: no such folder, expected one that holds gtsrb/, kitti/ and tusimple/")
        report = check_data(root, tasks)
        print(report)
        _refuse(report, data_root)
    else:
        for task in tasks:
            print(how_to_get(task) if action == "get" else _downloaded(task, data_root))


def _downloaded(task, data_root):
    "Downloads a real data set and says so; for the one that has no downloader, how to get it."
    if task == "lane":
        return f"lane: has no downloader, get it by hand\n{how_to_get(task)}"
    download(task, data_root)
    return f"{task}: in {data_root}"


def _weights(text):
    "Class -> weight from text such as Car=3,Tram=0.5; None stays None."
    if text is None:
        return None
    try:
        weights = {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        weights = {}
    if not weights or not all(map(math.isfinite, weights.values())):
        raise UserError(f"class_weights is {text!r}: expected class=number, comma-separated, such as Car=3,Tram=0.5")
    return weights


@_command
@_with_config_options
def mtl_train(
    recipe: Param("named recipe that the other options change", str, choices=list(RECIPES)) = "laptop",
    resume: Param("go on from the last checkpoint in results_dir, with its config", bool) = False,
    no_test: Param("do not evaluate on the test part at the end", bool) = False,
    find_batch_size: Param(
        "train nothing: measure steps of growing batch size and print the largest sensible one", bool
    ) = False,
    **overrides,
):
    "Trains one network on all tasks, evaluates it on held-out data and writes checkpoints, logs, tables and figures."
    changes = {k: v for k, v in overrides.items() if v is not None}
    config = make_config(recipe, **changes)
    saved = config_to_resume(resolve(config.results_dir))
    if resume and saved.exists():
        config = load_config(saved).replace(**changes)
    make_balancer(
        config.balancer, config.tasks, **config.balancer_settings
    )  # a wrong option is found now, not after the world is made
    if find_batch_size:
        return _tell_batch_size(config)
    fabric = start_fabric(config)
    run = train(config, resume, fabric=fabric, prepare=_prepare_and_check)
    if fabric.global_rank == 0 and not no_test:
        results = resolve(config.results_dir)
        held_out = "test" if config.split_rule == "held_out" else "val"  # the specification's splits have no test part
        device = choose_device(config.device)
        _evaluate(config, load_model(results / "checkpoints" / "model_best.pt", device), device, held_out, results)
        made = make_figures(results)
        print(
            f"trained in {run.seconds / 60:.1f} minutes; best epoch {run.best_epoch} of {config.epochs}\n"
            f"checkpoint  {_short(results / 'checkpoints' / 'model_best.pt')}\nlog         {_short(results / 'logs' / 'training.log')}\n"
            f"scores      {_short(results / 'evaluation_results.csv')}\nfigures     {', '.join(Path(p).name for p in made)}"
        )


def _tell_batch_size(config):
    "Prints what steps of each batch size take, and the choice; keeps the table in the results folder."
    if "LOCAL_WORLD_SIZE" in os.environ:
        raise UserError("find_batch_size measures one process: start it without torchrun")
    found = search_batch_size(config)
    shown = found.table[found.table.fits].assign(peak_memory_gib=lambda t: t.memory / 2**30)
    print(
        shown[["batch_size", "images", "seconds", "low", "high", "images_per_second", "peak_memory_gib"]].to_string(
            index=False, float_format=lambda v: f"{v:.3g}"
        )
    )
    print(f"{batch_size_sentence(found)}\ntable       {_short(write_batch_sizes(found))}")


def _prepare_and_check(config, progress=True):
    "Makes the world where it is missing and reads every label."
    prepare_data(config, progress)
    report = check_labels(resolve(config.data_root), config.tasks)
    if report.problems:
        print(report, file=sys.stderr)
    _refuse(report, config.data_root, f" (labels only; `mtl_data check {config.data_root}` also decodes every image)")


def _short(path):
    "A path as seen from here or from the project's root, where that is shorter."
    return next((path.relative_to(root) for root in (Path.cwd(), project_root()) if path.is_relative_to(root)), path)


def _evaluate(config, model, device, part, results):
    "Scores a model on one part of the data, writes the tables and prints the short one."
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    tasks = [t for t in config.tasks if t in model.tasks]
    loaders = {t: evaluation_loader(config, part, (t,)) for t in tasks}
    scores = evaluate_model(model, loaders, device, choose_precision(config.precision, device))
    write_results(scores, results, model_label(config), config.seed, Path(config.data_root).name, part)
    print(format_scores(scores))


@_command
def mtl_evaluate(
    checkpoint: Param("the trained model", str) = "results/checkpoints/model_best.pt",
    data_root: Param(
        "another folder with gtsrb/, kitti/ and tusimple/; default: the one it was trained on", str
    ) = None,
    part: Param("held-out part to score", str, choices=["test", "val", "train", "all"]) = "test",
    tasks: Param("tasks to score, comma-separated; default: all that the model has", str) = None,
    device: Param("auto: a GPU where there is one", str, choices=["auto", "cpu", "cuda"]) = "auto",
    results_dir: Param("folder for the tables; default: the one above the checkpoint's", str) = None,
):
    "Scores a trained model on held-out data and adds the scores to evaluation_results.csv."
    checkpoint, device = resolve(checkpoint), choose_device(device)
    model = load_model(checkpoint, device)
    config, wanted = model.config, tasks and make_config(tasks=tasks).tasks
    _check_tasks(wanted, model, checkpoint)
    changes = {k: v for k, v in dict(data_root=data_root, tasks=tasks).items() if v is not None}
    results = resolve(results_dir) if results_dir else checkpoint.parent.parent
    config = config.replace(device=device, **changes)
    prepare_data(config)
    _evaluate(config, model, device, part, results)
    print(f"scores      {_short(results / 'evaluation_results.csv')}")


PICTURES, VIDEOS = {".png", ".jpg", ".jpeg", ".ppm"}, {".mp4", ".avi", ".mov", ".mkv"}


@_command
def mtl_predict(
    images: Param(
        "pictures, folders of pictures, or videos; a picture of a sign shall be cut close to the sign, as those are that the laptop recipe learns from (roi_margin)",
        str,
        nargs="+",
    ),
    checkpoint: Param("the trained model", str) = "results/checkpoints/model_best.pt",
    out: Param("folder for the drawn pictures and the json files", str) = "results/predictions",
    tasks: Param("tasks to run, comma-separated; default: guessed from the picture's shape", str) = None,
    score_threshold: Param("smallest score of a box, 0 to 1", float) = 0.5,
    device: Param("auto: a GPU where there is one", str, choices=["auto", "cpu", "cuda"]) = "auto",
):
    "Draws boxes, lanes and the sign's name on pictures or videos and writes what was found as json."
    if not 0 <= score_threshold <= 1:
        raise UserError(f"score_threshold is {score_threshold}: expected a number from 0 to 1")
    files, out, checkpoint = find_pictures(images), resolve(out), resolve(checkpoint)
    tasks = make_config(tasks=tasks).tasks if tasks else None
    model = load_model(checkpoint, choose_device(device))
    _check_tasks(tasks, model, checkpoint)
    for file, written in tqdm(_outputs(files, out).items(), desc="predicting", disable=len(files) < 5):
        if file.suffix.lower() in VIDEOS:
            _predict_video(model, file, written, tasks, score_threshold)
        else:
            picture = read_image(file)[0].permute(1, 2, 0).numpy()
            found = predict_image(model, picture, tasks, score_threshold)
            with atomic_write(written) as t:
                cv2.imwrite(str(t), draw_found(picture, found)[..., ::-1])
            _write_json(
                written.with_suffix(".json"),
                dict(file=file.name, height=picture.shape[0], width=picture.shape[1]) | found,
            )
        print(f"{file.name} → {_short(written)}")


def _write_json(path, content):
    with atomic_write(path) as t:
        t.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def find_pictures(names: list) -> list[Path]:  # files and folders
    "The pictures and videos that the names stand for, each once; raises `UserError` for one that does not exist or cannot be read."
    files = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES | VIDEOS)
            if not inside:
                raise UserError(
                    f"{name}: no pictures or videos in this folder (looked for {', '.join(sorted(PICTURES | VIDEOS))})"
                )
            files += inside
        elif not path.is_file():
            raise UserError(f"{name}: no such file or folder")
        elif path.suffix.lower() not in PICTURES | VIDEOS:
            raise UserError(f"{name}: expected a picture or video ({', '.join(sorted(PICTURES | VIDEOS))})")
        else:
            files.append(path)
    return list({p.resolve(): p for p in files}.values())


def _outputs(files, out) -> dict:  # input -> drawn picture or video
    "A name in `out` for each input: its own, or with _2, _3 … where another input has that name or lies there itself."
    outputs, taken = (
        {},
        {str(p.resolve().with_suffix("")).lower() for p in files if p.resolve().parent == out.resolve()},
    )
    for file in files:
        stem, k = out.resolve() / file.stem, 1
        while str(stem).lower() in taken:
            k += 1
            stem = out.resolve() / f"{file.stem}_{k}"
        taken.add(str(stem).lower())
        outputs[file] = out / f"{stem.name}{'.mp4' if file.suffix.lower() in VIDEOS else '.png'}"
    return outputs


def _frames(file):
    "Yields the frames of a video, RGB uint8 (H, W, 3); raises `UserError` when there is none."
    video, k = cv2.VideoCapture(str(file)), 0
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    with contextlib.closing(tqdm(total=count if count > 0 else None, desc=file.name, unit=" frames")) as bar:
        while True:
            good, frame = video.read()
            if not good:
                break
            k += 1
            bar.update()
            yield np.ascontiguousarray(frame[..., ::-1])
    video.release()
    if not k:
        raise UserError(f"{file}: not a readable video")


def _predict_video(model, file, written, tasks, score_threshold):
    "Draws on every frame of a video; writes a video and, beside it, one json object per frame."
    probe = cv2.VideoCapture(str(file))
    rate = probe.get(cv2.CAP_PROP_FPS)
    probe.release()
    rate = rate if 0 < rate <= 1000 else 25
    written.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_write(written) as movie,
        atomic_write(written.with_suffix(".jsonl")) as lines,
        open(lines, "w", encoding="utf-8") as text,
    ):
        writer = None
        for k, frame in enumerate(_frames(file)):
            found = predict_image(model, frame, tasks, score_threshold)
            writer = writer or cv2.VideoWriter(str(movie), cv2.VideoWriter_fourcc(*"mp4v"), rate, frame.shape[1::-1])
            if not writer.isOpened():
                raise UserError(
                    f"{written}: this OpenCV cannot write mp4 videos of {frame.shape[1]} x {frame.shape[0]} pixels"
                )
            writer.write(np.ascontiguousarray(draw_found(frame, found)[..., ::-1]))
            text.write(json.dumps(dict(frame=k) | found) + "\n")
        writer.release()


@_command
def mtl_compare(
    study: Param("what is compared", str, choices=list(STUDIES)) = "balancers",
    seeds: Param("seeds, comma-separated", str) = "0,1,2",
    runs: Param("names of some runs, separated by ;  (empty: all)", str) = "",
    workers: Param("trainings side by side, one thread each; default: one per core, or one on the GPU", int) = None,
    part: Param("part whose scores are shown: choose on val, report test", str, choices=["val", "test"]) = "val",
    out: Param("the table", str) = STUDY_FILE,
    recipe: Param("recipe from which all runs start", str, choices=list(RECIPES)) = "study",
):
    "Trains each run of a study with each seed, keeps all scores in one table, and shows the mean change against the single-task baselines."
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}: expected a whole number of at least 1")
    try:
        numbers = [int(s) for s in seeds.split(",")]
    except ValueError:
        raise UserError(f"seeds is {seeds!r}: expected whole numbers, comma-separated, such as 0,1,2") from None
    names = [n.strip() for n in runs.split(";") if n.strip()]
    table = make_study(study, numbers, names, workers, path=out, recipe=recipe)
    table = table[table.run.isin(STUDIES[study])]
    if table.empty:
        raise UserError(f"{out}: no run of the study {study!r} could be made; the lines above say why")
    shown = (
        study_summary(table, part)
        if "alone" in set(table.run)
        else headline_scores(table, part).groupby(level="run", sort=False).mean().reset_index()
    )
    print(shown.to_string(index=False, float_format=lambda v: f"{v:.3f}"))


ALL_FIGURES = (
    FIGURES
    | ARCHITECTURE_FIGURES
    | COMPARISON_FIGURES
    | PREDICTION_FIGURES
    | GRADIENT_FIGURES
    | IMBALANCE_FIGURES
    | SHARING_FIGURES
    | {"data_counts": COMPARISON_FIGURES["figure_12_data_imbalance"]}
)  # file name -> function of the results folder; later ones replace earlier ones of the same name


@_command
def mtl_figures(
    results_dir: Param("folder with logs/ and evaluation_results.csv", str) = "results",
    format: Param("file format", str, choices=["png", "pdf", "svg"]) = "png",
):
    "Draws the figures from result files; for one whose input is missing it says which command makes it."
    results = resolve(results_dir)
    if (results / "config.json").is_file() and not (results / "data_counts.csv").is_file():
        with contextlib.suppress(UserError):
            write_data_counts(results)  # no data here: the figure says so
    for path in make_figures(results, format, figures=ALL_FIGURES):
        print(_short(Path(path)))
