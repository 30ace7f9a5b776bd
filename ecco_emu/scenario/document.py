"""Reads YAML into plain data, and remembers the place of every key and value.

Only YAML's own scalars, lists and mappings are read: nothing in a file can make an object. The file's size,
its depth and the number of its values are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ecco_emu.scenario.problems import Path, Place, Problem, path_text, shown
from ecco_emu.scenario.text import MAX_BYTES

MAX_NODES = 100_000
"""Values after aliases are expanded: a few lines of nested aliases can stand for billions of values."""
MAX_DEPTH = 40
MAX_INTEGER = 10**30
"""No key takes more; Python itself cannot write integers of some thousand digits in a message."""

_TAG = "tag:yaml.org,2002:"
_PLAIN_TEXT = {f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value", "!"}
"""Tags of scalars that stay text: no key takes a date, and a date object would only confuse its message."""
_COLLECTIONS = {f"{_TAG}map", f"{_TAG}seq"}
_CONSTRUCTED = {f"{_TAG}{kind}" for kind in ("int", "float", "bool", "null")}


@dataclass(slots=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and where each part was written."""

    source: str
    data: object = None
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path, *, of_key: bool = False) -> Place:
        """Where the value (or key) at ``path`` stands. For a value that is missing, its parent's place."""
        if of_key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return Place(self.source, 1, 1)

    def at(self, path: Path) -> object:
        """The data at ``path``. Raises ``LookupError`` when there is none."""
        node = self.data
        for part in path:
            if isinstance(node, (dict, list)):
                try:
                    node = node[part]  # type: ignore[index]
                except TypeError as error:  # a key into a list
                    raise LookupError(part) from error
            else:
                raise LookupError(part)
        return node


def parse(text: str, source: str) -> Document:
    """The document in ``text``; syntax errors, duplicate keys and the like are its ``problems``."""
    document = Document(source)
    top = Place(source, 1, 1)
    # surrogates: bytes of the command line that are no UTF-8 become them, and they must not raise here
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        document.problems.append(Problem(top, "", "is larger than 1 MB; a scenario is a few kilobytes"))
        return document
    try:
        node = YAML(typ="safe", pure=True).compose(text)
        if node is None:
            document.problems.append(Problem(top, "", "is empty"))
        else:
            document.data = _Reader(document).read(node, ())
    except MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error, source))
    except YAMLError as error:
        document.problems.append(_character_problem(error, text, source))
    except RecursionError:  # the YAML library recurses before the reader can count the depth
        document.problems.append(Problem(top, "", f"is nested deeper than {MAX_DEPTH} levels"))
    except _TooMuchError as error:
        document.problems.append(Problem(error.place, "", str(error)))
    return document


class _TooMuchError(Exception):
    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


class _Reader:
    """Turns YAML's nodes into plain data. Aliases become copies, whose nodes count towards ``MAX_NODES``."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._seen_nodes = 0
        self._constructor = YAML(typ="safe", pure=True).constructor

    def read(self, node: Node, path: Path) -> object:
        place = self._place(node)
        self._count(node)
        if len(path) > MAX_DEPTH:
            raise _TooMuchError(place, f"is nested deeper than {MAX_DEPTH} levels")
        self._document.values[path] = place
        if not isinstance(node, ScalarNode) and str(node.tag) not in _COLLECTIONS:
            self._refuse_tag(node, path)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _count(self, node: Node) -> None:
        self._seen_nodes += 1
        if self._seen_nodes > MAX_NODES:
            raise _TooMuchError(self._place(node), f"has more than {MAX_NODES} values, aliases expanded")

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in self._own(node):
            if not isinstance(key_node, ScalarNode):
                self._problem(key_node, path, "a key must be a plain word")
                continue
            key = str(key_node.value)
            if key in result:
                first = self._document.keys[(*path, key)].line
                self._problem(
                    key_node, (*path, key), f"duplicate key {shown(key)}; it is first given in line {first}"
                )
                continue
            self._add(key_node, value_node, path, result)
        # after the mapping's own keys, which win
        for mapping in self._merges(node, path):
            self._merge(mapping, path, result, 1)
        return result

    def _merge(self, node: MappingNode, path: Path, result: dict[str, object], depth: int) -> None:
        """Adds the keys of a merged mapping that are not there yet, and of those that it merges itself.

        Of several merged mappings the first wins, as YAML says.
        """
        self._count(node)
        if depth > MAX_DEPTH:
            raise _TooMuchError(self._place(node), f"merges more than {MAX_DEPTH} mappings into each other")
        for key_node, value_node in self._own(node):
            if isinstance(key_node, ScalarNode) and str(key_node.value) not in result:
                self._add(key_node, value_node, path, result)
        for mapping in self._merges(node, path):
            self._merge(mapping, path, result, depth + 1)

    def _add(self, key_node: ScalarNode, value_node: Node, path: Path, result: dict[str, object]) -> None:
        key = str(key_node.value)
        self._document.keys[(*path, key)] = self._place(key_node)
        result[key] = self.read(value_node, (*path, key))

    @staticmethod
    def _own(node: MappingNode) -> Iterator[tuple[Node, Node]]:
        return ((key, value) for key, value in node.value if key.tag != f"{_TAG}merge")

    def _merges(self, node: MappingNode, path: Path) -> Iterator[MappingNode]:
        for key, value in node.value:
            if key.tag != f"{_TAG}merge":
                continue
            for item in value.value if isinstance(value, SequenceNode) else [value]:
                if isinstance(item, MappingNode):
                    yield item
                else:
                    self._problem(value, path, "'<<' merges mappings only")

    def _scalar(self, node: Node, path: Path) -> object:
        tag, text = str(node.tag), str(node.value)
        if tag in _PLAIN_TEXT:
            return text
        if tag in _CONSTRUCTED:
            try:
                value = self._constructor.construct_object(node)
                if isinstance(value, int) and abs(value) > MAX_INTEGER:
                    raise OverflowError
                return value
            except (ValueError, OverflowError, YAMLError):  # such as an integer of ten thousand digits
                self._problem(node, path, f"{shown(text)} is not a number that can be used")
                return text
        self._refuse_tag(node, path)
        return text

    def _refuse_tag(self, node: Node, path: Path) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        self._problem(node, path, f"the tag {shown(tag)} is not allowed in a scenario")

    def _place(self, node: Node) -> Place:
        mark = node.start_mark
        return Place(self._document.source, mark.line + 1, mark.column + 1)

    def _problem(self, node: Node, path: Path, message: str) -> None:
        self._document.problems.append(Problem(self._place(node), path_text(path), message))


def _syntax_problem(error: MarkedYAMLError, source: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
    what = (error.problem or error.context or "cannot be read").strip()
    if "found character '\\t'" in what or "'\\t'" in what:
        what = "a tab cannot indent YAML; use spaces"
    elif what == "but found another document":
        what = "more than one document ('---') in the file"
    return Problem(place, "", f"not valid YAML: {what}")


def _character_problem(error: YAMLError, text: str, source: str) -> Problem:
    position = getattr(error, "position", None)  # the reader's errors count characters, not lines
    if isinstance(position, int) and position <= len(text):
        before = text[:position]
        line, column = before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
        character = ascii(text[position : position + 1])
        return Problem(Place(source, line, column), "", f"the character {character} is not allowed in YAML")
    first = re.split(r"\n", str(error).strip() or "cannot be read", maxsplit=1)[0]
    return Problem(Place(source, 1, 1), "", f"not valid YAML: {first}")
