"""Inputs that would take all memory or never end; what is no regular file."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile

from bad_inputs.case import Case, config, visits
from bad_inputs.cases_databases import duckdb, sqlite

HEAD = "name: case\ntask: binary\nmodel: mlp\n"
TABLE = "dataset: {name: table, path: visits.csv, target: died, columns: {subject: patient}}\n"
BILLION = HEAD + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)  # fmt: skip
VALID = "validate -c case.yaml"
MEMORY = {"MEDKIT_MAX_MEMORY_GB": "4"}
ZEROS = 260 * 1024**2


def gzipped(file):
    block, left = b"0," * 512 * 1024, ZEROS
    with gzip.open(file, "wb", compresslevel=9) as packed:
        packed.write(b"died,age\n")
        while left > 0:
            packed.write(block)
            left -= len(block)


def zstandard(file):
    import pyarrow

    with pyarrow.output_stream(str(file), compression="zstd") as packed:
        packed.write(b"died,age\n" + b"0," * (ZEROS // 2))


def zipped(*names):
    def make(file):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in names:
                with archive.open(name, "w") as member:
                    if name.endswith(".npy"):
                        header = {"descr": "|u1", "fortran_order": False, "shape": (ZEROS,)}
                        import numpy as np

                        np.lib.format.write_array_header_1_0(member, header)
                    for _ in range(ZEROS // 1024**2):
                        member.write(bytes(1024**2))

    return make


def tarred(file):
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo("1.psv")
        member.size = ZEROS
        archive.addfile(member, _Zeros())


class _Zeros(io.RawIOBase):
    def read(self, size=-1):
        return bytes(size)


def pipe(file):
    os.mkfifo(file)


def endless(file):
    file.symlink_to("/dev/zero")


def packed(name, file, make, dataset=None):
    given = dataset or f"{{name: table, path: {file}, target: died}}"
    return Case(name, ("unfolds to more than 250 times its size", "MEDKIT_MAX_UNPACKED_RATIO"),
                config(given), {file: make, "labels.csv": "stay,died\n1,0\n2,1\n"})  # fmt: skip


def table(name, words, rest, **more):
    return Case(name, words, HEAD + TABLE + rest, {"visits.csv": visits()}, **more)


def sized(name, words, text, command="audit -c case.yaml", **files):
    return Case(name, (*words, "of memory; there are 4 GB", "MEDKIT_MAX_MEMORY_GB=4"), text,
                files, command, environment=MEMORY)  # fmt: skip


def waves(header, window="{seconds: 1}"):
    dataset = f"{{name: waveforms, path: r.hea, window: {window}}}"
    files = {"r.hea": header, "r.dat": bytes(2000)}
    return config(dataset, model="cnn"), files


LEAD = "r.dat 16 200 11 1024 995 -22131 0 MLII\n"


def image(file):
    from PIL import Image

    Image.new("L", (8, 8)).save(file)


def arrays(file):
    import numpy as np

    np.savez(file, images=np.zeros((80, 8, 8), np.uint8), labels=np.arange(80) % 2)


def sequences(rest, model="cnn"):
    rows = "".join(f"ACGT{'ACGT'[i % 4]},{i % 2}\n" for i in range(60))
    dataset = "{name: sequences, path: a.csv, target: died, columns: {sequence: text}}"
    return {"text": config(dataset, rest, model), "a.csv": f"text,died\n{rows}"}


def no_file(name, make, dataset, file):
    return Case(name, "is no regular file", config(dataset), {file: make})


RECURSIVE = "with recursive c(died) as (select 1 union all select died + 1 from c) select * from c"
SLOW = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) n from c"
NESTED = "[" * 30 + "]" * 30
CASES = [
    Case("yaml: aliases that unfold", ("more than 100,000 values", "MEDKIT_MAX_CONFIG_VALUES"),
         BILLION, command=VALID, status=2),
    Case("yaml: an alias within itself", "holds itself", HEAD + "a: &a [*a]\n", command=VALID,
         status=2),
    Case("yaml: a mapping within itself", "holds itself", HEAD + "a: &a {b: *a}\n",
         command=VALID, status=2),
    Case("yaml: nested 20,000 deep", ("more than 50 levels", "MEDKIT_MAX_CONFIG_DEPTH"),
         HEAD + f"a: {'[' * 20_000}{']' * 20_000}\n", command=VALID, status=2),
    Case("yaml: nested 60 deep", "more than 50 levels", HEAD + f"a: {'[' * 60}{']' * 60}\n",
         command=VALID, status=2),
    Case("yaml: nested 60 deep by an alias", "more than 50 levels",
         HEAD + f"a: &a {NESTED}\nb: {'[' * 30}*a{']' * 30}\n", command=VALID, status=2),
    Case("yaml: nested 2,700 deep by aliases", "more than 50 levels",
         HEAD + f"a0: &a0 {NESTED}\n" + "".join(
             f"a{i}: &a{i} {'[' * 45}*a{i - 1}{']' * 45}\n" for i in range(1, 60)),
         command=VALID, status=2),
    Case("yaml: two megabytes of comments", ("larger than 1 MB", "MEDKIT_MAX_CONFIG_MB"),
         HEAD + f"#{'x' * 1023}\n" * 2048, command=VALID, status=2),
    Case("yaml: a number of 5,000 digits", "line 4", HEAD + f"seed: {'9' * 5000}\n",
         command=VALID, status=2),
    Case("yaml: a date that is none", "line 4", HEAD + "description: 2024-13-45\n", command=VALID,
         status=2),
    Case("yaml: a key that is a list", "line 4", HEAD + "? [a, b]\n: c\n", command=VALID, status=2),
    Case("yaml: a key that is a mapping", "line 4", HEAD + "? {a: b}\n: c\n", command=VALID,
         status=2),
    Case("yaml: a tag of Python", "line 4", HEAD + "a: !!python/object/apply:os.system [ls]\n",
         command=VALID, status=2),
    Case("yaml: --set nested 20,000 deep", "more than 50 levels", HEAD + TABLE,
         command=f"{VALID} --set seed={'[' * 20_000}", status=2),
    Case("yaml: --set with 5,000 digits", "not a YAML value", HEAD + TABLE,
         command=f"{VALID} --set seed={'9' * 5000}", status=2),
    Case("yaml: --set with a date that is none", "not a YAML value", HEAD + TABLE,
         command=f"{VALID} --set seed=2024-02-31", status=2),
    Case("yaml: a pipe as config", "is no regular file", None, {"pipe.yaml": pipe},
         "validate -c pipe.yaml", 2),
    Case("yaml: a device as config", "is no regular file", None, {"zero.yaml": endless},
         "validate -c zero.yaml", 2),
    Case("yaml: a folder as config", "is no regular file", None, {},
         "validate -c {folder}", 2),
    packed("gzip that unfolds", "bomb.csv.gz", gzipped),
    packed("zstd that unfolds", "bomb.csv.zst", zstandard),
    packed("xlsx that unfolds", "bomb.xlsx", zipped("xl/worksheets/sheet1.xml")),
    packed("npz that unfolds", "bomb.npz", zipped("images.npy", "labels.npy"),
           "{name: images, path: bomb.npz}"),
    packed("zip of stays that unfolds", "bomb.zip", zipped("1.psv"),
           "{name: events, path: bomb.zip, labels: labels.csv, target: died}"),
    packed("tar of stays that unfolds", "bomb.tar.gz", tarred,
           "{name: events, path: bomb.tar.gz, labels: labels.csv, target: died}"),
    no_file("a table that is a pipe", pipe, "{name: table, path: a.csv, target: died}", "a.csv"),
    no_file("a table that is a device", endless, "{name: table, path: a.csv, target: died}",
            "a.csv"),
    no_file("a Parquet file that is a pipe", pipe, "{name: table, path: a.parquet, target: died}",
            "a.parquet"),
    no_file("a workbook that is a pipe", pipe, "{name: table, path: a.xlsx, target: died}",
            "a.xlsx"),
    no_file("a database that is a pipe", pipe,
            "{name: table, path: a.sqlite, target: died, source: {query: select 1}}", "a.sqlite"),
    no_file("arrays that are a device", endless, "{name: images, path: a.npz}", "a.npz"),
    no_file("events that are a pipe", pipe,
            "{name: events, path: a.csv, labels: a.csv, target: died}", "a.csv"),
    no_file("sequences that are a device", endless,
            "{name: sequences, path: a.csv, target: died, columns: {sequence: text}}", "a.csv"),
    Case("predict for a pipe", "is no regular file", None, {"a.csv": pipe},
         "predict {run} -i a.csv"),
    Case("init with a pipe", "is no regular file", None, {"a.csv": pipe},
         "init a.csv --target died"),
    Case("images that are pipes", "none of the 2 images it lists is there",
         config("{name: images, path: labels.csv, columns: {image: image}, target: died}",
                model="cnn"),
         {"labels.csv": "image,died\n0.png,0\n1.png,1\n", "0.png": pipe, "1.png": endless}),
    *(
        Case(f"{kind}: rows without end", ("more than 50,000 rows", "MEDKIT_MAX_QUERY_ROWS"),
             config(f"{{name: table, path: {file}, target: died, source: {{query: {RECURSIVE}}}}}"),
             {file: make}, environment={"MEDKIT_MAX_QUERY_ROWS": "50000"})
        for kind, file, make in (("sqlite", "h.sqlite", sqlite), ("duckdb", "h.duckdb", duckdb))
    ),
    *(
        Case(f"{kind}: a query without end", "no answer within 0.5 s",
             config(f"{{name: table, path: {file}, target: n, "
                    f"source: {{query: {SLOW}, timeout: 0.5}}}}"), {file: make})
        for kind, file, make in (("sqlite", "h.sqlite", sqlite), ("duckdb", "h.duckdb", duckdb))
    ),
    sized("images of 8192 x 8192 pixels", ("80 images of 8192 x 8192 pixels would take 5 GB",),
          config("{name: images, path: labels.csv, columns: {image: image}, target: died, "
                 "size: [8192, 8192]}", model="cnn"),
          **{"labels.csv": "image,died\n" + "".join(f"a.png,{i % 2}\n" for i in range(80)),
             "a.png": image}),
    sized("arrays as images of 8192 x 8192 pixels", ("80 images of 8192 x 8192",),
          config("{name: images, path: a.npz, size: [8192, 8192]}", model="cnn"),
          **{"a.npz": arrays}),
    sized("masks of 8192 x 8192 pixels", ("80 images of 8192 x 8192 pixels would take 5 GB",),
          config("{name: images, path: labels.csv, columns: {image: image}, mask: mask, "
                 "size: [8192, 8192]}", model="unet", task="segmentation"),
          **{"labels.csv": "image,mask\n" + "a.png,a.png\n" * 80, "a.png": image}),
    sized("a record of a trillion samples", ("of 1,000,000,000,000 samples would take",),
          waves(f"r 1 360 1000000000000\n{LEAD}")[0],
          **waves(f"r 1 360 1000000000000\n{LEAD}")[1]),
    *(
        Case(f"waveforms: {name}", words, *waves(header, window))
        for name, words, header, window in (
            ("no sampling rate", "has no readable header", f"r 1 0 1000\n{LEAD}", "{seconds: 1}"),
            ("an infinite rate", "has no readable header", f"r 1 inf 9\n{LEAD}", "{seconds: 1}"),
            ("fewer samples than the header says", "cannot be read", f"r 1 360 99999\n{LEAD}",
             "{seconds: 1}"),
            ("signals in a file elsewhere", "has no readable header",
             f"r 1 360 9\n/etc/{LEAD}", "{seconds: 1}"),
            ("a header of nothing", "has no readable header", " ", "{seconds: 1}"),
            ("a header of bytes", "has no readable header", b"\xff\xfe\x00", "{seconds: 1}"),
        )
    ),
    Case("waveforms: headers that are pipes", "no WFDB records here",
         config("{name: waveforms, path: folder, window: {seconds: 1}}", model="cnn"),
         {"folder/r.hea": pipe}),
    sized("sequences of a billion tokens", ("sequences of 1,000,000,000 tokens would take",),
          **sequences("preprocessing: {unit: character, length: 1000000000}\n")),
    sized("a billion hidden units", ("weights or more, with what training keeps of each,",),
          HEAD.replace("mlp", "{name: mlp, hidden_units: [1000000000]}") + TABLE,
          "train -c case.yaml", **{"visits.csv": visits()}),
    sized("an embedding of a billion", ("weights or more, with what training keeps of each,",),
          command="train -c case.yaml",
          **sequences("preprocessing: {unit: character, embedding: 1000000000}\n")),
    table("bootstrap of a billion", "evaluation.bootstrap: must be 100000 or less",
          "evaluation: {bootstrap: 1000000000}\n", status=2, command=VALID),
    Case("windows of 48,000 steps", ("48,000 steps", "MEDKIT_MAX_STEPS"),
         config("{name: events, path: a.csv, labels: a.csv, target: died, "
                "window: {hours: 24, step_hours: 0.0005}}", model="gru"), status=2, command=VALID),
]  # fmt: skip
