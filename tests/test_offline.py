"""Nothing asks the network, and nothing is installed, unasked; too little shared memory is told."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.data.shared_memory import check_shared_memory
from mtl_course.widgets.sweep import sweep_to_jshtml

ROOT = Path(__file__).parents[1]
LOADS = re.compile(r"<(?:link|script|img|iframe)[^>]*https?:|@import[^;]*https?:")


def stored_pages(path: Path) -> list[str]:
    outputs = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        outputs += cell.get("outputs", [])
    return ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]


@pytest.mark.parametrize("path", sorted(ROOT.glob("nbs/*/*.ipynb")), ids=lambda path: path.stem)
def test_a_stored_page_loads_nothing_from_elsewhere(path):
    assert not any(map(LOADS.search, stored_pages(path)))


def test_a_new_page_loads_nothing_from_elsewhere():
    page = sweep_to_jshtml([np.zeros((20, 30, 3), np.uint8)] * 2)
    assert not LOADS.search(page)
    assert "fa fa-" not in page
    assert page.count("<button") == 9


@pytest.fixture
def installing(tmp_path):
    "Runs `make chromium` where there is none, and where installing would leave a trace."
    for name, says in dict(id="echo 1000", sudo=f"echo sudo >> {tmp_path}/asked", true="").items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/bash\n{says}\n")
        program.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k not in ("CHROMIUM", "MAKEFLAGS", "INSTALL")}
    environment["PATH"] = str(tmp_path / "bin")

    def make(*options):
        command = [shutil.which("make"), "-C", str(ROOT), "chromium", *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return SimpleNamespace(code=done.returncode, err=done.stderr, asked=(tmp_path / "asked").exists())

    return make


def test_the_browser_tests_install_nothing_unasked(installing):
    done = installing()
    assert (done.code, done.asked) == (2, False)
    assert "INSTALL=1" in done.err
    assert "apt-get install" in done.err


def test_the_browser_tests_install_when_asked(installing):
    assert installing("INSTALL=1").asked


def test_too_little_shared_memory_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=16, f_frsize=4096))
    config = make_config("smoke", num_workers=2)
    with pytest.raises(UserError, match="shared memory .* has 0 MB free: expected .* --num_workers"):
        check_shared_memory(config, tmp_path)
    check_shared_memory(config.replace(num_workers=0), tmp_path)
