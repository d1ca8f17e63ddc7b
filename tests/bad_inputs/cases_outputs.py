"""Places that must not be written to, and what may not stand for an image."""

from __future__ import annotations

import os
import sys

from bad_inputs.case import Case, config, visits

TABLE = {"visits.csv": visits()}
READ = "would be overwritten: it is what is read"


def linked(file):
    file.symlink_to(file.parent / "visits.csv")


def hard_linked(file):
    os.link(file.parent / "visits.csv", file)


# What Pillow would start for PostScript leaves a file behind when it is started.
GHOSTSCRIPT = f"#!{sys.executable}\nopen('it-ran', 'w')\n"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
IMAGES = "image,died\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(20))
OF_IMAGES = config(
    "{name: images, path: labels.csv, columns: {image: image}, target: died}", model="cnn"
)


def program(file):
    file.write_text(GHOSTSCRIPT)
    file.chmod(0o755)


CASES = [
    Case("predict writes to its input", READ, None, TABLE,
         "predict {run} -i visits.csv -o visits.csv"),
    Case("predict writes to its input by another name", READ, None, TABLE,
         "predict {run} -i visits.csv -o ./../{name}/visits.csv"),
    Case("predict writes to its input by a link", READ, None, TABLE | {"link.csv": linked},
         "predict {run} -i visits.csv -o link.csv"),
    Case("predict writes to its input by a hard link", READ, None,
         TABLE | {"same.csv": hard_linked}, "predict {run} -i visits.csv -o same.csv"),
    Case("explain writes to its input", READ, None, TABLE,
         "explain {run} -i visits.csv -o visits.csv"),
    Case("init writes to its input", READ, None, TABLE,
         "init visits.csv --target died -o visits.csv --force"),
    Case("predict writes into the run", "is a file of the run", None, TABLE,
         "predict {run} -i visits.csv -o {run}/predictions.parquet"),
    Case("predict writes beside the run's files", "is a file of the run", None, TABLE,
         "predict {run} -i visits.csv -o {run}/new.csv"),
    Case("explain writes into the run", "is a file of the run", None, TABLE,
         "explain {run} -i visits.csv -o {run}/report.html"),
    Case("evaluate writes its report into the run", "is a file of the run", None, {},
         "evaluate {run} --report {run}/external"),
    Case("PostScript with the names of images", "none of the 20 images can be read", OF_IMAGES,
         {"labels.csv": IMAGES, "gs": program, **{f"{i}.png": EPS for i in range(20)}},
         environment={"PATH": "{folder}"}),
]  # fmt: skip
