"""What a request wants to be near to, or away from: terms such as ``shard=7``, in a header."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from turnout.framework import Headers

MAX_TERMS = 16
MAX_CHARACTERS = 1_024
"""Of the header in all, so that no client makes a request expensive."""

ANY = "*"
"""The value that every endpoint with the label has."""

Terms: TypeAlias = Mapping[str, frozenset[str]]
"""Wanted values by label; one of the values is enough."""

NO_TERMS: Terms = {}


class MalformedTermsError(ValueError):
    """A header that cannot be read; the text says why, without quoting it."""


def parse_terms(texts: Sequence[str]) -> Terms:
    """The terms of all texts: ``label=value``, separated by commas or semicolons, with space around them.

    Raises:
        MalformedTermsError: a term has no label, no value or no ``=``, or there are too many or too long ones.
    """
    if not texts:
        return NO_TERMS
    if sum(map(len, texts)) > MAX_CHARACTERS:
        raise MalformedTermsError(f"must have at most {MAX_CHARACTERS} characters")
    parts = [part for text in texts for part in text.replace(";", ",").split(",") if part.strip()]
    if len(parts) > MAX_TERMS:
        raise MalformedTermsError(f"must have at most {MAX_TERMS} terms, got {len(parts)}")
    terms: dict[str, frozenset[str]] = {}
    for part in parts:
        label, equals, value = (piece.strip() for piece in part.partition("="))
        if not (label and equals and value):
            raise MalformedTermsError("must be terms of the form label=value, separated by commas")
        terms[label] = terms.get(label, frozenset()) | {value}
    return terms


def holds(labels: Mapping[str, str], label: str, wanted: frozenset[str]) -> bool:
    """Whether the endpoint's label has one of the wanted values; the label may list several."""
    text = labels.get(label)
    return text is not None and (ANY in wanted or not wanted.isdisjoint(_values_of(text)))


@lru_cache(maxsize=4_096)
def _values_of(text: str) -> frozenset[str]:
    """The values of a label: itself, and the parts of a list ``7,8`` or ``7;8``."""
    return frozenset(part.strip() for part in text.replace(";", ",").split(",")) | {text.strip()}


class WantedTerms:
    """Where the terms of a request are: a header, and those that hold for every request.

    Raises:
        ValueError: the header has no name, or ``terms`` cannot be read.
    """

    def __init__(self, header: str, terms: Sequence[str], labels: Sequence[str]) -> None:
        self.header = header.strip().lower()
        if not self.header:
            raise ValueError(f"header must not be empty, got {header!r}")
        try:
            self._always = parse_terms(terms)
        except MalformedTermsError as error:
            raise ValueError(f"terms {error}, got {list(terms)!r}") from None
        self._allowed = frozenset(labels)

    def of(self, headers: Headers) -> Terms:
        """Both together; terms about labels that clients may not name are left out.

        Raises:
            MalformedTermsError: the header cannot be read.
        """
        asked = parse_terms(headers.all(self.header))
        if self._allowed:
            asked = {label: values for label, values in asked.items() if label in self._allowed}
        if not asked or not self._always:
            return asked or self._always
        # What the operator wants of a label is not loosened by what a client wants of it.
        return {**asked, **self._always}

    def readable(self, headers: Headers) -> Terms:
        """The same; of a header that cannot be read only what holds for every request."""
        try:
            return self.of(headers)
        except MalformedTermsError:
            return self._always
