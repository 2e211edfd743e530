"""Verb forms: English by rule, Spanish by rule and from a list of what is irregular."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_PRESENT = {
    "ar": {1: "o", 2: "as", 3: "a", 4: "amos", 6: "an"},
    "er": {1: "o", 2: "es", 3: "e", 4: "emos", 6: "en"},
    "ir": {1: "o", 2: "es", 3: "e", 4: "imos", 6: "en"},
}
_PAST = {
    "ar": {1: "é", 2: "aste", 3: "ó", 4: "amos", 6: "aron"},
    "er": {1: "í", 2: "iste", 3: "ió", 4: "imos", 6: "ieron"},
    "ir": {1: "í", 2: "iste", 3: "ió", 4: "imos", 6: "ieron"},
}
_FUTURE = {1: "é", 2: "ás", 3: "á", 4: "emos", 6: "án"}


@dataclass(frozen=True)
class SpanishVerb:
    """Conjugate a verb.

    Parameters
    ----------
    infinitive : in -ar, -er or -ir.
    irregular : form to word: 1, 3, 6 present; p3, p4, p6 past; s3 subjunctive; ger, part.
    """

    infinitive: str
    irregular: Mapping[str, str] = field(default_factory=dict)

    def form(self, form: str, person: int = 3) -> str:
        """Return inf, ger, part, partm, pres, past, fut, imp or neg; a capital makes a capital."""
        word = self._form(form.lower(), person)
        return word[0].upper() + word[1:] if form[0].isupper() else word

    def _form(self, form: str, person: int) -> str:
        stem, ending = self.infinitive[:-2], self.infinitive[-2:].replace("í", "i")
        if form == "inf":
            return self.infinitive
        if form == "ger":
            return self.irregular.get("ger", stem + ("ando" if ending == "ar" else "iendo"))
        if form in ("part", "partm"):
            return self.irregular.get("part", stem + ("ado" if ending == "ar" else "ido"))
        if form == "fut":
            return stem + ending + _FUTURE[person]
        if form == "past":
            return self.irregular.get(f"p{person}", stem + _PAST[ending][person])
        if form == "neg":
            return self.irregular.get("s3", stem + ("e" if ending == "ar" else "a")) + "s"
        third = self.irregular.get("3", stem + _PRESENT[ending][3])
        if form == "imp":
            return third
        if person == 2:
            return third + "s"
        return self.irregular.get(str(person), stem + _PRESENT[ending][person])


def english_form(forms: tuple[str, str, str], form: str, person: int = 3) -> str:
    """Return a form of an English verb given as base, past and participle."""
    base, past, participle = forms
    word = {
        "inf": base,
        "imp": base,
        "part": participle,
        "past": past,
        "ger": _gerund(base),
        "pres": _third_person(base) if person == 3 else base,
    }[form.lower()]
    return word[0].upper() + word[1:] if form[0].isupper() else word


def _third_person(base: str) -> str:
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "sh", "ch", "x", "z")) else "s")


def _gerund(base: str) -> str:
    if base.endswith("e"):
        return base[:-1] + "ing"
    doubled = base in ("run", "split", "get", "set", "cut", "stop", "begin", "fit", "put")
    return base + (base[-1] if doubled else "") + "ing"
