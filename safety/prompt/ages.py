"""Ages below 18, as figures or words, in the languages that the rules know."""

from __future__ import annotations

import re

_WORDS = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "deux", "trois", "quatre", "cinq", "huit", "neuf", "dix", "onze"),
    *("douze", "treize", "quatorze", "quinze", "seize", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho"),
    *("nueve", "diez", "once", "doce", "trece", "catorce", "quince", "dieciseis", "diecisiete", "zwei", "drei", "vier"),
    *("funf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwolf", "dreizehn", "vierzehn", "funfzehn"),
    *("sechzehn", "siebzehn", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove", "dieci", "undici"),
    *("dodici", "tredici", "quattordici", "quindici", "sedici", "diciassette", "dois", "sete", "oito", "dez", "doze"),
    *("treze", "dezesseis", "dezessete"),
)
"""Two to seventeen in English, French, Spanish, German, Italian and Portuguese, without accents."""

_NUMBER = rf"(?:[1-9]|1[0-7]|{'|'.join(_WORDS)})"
_AGED = r"(?:aged?|ages|age of|agee? de|edad de|eta di|idade de|im alter von|looks|looking|barely|only|just turned)"
_COUNTED = r"(?:people|men|women|minutes|hours|left|one|way|thing|colou?r)"
"""After a number these say that it is no age: "only 2 men"."""

_PATTERNS = (
    rf" {_NUMBER} (?:years?|yrs?|y)(?: of age| olds?| o) ",
    rf" {_NUMBER} (?:yo|yos|y o|an old) ",
    r" (?:[1-9]|1[0-7])(?:yo|yrs?|y) ",
    rf" {_NUMBER} ?jahrige?[snrm]? ",
    rf" {_AGED} (?:of |de )?{_NUMBER}(?! \d| {_COUNTED}) ",
    rf" {_NUMBER} (?:ans|anos|anni|jahre?|лет|года|ετων|χρονων|سنوات|سنه|عاما|yasinda|lat) ",
    r" (?:[1-9]|1[0-7]) (?:岁|歳|才|살|세) ",
    r" (?:十[一二三四五六七]?|[一二三四五六七八九]) (?:岁|歳|才) ",
    r" (?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|[1-9]th|1st|2nd|3rd|10th) graders? ",
)
_BELOW_18 = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS))


def names_age_below_18(normalised: str) -> bool:
    """Whether a text as `normalise` gives it speaks of an age below 18: "13 yo", "aged twelve", "15 ans", "13岁"."""
    return _BELOW_18.search(normalised) is not None
