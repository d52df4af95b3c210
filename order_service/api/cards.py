"""Card numbers have no place here: a text that holds one is refused, so that none is ever stored.

Groups have three digits or more, as they have on every card: shorter ones only cost time to try. Only free text is
searched. Product ids and SKUs never are: one EAN or GTIN in ten passes the check digit of cards.
"""

from __future__ import annotations

import re

_LIKELY = re.compile("[0-9](?:[ -]?[0-9]){13}")
_RUN = re.compile("[0-9]{3,}(?:[ -][0-9]{3,})*")
_ISSUER = re.compile(
    r"""
    4[0-9]{15}(?:[0-9]{3})?                                                              # 16 or 19 digits
    | (?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}  # 16
    | 3[47][0-9]{13}                                                                     # 15
    | 3(?:0[0-5]|[689][0-9])[0-9]{11}                                                    # 14
    | (?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2}|35[2-8][0-9])[0-9]{12,15}               # 16 to 19
    """,
    re.VERBOSE,
)
SHORTEST, LONGEST = 14, 19


def holds_card_number(text: str) -> bool:
    """Whether digits, undivided or in groups parted by single spaces or hyphens, make the number of a payment card."""
    if _LIKELY.search(text) is None:
        return False
    return any(_run_holds(re.split("[ -]", run)) for run in _RUN.findall(text))


def _run_holds(groups: list[str]) -> bool:
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > LONGEST:
                break
            if len(digits) >= SHORTEST and _ISSUER.fullmatch(digits) and _passes_luhn(digits):
                return True
    return False


def _passes_luhn(digits: str) -> bool:
    doubled = "0246813579"
    total = sum(int(d) for d in digits[-1::-2]) + sum(int(doubled[int(d)]) for d in digits[-2::-2])
    return total % 10 == 0
