"""Writes the held-out sets as a folder that `sotto-cli evaluate` reads: items.jsonl, clips/ and pictures/.

  python sets.py --digits FOLDER --out FOLDER [--share 1.0]

Sentences, voices, an engine, a human speaker, fonts and backgrounds in it are ones that training never uses. The small
set of the tests is written with a smaller --share and without the engine whose voices may not be passed on.
"""

import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np
import soundfile

import hearing
import pictures
import speech
import world
from train import HUMANS_HELD

SEED = 9000
TRANSCRIBE = world.PROMPTS["transcribe"][0]
TRANSLATE_SPEECH = world.PROMPTS["transcribe_and_translate"][1]
NOTHING = {"silence": hearing.silence, "noise": hearing.noise, "music": hearing.music}


class Set:
    """Collects items and their files."""

    def __init__(self, out, share):
        self.out, self.share, self.items = out, share, []
        for folder in ("clips", "pictures"):
            (out / folder).mkdir(parents=True, exist_ok=True)

    def count(self, whole):
        return max(1, round(whole * self.share))

    def add(self, task, group, parts, answer, **more):
        name = f"{task}-{len(self.items):04}"
        self.items.append({"id": name, "task": task, "group": group, "parts": parts, "answer": answer, **more})

    def clip(self, name, wave):
        path = f"clips/{name}.flac"
        soundfile.write(self.out / path, np.clip(wave, -1, 1), hearing.RATE, subtype="PCM_16")
        return {"audio": path}

    def write(self):
        lines = (json.dumps(item, ensure_ascii=False) for item in self.items)
        (self.out / "items.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def with_quiet(wave, rng):
    """A clip as it is recorded: a moment before and after, not at full level."""
    lead, tail = (np.zeros(int(hearing.RATE * rng.uniform(0.1, 0.4)), np.float32) for _ in range(2))
    return np.concatenate([lead, wave * rng.uniform(0.2, 0.9), tail])


def spoken(side, count, rng):
    """Clean clips of a side of speech.py with their texts."""
    utterances = speech.plan(random.Random(f"evaluation {side}"), side, count)
    clips, _ = speech.synthesise(utterances)
    return [(with_quiet(clip.astype(np.float32) / 32768, rng), u) for clip, u in zip(clips, utterances, strict=True) if clip is not None]


def add_speech(made, digits_folder):
    rng, noise = random.Random(SEED), np.random.default_rng(SEED)
    for side, group in (("voice", "unseen voices"), *((("engine", "unseen engine"),) if made.share == 1 else ())):
        for n, (wave, said) in enumerate(spoken(side, made.count(200), rng)):
            clip = made.clip(f"{side}-{n:03}", wave)
            made.add("transcription", group, [{"text": TRANSCRIBE}, clip], said.texts[0], voice=f"{said.engine}/{said.voice}")
            if side == "voice":
                target = n % 3
                language = world.PROMPTS["languages"][target]
                prompt = {"text": TRANSLATE_SPEECH.format(language=language)}
                made.add("speech_translation", language, [clip, prompt], said.texts[target + 1], language=language)
                if n % 2 == 0:
                    worse = made.clip(f"{side}-{n:03}-noisy", hearing.augment(wave, noise))
                    made.add("transcription", "unseen voices, noisy", [{"text": TRANSCRIBE}, worse], said.texts[0])
    human = hearing.Digits(digits_folder, HUMANS_HELD)
    for n in range(made.count(100)):
        wave, values, speaker = human.draw(noise)
        clip = made.clip(f"human-{n:03}", with_quiet(wave, rng))
        made.add("transcription", "unseen human, digits", [{"text": TRANSCRIBE}, clip], world.spoken_digits(values).texts[0], voice=speaker)
    for kind, make in NOTHING.items():
        for n in range(made.count(12)):  # a minute of each
            made.add("nothing", kind, [{"text": TRANSCRIBE}, made.clip(f"{kind}-{n:02}", make(noise, 5.0))], "")


def add_text(made):
    rng, wanted = random.Random(SEED + 1), dict.fromkeys(world.PROMPTS["languages"], made.count(120))
    while any(wanted.values()):
        exchange, language = world.translation(rng, held=True)
        if wanted[language]:
            wanted[language] -= 1
            made.add("translation", language, [{"text": exchange.prompt}], exchange.answer)
    for _ in range(made.count(200)):
        exchange = world.note(rng, held=True)[0]
        made.add("notes", "questions on a note", [{"text": exchange.prompt}], exchange.answer)
    for _ in range(made.count(60)):
        exchange = world.talk(rng)
        made.add("chat", "small talk", [{"text": exchange.prompt}], exchange.answer)


def add_pictures(made):
    rng = random.Random(SEED + 2)
    wanted = {"attribute": made.count(240), "reading": made.count(120)}
    while any(wanted.values()):
        drawn = pictures.draw(rng, held=True)
        if wanted[drawn.group]:
            wanted[drawn.group] -= 1
            path = f"pictures/{len(made.items):04}.png"
            drawn.image.save(made.out / path)
            task = "picture" if drawn.group == "attribute" else "reading"
            made.add(task, drawn.labels["kind"], [{"image": path}, {"text": drawn.question}], drawn.answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", required=True, help="folder of the Free Spoken Digit Dataset's recordings")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="how much of the whole set to write")
    options = parser.parse_args()
    made = Set(options.out, options.share)
    add_speech(made, options.digits)
    add_text(made)
    add_pictures(made)
    made.write()
    print(len(made.items), "items in", options.out)


if __name__ == "__main__":
    sys.exit(main())
