"""Installs `mtl_course`; every setting is read from settings.ini, the one place where they are
kept.
"""

from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

parser = ConfigParser(delimiters=["="])
parser.read(Path(__file__).with_name("settings.ini"), encoding="utf-8")
cfg = parser["DEFAULT"]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license="MIT",
    url=cfg["git_url"],
    classifiers=[
        "Programming Language :: Python :: 3",
        "Intended Audience :: Education",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    keywords=cfg["keywords"],
    packages=find_packages(include=["mtl_course", "mtl_course.*"]),
    package_data={"mtl_course": ["weights/*"]},
    python_requires=">=" + cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split(), "balancers": cfg["balancers_requirements"].split()},
    entry_points={
        "console_scripts": [line for line in cfg.get("console_scripts", "").split("\n") if line.strip()],
        "nbdev": [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"],
    },
)
