"""Runs from elsewhere: crafted, damaged before they were sealed, or of another version."""

from __future__ import annotations

import json
import zipfile

from bad_inputs.case import Case

PREDICT = "predict {run} -i new.csv"


def resealed(change):
    """The file changed by ``change(path)``, and the run sealed again: its hashes are right."""

    def make(file):
        from medkit.runs.run import seal

        change(file)
        seal(file.parent)

    return make


def written(content):
    return resealed(
        lambda file: file.write_bytes(content if isinstance(content, bytes) else content.encode())
    )


def changed(change):
    """A JSON file after ``change(document)``."""

    def make(file):
        document = json.loads(file.read_text(encoding="utf-8"))
        change(document)
        file.write_text(json.dumps(document), encoding="utf-8")

    return resealed(make)


def without(key):
    return changed(lambda document: document.pop(key))


def having(**values):
    return changed(lambda document: document.update(values))


def task(**values):
    return changed(lambda document: document["task"].update(values))


def model(change):
    """The saved network after ``change(config)`` of the layers it says it has."""

    def make(file):
        with zipfile.ZipFile(file) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        document = json.loads(parts["config.json"])
        change(document)
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in parts.items():
                text = json.dumps(document).encode() if name == "config.json" else content
                archive.writestr(name, text)

    return resealed(make)


def packed(after, skip, value):
    """The saved network with another byte ``skip`` bytes behind the start of ``after``."""

    def make(file):
        with zipfile.ZipFile(file) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(parts):  # config.json first
                archive.writestr(name, parts[name])
        content = bytearray(file.read_bytes())
        content[content.index(after) + skip] = value
        file.write_bytes(content)

    return resealed(make)


def enormous(document):
    for layer in document["config"]["layers"]:
        for inner in [layer, *layer["config"].get("layers", [])]:
            if inner["class_name"] == "Dense":
                inner["config"]["units"] = 10**10


def lambdas(document):
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAAAAAAAAEAAAAD"}}
    layer = {"module": "keras.layers", "class_name": "Lambda", "name": "l",
             "config": {"name": "l", "function": code}}  # fmt: skip
    document["config"]["layers"].append(layer)


def case(name, words, file, make, command=PREDICT, **more):
    return Case(f"run: {name}", words, None, {f"run/{file}": make, "new.csv": "a,b\n1,2\n"},
                command, **more)  # fmt: skip


USED = "cannot be used"
CASES = [
    *(
        case(f"{file} that holds {what}", (file, "the whole" if json_of else USED), file,
             written(content))
        for file in ("inputs.json", "environment.json", "metrics.json")
        for what, content, json_of in (
            ("a list", "[]", True), ("a number", "3", True), ("null", "null", True),
            ("half a mapping", "{", False), ("bytes", b"\xff\xfe\x00", False),
            ("100,000 levels", "[" * 100_000, False), ("nothing", "", False),
        )
    ),
    *(
        case(f"{file} without {key}", (file, f"{key}: Field required"), file, without(key))
        for file, key in (
            ("inputs.json", "inputs"), ("inputs.json", "task"), ("environment.json", "backend"),
            ("metrics.json", "headline"), ("metrics.json", "test"),
        )
    ),
    *(
        case(f"{file} whose {key} is {value!r}", (file, key), file, having(**{key: value}))
        for file, key, value in (
            ("inputs.json", "inputs", 3), ("inputs.json", "inputs", {"tabular": 3}),
            ("inputs.json", "task", "binary"), ("inputs.json", "features", 3),
            ("inputs.json", "columns", [1]), ("inputs.json", "conformal", 3),
            ("inputs.json", "recalibration", "platt"), ("environment.json", "backend", "os"),
            ("environment.json", "versions", ["keras"]), ("environment.json", "data_sha256", 1),
            ("environment.json", "stages", {"fit": 3}), ("metrics.json", "headline", 3),
            ("metrics.json", "test", {}),
        )
    ),
    case("a task of no name", "no task called 'zzz'", "inputs.json", task(name="zzz"), status=2),
    case("a task whose state is a list", "task.state", "inputs.json", task(state=[1])),
    case("a task without its state", ("inputs.json", USED), "inputs.json", task(state={})),
    case("a threshold that is a text", "task.threshold", "inputs.json", task(threshold="a")),
    case("an input of no kind", "inputs.json", "inputs.json", having(inputs={"tabular": {}})),
    case("a config of a name alone", ("config.yaml", "seed: Field required"), "config.yaml",
         written("name: x\n")),
    case("a config that is a list", "must be a mapping", "config.yaml", written("[]"), status=2),
    case("a config that is no YAML", "not valid YAML", "config.yaml", written("a: ["), status=2),
    case("a network that is a text", ("model.keras", USED), "model.keras", written("no network"),
         "evaluate {run}"),
    case("a network that is an empty archive", ("model.keras", USED), "model.keras",
         resealed(lambda file: zipfile.ZipFile(file, "w").close()), "evaluate {run}"),
    *(
        case(f"a network whose config is {what}", ("model.keras", USED), "model.keras",
             packed(*change), "evaluate {run}")
        for what, change in (
            ("encrypted", (b"PK\1\2", 8, 1)), ("packed in an unknown way", (b"PK\1\2", 10, 99)),
            ("packed wrongly", (b"config.json", len("config.json"), 0xFF)),
        )
    ),
    case("a network of an unknown class", ("model.keras", USED), "model.keras",
         model(lambda document: document.update(class_name="Popen", module="subprocess")),
         "evaluate {run}"),
    case("a network with code of its own", ("model.keras", USED), "model.keras", model(lambdas),
         "evaluate {run}"),
    case("a network of ten billion units", "MEDKIT_MAX_MEMORY_GB", "model.keras", model(enormous),
         "evaluate {run}"),
    case("predictions that are a text, compared", ("predictions.parquet", USED),
         "predictions.parquet", written("no table"), "compare {run} {first}"),
    case("a manifest of a later version", "was made by a later version of medkit (format 99",
         "MANIFEST.json", lambda file: file.write_text(json.dumps(
             {**json.loads(file.read_text()), "format": 99}))),
    *(
        case(f"a manifest that is {what}", "MANIFEST.json is damaged", "MANIFEST.json",
             lambda file, content=content: file.write_text(content))
        for what, content in (
            ("a list", "[]"), ("no JSON", "{"), ("100,000 levels", "[" * 100_000),
            ("of numbers", '{"format": 1, "files": {"a": 3}}'), ("empty", ""),
        )
    ),
]  # fmt: skip
