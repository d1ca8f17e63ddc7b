"""Damaged files, and files that hold what no table, image or series holds."""

from __future__ import annotations

import gzip
import zipfile

import numpy as np
import pandas as pd
from bad_inputs.case import Case, config, visits
from bad_inputs.cases_sizes import HEAD, TABLE, VALID

ROWS = 60


def frame(**columns):
    plain = {
        "patient": [f"p{i}" for i in range(ROWS)],
        "age": [20 + i % 50 for i in range(ROWS)],
        "died": [i % 2 for i in range(ROWS)],
    }
    return pd.DataFrame(plain | columns)


def parquet(**columns):
    return lambda file: frame(**columns).to_parquet(file)


def damaged(make, *at):
    """The file with bytes turned over at these places (negative: from its end)."""

    def write(file):
        make(file)
        content = bytearray(file.read_bytes())
        for place in at:
            content[place] ^= 0xFF
        file.write_bytes(content)

    return write


def cut(make, share=0.5):
    def write(file):
        make(file)
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])

    return write


def workbook(change):
    """A workbook whose parts are changed by ``change(name, content)``; None leaves one out."""

    def write(file):
        plain = file.with_name("plain.xlsx")
        frame().to_excel(plain, index=False)
        with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(file, "w") as changed:
            for name in archive.namelist():
                content = change(name, archive.read(name))
                if content is not None:
                    changed.writestr(name, content)
        plain.unlink()

    return write


def packed(file):
    file.write_bytes(gzip.compress(visits().encode(), mtime=0))


def arrays(**given):
    return lambda file: np.savez(file, **given)


def table(name, words, file, make):
    dataset = f"{{name: table, path: {file}, target: died, columns: {{subject: patient}}}}"
    return Case(f"table: {name}", words, config(dataset), {file: make})


def images(name, words, make):
    return Case(f"npz: {name}", words, config("{name: images, path: a.npz}", model="cnn"),
                {"a.npz": make})  # fmt: skip


def events(name, words, time="1", value="60", window="{hours: 6}"):
    measured = "".join(f"{i},{h},HR,{70 + h}\n" for i in range(40) for h in range(6))
    dataset = f"{{name: events, path: e.csv, labels: l.csv, target: died, window: {window}}}"
    return Case(f"events: {name}", words, config(dataset, model="gru"), {
        "e.csv": f"stay,time,variable,value\n{measured}3,{time},HR,{value}\n",
        "l.csv": "stay,died\n" + "".join(f"{i},{i % 2}\n" for i in range(40)),
    })  # fmt: skip


def setting(text, words, status=2):
    return Case(f"setting: {text.strip()}", words, HEAD + TABLE + text + "\n",
                {"visits.csv": visits()}, VALID, status)  # fmt: skip


FINITE = "must be a finite number"
GREY = np.zeros((40, 8, 8), np.uint8)
HALF = np.arange(40) % 2
CASES = [
    *(
        table(f"Parquet damaged at byte {at}", ("a.parquet", "is damaged"), "a.parquet",
              damaged(parquet(), *range(at, at + 16)))
        for at in (30, 60, 120, 200)
    ),
    table("Parquet cut in half", "not a readable Parquet file", "a.parquet", cut(parquet())),
    table("Parquet without its end", "not a readable Parquet file", "a.parquet",
          cut(parquet(), 0.99)),
    table("Parquet of zeros", "not a readable Parquet file", "a.parquet", b"PAR1" + bytes(400)),
    table("text called Parquet", "not a readable Parquet file", "a.parquet", visits()),
    table("lists as values", "column 'age' holds lists", "a.parquet",
          parquet(age=[[1, 2]] * ROWS)),
    table("lists as target", "column 'died' holds lists", "a.parquet",
          parquet(died=[[1, 2]] * ROWS)),
    table("lists as patients", "column 'patient' holds lists", "a.parquet",
          parquet(patient=[["a"]] * ROWS)),
    table("mappings as values", "column 'age' holds structs", "a.parquet",
          parquet(age=[{"a": 1}] * ROWS)),
    table("bytes as values", "column 'age' holds bytes that are no text", "a.parquet",
          parquet(age=[b"\xff\xfe"] * ROWS)),
    table("infinite values", "column 'age' has 60 infinite values", "a.parquet",
          parquet(age=[np.inf] * ROWS)),
    table("complex numbers as text", "column 'age' looks numeric but has text", "a.csv",
          visits().replace(",20,", ",1+2j,").replace(",30,", ",1+2j,") + "p99,1+2j,100,0\n"),
    table("workbook with half a sheet", "not a readable Excel workbook", "a.xlsx",
          workbook(lambda name, text: text[: len(text) // 2] if "sheet1" in name else text)),
    table("workbook without its sheet", "not a readable Excel workbook", "a.xlsx",
          workbook(lambda name, text: None if "sheet1" in name else text)),
    table("workbook without its list of sheets", "not a readable Excel workbook", "a.xlsx",
          workbook(lambda name, text: None if "workbook.xml" in name else text)),
    table("workbook with broken styles", "not a readable Excel workbook", "a.xlsx",
          workbook(lambda name, text: b"<a" if "styles" in name else text)),
    table("workbook whose numbers are none", "not a readable Excel workbook", "a.xlsx",
          workbook(lambda name, text: text.replace(b"<v>", b"<v>x") if "sheet1" in name else text)),
    table("workbook with entities that unfold", "not a readable Excel workbook", "a.xlsx",
          workbook(lambda name, text: b"<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'>" + b"".join(
              b"<!ENTITY b%d '%s'>" % (i, b"&b%d;" % (i - 1) * 10 if i else b"&b;" * 10)
              for i in range(10)) + b"]><worksheet>&b9;</worksheet>"
              if "sheet1" in name else text)),
    table("encrypted workbook", "protected by a password", "a.xlsx", b"\xd0\xcf\x11\xe0" * 100),
    *(
        table(f"gzip turned over at byte {at}", "not a readable gzip file", "a.csv.gz",
              damaged(packed, at))
        for at in (0, 2, 20, 60, -6, -2)
    ),
    table("gzip cut in half", "not a readable gzip file", "a.csv.gz", cut(packed)),
    table("text called gzip", "not a readable gzip file", "a.csv.gz", visits()),
    table("zstd of nonsense", "not a readable zstd file", "a.csv.zst", b"\x28\xb5\x2f\xfd" * 20),
    table("bytes of no encoding", "is not UTF-8 text", "a.csv", bytes(range(1, 256)) * 20),
    table("a text of zeros", "line 2 has 1 fields", "a.csv", b"patient,age,died\n" + bytes(500)),
    images("images that are one number", "have the shape ()",
           arrays(images=np.float64(3), labels=np.int64(1))),
    images("labels that are one number", "images has 40 rows, labels has no",
           arrays(images=GREY, labels=np.int64(1))),
    images("images in a row", "have the shape ()", arrays(images=np.zeros(40), labels=HALF)),
    images("images without pixels", "have the shape (0, 8)",
           arrays(images=GREY[:, :0], labels=HALF)),
    images("no images", "holds no images", arrays(images=GREY[:0], labels=HALF[:0])),
    images("texts as images", "numbers are expected",
           arrays(images=np.full((40, 8, 8), "a"), labels=HALF)),
    images("complex numbers as images", "numbers are expected",
           arrays(images=GREY.astype(complex), labels=HALF)),
    images("labels of four dimensions", "the targets have shape",
           arrays(images=GREY, labels=np.zeros((40, 2, 2, 2)))),
    images("pickled labels", "holds pickled objects, which are not loaded",
           arrays(images=GREY, labels=np.array([{}] * 40, dtype=object))),
    images("nothing of the kind", "holds no images", arrays(other=GREY)),
    images("a file cut in half", "not a readable .npz file",
           cut(arrays(images=GREY, labels=HALF))),
    images("a text", "not a readable .npz file", "no archive at all"),
    events("an infinite time", "1 values that are not times", time="inf"),
    events("an infinite time before all", "1 values that are not times", time="-inf"),
    Case("events: an infinite time in Parquet", "infinite times", config(
        "{name: events, path: e.parquet, labels: l.csv, target: died}", model="gru"), {
            "e.parquet": lambda file: pd.DataFrame({
                "stay": [1, 1, 2], "time": [0.0, np.inf, 1.0], "variable": "HR", "value": 60.0,
            }).to_parquet(file),
            "l.csv": "stay,died\n1,0\n2,1\n",
        }),
    events("an infinite value", "infinite values", value="inf"),
    events("a text as value", "texts where numbers are expected", value="high"),
    *(
        setting(f"{section}: {{{key}: {value}}}", FINITE)
        for section, key, value in (
            ("training", "optimizer", "{name: adam, learning_rate: .inf}"),
            ("training", "optimizer", "{name: adam, clipnorm: .inf}"),
            ("training", "class_weight", "{0: .inf, 1: 1}"),
            ("evaluation", "bands", "{age: [.nan, 40]}"),
            ("evaluation", "bands", "{age: [40, .inf]}"),
        )
    ),
    Case("setting: a window in infinite steps", FINITE,
         config("{name: events, path: a.csv, labels: a.csv, target: died, "
                "window: {hours: 6, step_hours: .inf}}", model="gru"), {}, VALID, 2),
    setting("training: {class_weight: {0: 0, 1: 0}}", "training.class_weight: all weights are 0"),
    setting("training: {class_weight: {0: -1, 1: 1}}", "must be 0 or more"),
    setting("training: {epochs: .inf}", "training.epochs: must be a whole number"),
    setting("training: {epochs: 0}", "training.epochs: must be 1 or more"),
    setting("training: {batch_size: .nan}", "training.batch_size: must be a whole number"),
    setting("evaluation: {monte_carlo_dropout: 1000000000}", "must be 1000 or less"),
    setting("split: {by: fold, folds: 1000000000}", "must be 1000 or less"),
    setting("split: {valid: .nan}", "split.valid: must be"),
    setting("seed: .inf", "seed: must be a whole number"),
    setting("seed: -1", "seed: must be 0 or more"),
    setting("evaluation: {confidence: 1}", "evaluation.confidence: must be below 1"),
    setting("evaluation: {prevalence: .nan}", "evaluation.prevalence"),
]  # fmt: skip
