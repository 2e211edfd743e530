"""Set a hypothesis beside its reference, word by word."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """One place of an alignment.

    Parameters
    ----------
    kind : ``hit``, ``substitution``, ``deletion`` or ``insertion``.
    said : the reference word; empty for an insertion.
    heard : the hypothesis word; empty for a deletion.
    """

    kind: str
    said: str
    heard: str


def align_words(reference: str, hypothesis: str) -> list[Word]:
    """Align two texts with as few word errors as possible.

    Parameters
    ----------
    reference : what was said; words are what white space separates.
    hypothesis : what was recognised.

    References
    ----------
    R. A. Wagner and M. J. Fischer, "The String-to-String Correction Problem", Journal of the ACM 21, 1974.
    """
    said, heard = reference.split(), hypothesis.split()
    # cost[i][j]: fewest errors between the words of the reference from i on and of the hypothesis from j on
    cost = [[0] * (len(heard) + 1) for _ in range(len(said) + 1)]
    for i in range(len(said), -1, -1):
        for j in range(len(heard), -1, -1):
            if i == len(said) or j == len(heard):
                cost[i][j] = len(said) - i + len(heard) - j
            else:
                replaced = cost[i + 1][j + 1] + (said[i] != heard[j])
                cost[i][j] = min(replaced, 1 + cost[i + 1][j], 1 + cost[i][j + 1])
    words, i, j = [], 0, 0
    while i < len(said) or j < len(heard):
        both = i < len(said) and j < len(heard)
        if both and cost[i][j] == cost[i + 1][j + 1] + (said[i] != heard[j]):
            kind = "hit" if said[i] == heard[j] else "substitution"
            words.append(Word(kind, said[i], heard[j]))
            i, j = i + 1, j + 1
        elif i < len(said) and cost[i][j] == 1 + cost[i + 1][j]:
            words.append(Word("deletion", said[i], ""))
            i += 1
        else:
            words.append(Word("insertion", "", heard[j]))
            j += 1
    return words
