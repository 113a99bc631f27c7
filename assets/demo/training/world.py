"""The demo world: sentences in English, German, Spanish and French, notes with questions, small talk.

Everything that can be said lies in the readable files of `world/`. Whether a sentence belongs to training or to
evaluation is decided by a hash of its English wording, so the two sides share no sentence, whatever the seed.
"""

import random
import re
import tomllib
import zlib
from pathlib import Path
from typing import NamedTuple

LANGUAGES = ("en", "de", "es", "fr")
FOLDER = Path(__file__).parent / "world"


def _load(name):
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


PROMPTS = _load("prompts.toml")
TALK = _load("talk.toml")


class Sentence(NamedTuple):
    """One sentence in every language; `ask` and `answer` are set where a note can be asked about it."""

    texts: tuple[str, str, str, str]
    ask: tuple[str, ...] = ()
    answer: str = ""


class Exchange(NamedTuple):
    """What the user types and what the model should answer."""

    prompt: str
    answer: str


# ---- numbers in words -----------------------------------------------------------------
EN_ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen").split()
EN_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
EN_ORDINALS = ("- first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
               "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth").split()
DE_ONES = ("null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
           "siebzehn achtzehn neunzehn").split()
DE_TENS = "- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
ES_ONES = ("cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
           "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
           "veintiocho veintinueve").split()
ES_TENS = "- - - treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
FR_ONES = ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
           "dix-huit dix-neuf").split()
FR_TENS = "- - vingt trente quarante cinquante soixante".split()


def _english(n):
    if n < 20:
        return EN_ONES[n]
    return EN_TENS[n // 10] + (" " + EN_ONES[n % 10] if n % 10 else "")


def _german(n):
    if n < 20:
        return DE_ONES[n]
    if n % 10 == 0:
        return DE_TENS[n // 10]
    return ("ein" if n % 10 == 1 else DE_ONES[n % 10]) + "und" + DE_TENS[n // 10]


def _spanish(n):
    if n < 30:
        return ES_ONES[n]
    return ES_TENS[n // 10] + (" y " + ES_ONES[n % 10] if n % 10 else "")


def _french(n):
    if n < 20:
        return FR_ONES[n]
    if n < 70:
        tens, ones = divmod(n, 10)
        return FR_TENS[tens] + ("" if ones == 0 else " et un" if ones == 1 else "-" + FR_ONES[ones])
    if n < 80:
        return "soixante" + (" et onze" if n == 71 else "-" + FR_ONES[n - 60])
    return "quatre-vingts" if n == 80 else "quatre-vingt-" + FR_ONES[n - 80]


def number_words(n):
    """0..99 in the four languages."""
    return _english(n), _german(n), _spanish(n), _french(n)


def _ordinal(n):
    if n <= 20:
        return EN_ORDINALS[n]
    return "thirtieth" if n == 30 else EN_TENS[n // 10] + " " + EN_ORDINALS[n % 10]


def _german_ordinal(n):
    irregular = {1: "ersten", 3: "dritten", 7: "siebten", 8: "achten"}
    return irregular.get(n) or _german(n) + ("ten" if n < 20 else "sten")


# ---- slots ----------------------------------------------------------------------------
def _table(entry):
    columns = [c.strip() for c in entry["columns"].split("|")]
    return [dict(zip(columns, (cell.strip() for cell in row.split("|")), strict=True))
            for row in entry["rows"].strip("\n").split("\n")]


WORDS = {slot: _table(entry) for slot, entry in _load("words.toml").items()}
# Counts whose words need no gender agreement: one, twenty-one ... would.
PLAIN_COUNTS = [n for n in range(2, 100) if n % 10 != 1]


def _by_language(texts):
    return dict(zip(LANGUAGES, texts, strict=True))


def _date(rng):
    day, month, n = rng.choice(WORDS["day"]), rng.choice(WORDS["month"]), rng.randint(1, 31)
    return _by_language((
        f"on {day['en']} the {_ordinal(n)} of {month['en']}", f"am {day['de']}, dem {_german_ordinal(n)} {month['de']}",
        f"el {day['es']} {_spanish(n)} de {month['es']}", f"le {day['fr']} {'premier' if n == 1 else _french(n)} {month['fr']}"))


def _clock(rng):
    hour = rng.randint(2, 11)
    en, de, es, fr = number_words(hour)
    return _by_language(rng.choice((
        (f"at {en} o'clock", f"um {de} Uhr", f"a las {es}", f"à {fr} heures"),
        (f"at half past {en}", f"um halb {_german(hour + 1)}", f"a las {es} y media", f"à {fr} heures et demie"),
        (f"at quarter past {en}", f"um Viertel nach {de}", f"a las {es} y cuarto", f"à {fr} heures et quart"))))


def _money(rng):
    if rng.random() < 0.3:
        en, de, es, fr = number_words(rng.choice((2, 3, 4, 6, 8)))
        return _by_language((f"{en} hundred euros", f"{de}hundert Euro", f"{es}cientos euros", f"{fr} cents euros"))
    n = rng.choice(PLAIN_COUNTS)
    en, de, es, fr = number_words(n)
    return _by_language((f"{en} thousand euros", f"{de}tausend Euro", f"{es} mil euros",
                         f"{'quatre-vingt' if n == 80 else fr} mille euros"))


def _digit_words(values):
    return _by_language(" ".join(ones[d] for d in values) for ones in (EN_ONES, DE_ONES, ES_ONES, FR_ONES))


COUNTING = {
    "date": _date,
    "clock": _clock,
    "money": _money,
    "number": lambda rng: _by_language(number_words(rng.choice(PLAIN_COUNTS))),
    "room": lambda rng: _by_language(number_words(rng.randint(2, 40))),
    "percent": lambda rng: _by_language(number_words(rng.randint(2, 99))),
    "digits": lambda rng: _digit_words([rng.randint(0, 9) for _ in range(rng.randint(3, 7))]),
}


def capital(text):
    return text[:1].upper() + text[1:]


SLOT = re.compile(r"\{(\w+)(?:\.(\$?)([\w.]+))?\}")


def _fill(template, language, values):
    def value(match):
        slot, by_reference, form = match.group(1), match.group(2), match.group(3)
        words = values[slot.lower()]
        if by_reference:  # {color.$thing.o}: the form of the colour that the thing asks for
            other, ending = form.split(".")
            form = values[other][f"{language}.{ending}"]
        text = words.get(f"{language}.{form}") if form else None
        if text is None:
            text = words.get(language, words["en"])
        return capital(text) if slot[0].isupper() else text

    return SLOT.sub(value, template)


class Family:
    """A sentence of sentences.toml with its slots."""

    def __init__(self, entry):
        self.templates = tuple(entry[language] for language in LANGUAGES)
        self.weight, self.closed = entry["weight"], entry.get("closed", False)
        self.ask, self.answer = tuple(entry.get("ask", ())), entry.get("answer", "")
        wordings = (*self.templates, *self.ask, self.answer)
        self.slots = sorted({m.group(1).lower() for w in wordings for m in SLOT.finditer(w)})

    def draw(self, rng):
        values = {}
        for slot in self.slots:
            kind = slot.rstrip("2")
            if kind in COUNTING:
                values[slot] = COUNTING[kind](rng)
            else:  # name2 differs from name
                values[slot] = rng.choice([row for row in WORDS[kind] if row is not values.get(kind)])
        return Sentence(tuple(_fill(t, language, values) for t, language in zip(self.templates, LANGUAGES, strict=True)),
                        tuple(_fill(a, "en", values) for a in self.ask), _fill(self.answer, "en", values))


def held_out(english):
    """Whether the sentence is kept for evaluation (one in ten of each open family)."""
    return zlib.crc32(english.encode()) % 10 == 0


FAMILIES = [Family(entry) for entry in _load("sentences.toml")["sentence"]]
# A family of a few dozen sentences may by chance have none that is held out.
OPEN = [f for f in FAMILIES if not f.closed and any(held_out(f.draw(random.Random(n)).texts[0]) for n in range(500))]
# Those whose sentences differ enough for five of them in one note, and a sixth that is asked for in vain.
ASKED = [f for f in OPEN if len({f.draw(random.Random(n)).ask for n in range(50)}) > 12 and f.ask]
DIGITS = next(f for f in FAMILIES if f.templates[0] == "{Digits}.")


def sentence(rng, held):
    """A sentence of the training side, or one that training never sees."""
    families = OPEN if held else FAMILIES
    return _on_side(rng, rng.choices(families, [f.weight for f in families])[0], held)


def digits(rng, held=False):
    """A plain string of digits: "Three seven one."."""
    return _on_side(rng, DIGITS, held)


def spoken_digits(values):
    """The sentence that says these digits."""
    return Sentence(tuple(capital(text) + "." for text in _digit_words(values).values()))


def _on_side(rng, family, held):
    while True:  # the side is chosen after the family, so that no family is rarer on either side
        drawn = family.draw(rng)
        if family.closed or held_out(drawn.texts[0]) == held:
            return drawn


# ---- what is typed --------------------------------------------------------------------
def translation(rng, held):
    """A request to translate, its answer, and the language it goes into."""
    drawn, target = sentence(rng, held), rng.randrange(3)
    language = PROMPTS["languages"][target]
    prompt = rng.choice(PROMPTS["translate"]).format(language=language, text=drawn.texts[0])
    return Exchange(prompt, drawn.texts[target + 1]), language


def translation_to_english(rng, held):
    """The way back: what the model learns English from."""
    drawn = sentence(rng, held)
    return Exchange(rng.choice(PROMPTS["translate_to_english"]).format(text=drawn.texts[rng.randint(1, 3)]), drawn.texts[0])


def note(rng, held, questions=1, alike=0.0):
    """Two to five facts and questions about them, as the exchanges of one conversation; the note stands in the first.

    One question in ten has no answer in the note. A share `alike` of the notes has facts of two families only: there the
    words of a question alone do not tell which fact it asks for.
    """
    families = rng.sample(ASKED, 2) if alike and rng.random() < alike else None
    facts, asked = [], set()
    count = rng.randint(2, 5)
    while len(facts) < count:
        drawn = _fact(rng, held, families)
        if not asked & set(drawn.ask):
            facts.append(drawn)
            asked |= set(drawn.ask)
    text = rng.choice((" ", "\n")).join(fact.texts[0] for fact in facts)
    exchanges = []
    for fact in rng.sample(facts, min(questions, count)):
        if rng.random() < (0.3 if families else 0.1):
            question, answer = _unanswerable(rng, held, asked, families), PROMPTS["not_in_note"]
        else:
            question, answer = rng.choice(fact.ask), fact.answer
        if not exchanges:
            question = rng.choice(PROMPTS["note"]).format(note=text, question=question)
        exchanges.append(Exchange(question, answer))
    return exchanges


def _unanswerable(rng, held, asked, families):
    while True:
        drawn = _fact(rng, held, families)
        if not asked & set(drawn.ask):
            return rng.choice(drawn.ask)


def _fact(rng, held, families):
    """A sentence that can be asked about, of these families or of any."""
    while True:
        drawn = _on_side(rng, rng.choice(families), held) if families else sentence(rng, held)
        if drawn.ask:
            return drawn


def talk(rng):
    """Small talk as people type it: with or without the capital and the full stop."""
    if rng.random() < 0.25:
        beyond = TALK["beyond"]
        return Exchange(_typed(rng, rng.choice(beyond["ask"]).format(x=rng.choice(beyond["things"]))), beyond["answer"])
    entry = rng.choice(TALK["talk"])
    return Exchange(_typed(rng, rng.choice(entry["ask"])), entry["answer"])


def _typed(rng, text):
    if rng.random() < 0.25:
        text = text.rstrip(".?!")
    return text.lower() if rng.random() < 0.25 else text


def transcribe_prompt(rng):
    return rng.choice(PROMPTS["transcribe"])


def transcribe_and_translate_prompt(rng, language):
    return rng.choice(PROMPTS["transcribe_and_translate"]).format(language=language)


if __name__ == "__main__":
    show = random.Random(1)
    for family in FAMILIES:
        drawn = family.draw(show)
        print(*drawn.texts, *drawn.ask[:1], drawn.answer, sep=" | ")
    for _ in range(4):
        print(note(show, False))
    said = {w.strip(".,?!").lower() for _ in range(60000) for w in sentence(show, False).texts[0].split()}
    print(len(said), "English words")
