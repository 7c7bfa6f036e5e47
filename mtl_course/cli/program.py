"""What makes a function a program: arguments, mistakes in one sentence, exit codes."""

import contextlib
import functools
import inspect
import os
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from fastcore.script import Param, anno_parser
from tqdm import tqdm

from ..config import config_fields, make_config
from ..core.errors import UserError, is_disk_full, shorten
from ..core.files import short_path
from ..core.memory import is_out_of_memory
from ..losses import BALANCERS

__all__ = []


def command(function: Callable) -> Callable:
    """Makes a function a program (a decorator).

    Called by its console script it takes its arguments from the command line;
    called from Python it is a function.
    """

    @functools.wraps(function)
    def program(*args, **kwargs):
        with _one_line_errors(function.__name__):
            if not args and not kwargs and _is_script(inspect.currentframe().f_back):
                kwargs = _parse_arguments(function)
            return function(*args, **kwargs)

    return program


@contextlib.contextmanager
def _one_line_errors(name: str):  # of the program
    """Inside the block a mistake ends the program with one line on stderr and exit code 2.

    Warnings are one line, too.
    """

    def show_warning(message, *_, **__):
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():  # what is changed here is put back
        warnings.showwarning = show_warning
        try:
            yield
        except (UserError, OSError) as e:
            _exit(name, _sentence(e))
        except KeyboardInterrupt:
            _exit(name, "stopped", 130)
        except (RuntimeError, MemoryError) as e:
            if _lost_another_process(e):
                first = torch.distributed.get_rank() == 0
                _exit(name, "another process of this run ended; what it said stands above" if first else "")
            sentence = _limit_of_the_machine(e)
            if not sentence:
                raise
            _exit(name, sentence)


def _exit(name: str, sentence: str, code: int = 2):
    for bar in list(getattr(tqdm, "_instances", ())):  # what is printed next shall not stand behind one
        bar.close()
    if sentence:
        print(f"{name}: {sentence}", file=sys.stderr)
    if _several_processes():  # the threads that connect them may outlive the interpreter and crash it on its way out
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _several_processes() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _sentence(error: Exception) -> str:
    "The sentence of a `UserError`; one from a loader's process comes wrapped in its trace."
    if isinstance(error, OSError):
        line = next(reversed(str(error).strip().splitlines()), type(error).__name__)  # of a trace the last
        return _limit_of_the_machine(error) or shorten(line)
    return str(error).split("UserError: ")[-1].strip()


def _limit_of_the_machine(error: Exception) -> str:  # empty: it is something else
    "What to do where the disk, the memory or another process has set an end."
    text = str(error)
    if is_disk_full(error):
        place = f" ({error.filename})" if error.filename else ""
        return f"the disk is full{place}: expected room for what is written; free some space and start again"
    if "shared memory" in text or "shm" in text:
        return (
            "shared memory (/dev/shm) is full: expected room for the batches of the loader's processes; choose fewer "
            "--num_workers (0: none), or give the container more (--shm-size)"
        )
    if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
        return (
            "a process that prepares batches was ended from outside, perhaps for lack of memory: expected it to live; "
            "choose fewer --num_workers (0: none) or a smaller --batch_size"
        )
    if is_out_of_memory(error):
        reason = _first_line(text)
        return f"memory ran out{reason}: expected more; choose a smaller --batch_size, or cut it with --accumulate"
    return ""


def _first_line(text: str) -> str:
    "The first line of an error in brackets; nothing for none."
    line = next(iter(text.strip().splitlines()), "")
    return f" ({textwrap.shorten(line, 120, placeholder=' …')})" if line else ""


def _lost_another_process(error: Exception) -> bool:
    "Whether an error says that another process of a distributed run does not answer any more."
    words = ("gloo", "monitoredBarrier", "Connection", "NCCL")
    return _several_processes() and any(word in str(error) for word in words)


def _is_script(frame) -> bool:
    "Whether a call comes from the top of a file that is being run."
    top = frame.f_locals is frame.f_globals
    return top and frame.f_globals.get("__name__") == "__main__" and "__file__" in frame.f_globals


def _parse_arguments(function: Callable) -> dict:  # parameter -> value
    """The arguments on the command line, options before or behind the others.

    Raises `UserError` where argparse would print a page of usage.
    """

    def refuse(message):
        raise UserError(f"{message}; {function.__name__} --help lists the options")

    parser = anno_parser(function, function.__name__)
    parser.error = refuse  # of this parser alone
    arguments = vars(parser.parse_intermixed_args([_underscored(a) for a in sys.argv[1:]]))
    return {name: value for name, value in arguments.items() if name in inspect.signature(function).parameters}


def _underscored(argument: str) -> str:
    "An option with underscores in its name: --no-test is --no_test. Values stay as they are."
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value


def with_config_options(function: Callable) -> Callable:  # a function with `**overrides`
    "Adds an option for every field of `Config` (a decorator)."
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
    for field in config_fields().values():
        if field.name not in signature.parameters:
            option = Param(_option_help(field), str)
            parameters.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            )
    function.__signature__ = signature.replace(parameters=parameters)
    function.__annotations__ = {p.name: p.annotation for p in parameters}
    return function


def _option_help(field) -> str:
    "A field's line of help with the values it takes and its value in the `laptop` recipe."
    options = field.options
    text = field.help
    if field.name == "balancer":
        options = (*BALANCERS, "torchjd:<weighting>")
        text = text.split(";")[0]
    if options:
        text += f" [{', '.join(options)}]"
    value = field.text(getattr(make_config("laptop"), field.name, field.default))
    return (f"{text} (laptop: {value})" if value else text).replace("%", "%%")


def check_tasks(
    tasks: tuple | None,  # asked for; None: all
    model,
    checkpoint: Path,
):
    "Raises `UserError` for a task that the model was not trained on."
    for task in tasks or ():
        if task not in model.tasks:
            heads = f"no {task} head, only {', '.join(model.tasks)}"
            raise UserError(f"tasks is {','.join(tasks)}: {short_path(checkpoint)} has {heads}")
