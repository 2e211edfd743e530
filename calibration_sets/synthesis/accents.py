"""English phonemes as a speaker of another language would say them, in espeak-ng's mnemonics.

espeak-ng transcribes the text as American English; each phoneme is then replaced by what the other language
has in its place, and that language's voice speaks the result. A voice left to read the text by itself would
apply its own spelling rules, which is not English.

Consonants are shared by all of espeak-ng's languages, vowels are not: a mnemonic that the speaking language
lacks would end the word in silence, so every vowel of English has an entry here.

References
----------
espeak-ng, docs/phonemes.md and docs/phontab.md: mnemonics, stress marks, ``[[ ]]`` input.
J. C. Wells, Accents of English, 1982; M. Swan and B. Smith, Learner English, 2001: typical substitutions.
"""

from __future__ import annotations

import re
from functools import cache

# What stays out of the sounded phonemes: stress and syllable marks, the pause, the palatal and length marks.
_KEPT_MARKS = ("'", ",", "%", "''")
_DROPPED_MARKS = ("=", ";", ":", "_:", "_", "_!", "_|", "|", "||", "-", "r-")

_CONSONANTS = (*"bdfghjklmnpstvwxzDNSTZ?", "l^", "n^", "tS", "dZ")

# Five vowels and a schwa, which every language here has; r after the vowel, as the spelling suggests.
_GENERAL = {
    **dict.fromkeys(("i", "i:", "I", "I#", "I2", "I2#", "i#"), "i"),
    **dict.fromkeys(("e", "e#", "E", "E#", "E2"), "e"),
    **dict.fromkeys(("a", "a#", "a#2", "a2", "aa", "A:", "A#", "V", "0#"), "a"),
    **dict.fromkeys(("0", "02", "O", "O:", "O2", "o", "o:"), "o"),
    **dict.fromkeys(("u", "u:", "U"), "u"),
    **dict.fromkeys(("@", "@#", "@-", "@2", "@5"), "@"),
    **dict.fromkeys(("eI", "e:"), "e j"),
    **dict.fromkeys(("oU", "oU#"), "o w"),
    "aI": "a j",
    "aU": "a w",
    "OI": "o j",
    **dict.fromkeys(("3:", "3", "VR"), "@ r"),
    **dict.fromkeys(("A@", "aU@"), "a r"),
    **dict.fromkeys(("O@", "o@"), "o r"),
    "e@": "e r",
    **dict.fromkeys(("i@3", "IR"), "i r"),
    "i@": "i @",
    "U@": "u r",
    "aI3": "a j @ r",
    "aI@": "a j @",
    "A~": "a n",
    "O~": "o n",
    "@L": "@ l",
    "l-": "@ l",
    "m-": "@ m",
    "n-": "@ n",
    "N-": "@ N",
    "t#": "t",
    "t2": "t",
    "d#": "d",
    "z#": "z",
    "w#": "w",
    "L": "l",
    **{consonant: consonant for consonant in _CONSONANTS},
    "r": "r",
}


def _rules(pairs: str) -> dict[str, str]:
    return {english: own.replace("+", " ") for english, own in (pair.split("=") for pair in pairs.split())}


# Where a language has more than that, or less; its r also follows the vowels above. `+` joins phonemes.
_BY_LANGUAGE = {
    "de": _rules(
        "I=I I2=I I#=I E=E U=U i:=i: u:=u: O:=o: 0=O eI=e: oU=o: aI=aI aU=aU OI=OY a=E A:=A: O=O T=s D=z "
        "w=v i=i:"
    ),
    "fr": _rules("E=E 0=O O=O O:=o V=W 3:=W+r 3=W+r T=s D=z"),
    "es": _rules("@=a @2=a 3:=e+* 3=e+* @L=o+l eI=eI aI=aI aU=aU OI=oI r=* v=B z=s Z=S h=x"),
    "it": _rules("E=E @L=o+l 0=O O=O eI=eI aI=aI aU=aU OI=oI 3:=E+* 3=e+* T=t D=d r=*"),
    "pl": _rules("E=E e=E I=y I2=y @=E @2=a 3:=E+R 3=e+R @L=o+l r=R h=x T=t D=d"),
    "hi": _rules(
        "I=I I2=I I#=I i:=i: i=i U=U u:=u: E=E eI=e: oU=o: A:=a: aa=a: V=V 0=O O:=O: A@=a:+r t=t. t#=t. "
        "t2=t. d=d. d#=d. T=t# D=d w=v# v=v#"
    ),
    "nl": _rules("I=I I2=I I#=I E=E 0=O O=O O:=o: eI=e: oU=o: A:=a: a=E aI=a:+j V=8 T=s D=d w=v#"),
    "sv": _rules(
        "I=I I2=I I#=I i:=i: U=U u:=u: E=E 0=O O=O O:=o: A:=A: 3:=Y:+R oU=o: r=R T=t D=d w=v z=s Z=S"
    ),
}


@cache
def _table(language: str) -> dict[str, str]:
    own = _BY_LANGUAGE[language]
    r = own.get("r", "r")
    return {
        phoneme: own.get(phoneme, " ".join(r if part == "r" else part for part in said.split()))
        for phoneme, said in _GENERAL.items()
    }


@cache
def _token_pattern() -> re.Pattern[str]:
    tokens = sorted((*_GENERAL, *_KEPT_MARKS, *_DROPPED_MARKS), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, tokens)))


def accented(transcription: str, language: str) -> list[list[str]]:
    """Replace the phonemes of an English word by those of another language.

    Parameters
    ----------
    transcription : words of espeak-ng mnemonics as ``espeak-ng -q -x -v en-us`` prints them, split by blanks.
    language : one of the languages with a table here, such as ``de``.

    Returns
    -------
    For each word its mnemonics, stress marks among them; words without a sound are left out.

    Raises
    ------
    ValueError : there is no table for the language, or a mnemonic is in no table.

    Examples
    --------
    >>> accented("D@2 r'oUd", "de")
    [['z', '@'], ['r', "'", 'o:', 'd']]
    """
    if language not in _BY_LANGUAGE:
        raise ValueError(f"no phoneme table for {language!r}; there is one for {', '.join(_BY_LANGUAGE)}")
    table, pattern = _table(language), _token_pattern()
    words = []
    for word in transcription.split():
        said: list[str] = []
        position = 0
        while position < len(word):
            match = pattern.match(word, position)
            if match is None:
                raise ValueError(f"unknown phoneme at {word[position:]!r} in {word!r}")
            token = match.group()
            position = match.end()
            if token in _KEPT_MARKS:
                said.append(token)
            elif token not in _DROPPED_MARKS:
                said.extend(table[token].split())
        if any(token not in _KEPT_MARKS for token in said):
            words.append(said)
    return words
