"""Equal models, equal bytes.

skops names objects and arrays by memory address, stamps the archive with the time, and writes sets in an order that changes
from process to process; arrays of records carry whatever lay in memory between their fields. Here addresses become numbers in
order of appearance, times a constant, sets sorted, gaps zero. The result is an ordinary skops file.

A dictionary of texts and plain numbers, such as a vocabulary, is written as the one piece of JSON that it is, where skops writes a
record for every number: a file of 100,000 terms is six times smaller and is read twenty times faster.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

SCHEMA = "schema.json"
TEXT = ("builtins", "str")
MANY = 100  # entries from which on a dictionary is written as one piece
ADDRESS = "_stop_words_id"  # scikit-learn's vectorizers remember where in memory they checked their stop words
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can have


def canonical(data: bytes) -> bytes:
    """The same skops file, with everything accidental taken out."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        _join_entries(schema)
        _sort_sets(schema)
        names = _renumber(schema)
        members = {new: _clean(archive.read(old)) if old.endswith(".npy") else archive.read(old) for old, new in names.items()}
    members[SCHEMA] = json.dumps(schema, separators=(",", ":")).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.create_system = 3  # Unix, whatever this is
            archive.writestr(entry, members[name])
    return buffer.getvalue()


def _join_entries(schema: dict[str, Any]) -> None:
    """Write each large dictionary of plain values as one piece of JSON, which loads as the same dictionary."""
    for node in _nodes(schema):
        if node["__loader__"] != "DictNode" or node["__class__"] != "dict" or len(node["content"]) < MANY:
            continue
        entries, keys = node["content"], node["key_types"]["content"]
        plain = all(entry["__loader__"] == "JsonNode" for entry in entries.values())
        if plain and len(keys) == len(entries) and all((key["__module__"], key["__class__"]) == TEXT for key in keys):
            joined = json.dumps({key: json.loads(entry["content"]) for key, entry in entries.items()})
            del node["key_types"]
            node |= {"__loader__": "JsonNode", "content": joined, "is_json": True}


def _renumber(schema: dict[str, Any]) -> dict[str, str]:
    """Replace addresses in place; returns the members' old and new names.

    Values that are stored as JSON text cannot change, so whether two of them were one object is accidental as well.
    """
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    for node in _nodes(schema):
        if node["__loader__"] == "JsonNode":
            node.pop("__id__", None)
        elif "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if node["__loader__"] == "DictNode" and ADDRESS in node["content"]:
            node["content"][ADDRESS]["content"] = "0"
        if isinstance(node.get("file"), str):
            suffix = node["file"].rpartition(".")[2]
            node["file"] = files.setdefault(node["file"], f"{len(files) + 1:06d}.{suffix}")
    return files


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every node of the schema, parents before children, in the order of the file."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            stack.extend(reversed(value.values()))
        elif isinstance(value, list):
            stack.extend(reversed(value))


def _sort_sets(schema: dict[str, Any]) -> None:
    for node in _nodes(schema):
        if node["__loader__"] == "SetNode":
            node["content"].sort(key=_without_addresses)


def _without_addresses(node: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in node.items() if key != "__id__"}, sort_keys=True)


def _clean(file: bytes) -> bytes:
    """The array with zeros in the gaps between the fields of its records."""
    array = np.load(io.BytesIO(file), allow_pickle=False)
    if array.dtype.names is None:
        return file
    clean = np.zeros(array.shape, array.dtype)  # zeros_like would leave the gaps as they are
    for field in array.dtype.names:
        clean[field] = array[field]
    if {"left_child", "missing_go_to_left"} <= set(array.dtype.names):
        clean["missing_go_to_left"][clean["left_child"] == -1] = 0  # scikit-learn leaves it unset in leaves
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()
