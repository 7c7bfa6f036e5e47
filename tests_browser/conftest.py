"""A real JupyterLab on a copy of the notebooks, and a real browser. Nothing leaves this machine."""

import json, os, secrets, shutil, socket, subprocess, sys, tempfile, time, urllib.error, urllib.request
from pathlib import Path
from urllib.parse import urlparse
import pytest

ROOT = Path(__file__).parents[1]
SCREENSHOTS = ROOT / "results" / "screenshots"
START_SECONDS = 90  # for the server to answer
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight are there all the same
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def folder():
    "A place inside the project, so that notebooks find its data; gone afterwards."
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="browser_", dir=ROOT / "build") as made:
        yield Path(made)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def lab(folder):
    "The server's address with its token; settings and runtime files are the copy's own."
    notebooks = folder / "nbs"
    token = secrets.token_hex(16)
    port = free_port()
    shutil.copytree(ROOT / "nbs", notebooks, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name, values in SETTINGS.items():
        path = folder / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    own = {f"JUPYTER_{k}_DIR": str(folder / k.lower()) for k in ("CONFIG", "RUNTIME", "DATA")} | {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    environment = (
        {k: v for k, v in os.environ.items() if k != "MTL_STATIC_WIDGETS"}
        | own
        | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "PYTHONPATH": str(ROOT), "IN_TEST": "1"}
    )  # IN_TEST: notebooks keep it short
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={notebooks}",
        "--expose-app-in-browser",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *(["--allow-root"] if os.getuid() == 0 else []),
    ]
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=notebooks)
    try:
        end = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/api?token={token}"):
            assert server.poll() is None and time.monotonic() < end, (
                f"JupyterLab did not start:\n{(folder / 'lab.log').read_text()[-3000:]}"
            )
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", token
    finally:
        server.terminate()  # ends its kernels, too
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def browser():
    "Debian's Chromium; CHROMIUM names another one."
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "no Chromium here: `make test-browser` installs it, or set CHROMIUM to the path of one"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, headless=True, args=CHROMIUM_FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def context(browser):
    "Can reach this machine only; keeps JupyterLab's files from one test to the next."
    made = browser.new_context(viewport={"width": 1500, "height": 1100})

    def local_only(route):
        route.continue_() if urlparse(route.request.url).hostname in ("127.0.0.1", None) else route.abort()

    made.route("**/*", local_only)
    yield made
    made.close()


@pytest.fixture
def page(context, request):
    "A new tab; what it showed is kept when the test fails."
    tab = context.new_page()
    yield tab
    if request.node.rep_call.failed:  # what was on the screen
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=SCREENSHOTS / f"failed-{request.node.name.replace('/', '-')}.png")
    if tab.evaluate("() => !!window.jupyterapp"):
        tab.evaluate(
            "async () => { await window.jupyterapp.serviceManager.sessions.shutdownAll() }"
        )  # the next notebook has the machine to itself
    tab.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    "Lets fixtures see how the test went."
    report = (yield).get_result()
    setattr(item, f"rep_{report.when}", report)
