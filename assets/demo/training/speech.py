"""Synthetic speech by free engines: clean clips at 16 kHz with what they say in four languages.

`python speech.py SIDE --clips N --seed S --out PREFIX` writes PREFIX.npy (int16, all clips one after another) and
PREFIX.json (where each clip lies, its texts, its voice). The same seed gives the same sentences and voices.
Sides: `train`; `voice`, other voices of engines that training hears; `engine`, a kind of synthesis it never hears.
"""

import argparse
import contextlib
import json
import math
import os
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

import world
from hearing import RATE

SHARE_DIGITS = 0.08
PEAK = 0.95 * 32767
# A clip shorter than this was cut off: the fastest speech measured takes 31 ms a letter.
SECONDS_PER_LETTER = 0.025

ACCENTS = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc", "en-029"]
# Left out are those that whisper, croak or play the robot.
VARIANTS = ("Adam Alex Alicia Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Mike Nguyen Storm anika "
            "antonio aunty belinda benjamin boris caleb david ed edward edward2 f1 f2 f4 f5 grandma grandpa gustave iven iven2 "
            "iven3 john kaukovalta klatt klatt2 klatt3 klatt4 m1 m2 m3 m5 m6 m7 m8 marcelo max michel miguel norbert pablo "
            "pedro quincy rob robert sandro shelby steph steph2 steph3 travis victor zac").split()
HELD_VARIANTS = ["Andrea", "Michael", "f3", "m4", "linda", "paul"]


class Voices(NamedTuple):
    share: float
    engine: str
    names: list[str]


# Training hears only voices whose terms let the model go into a product that is sold. That leaves out MBROLA (apart as
# a side of its own, for evaluation), RHVoice's evgeniy-eng and lyubov (CC BY-NC-ND), and festival's rab and don, which
# read from the Oxford learners' lexicon.
SIDES = {
    "train": [
        Voices(0.42, "espeak", [*ACCENTS, *(f"{accent}+{variant}" for accent in ACCENTS for variant in VARIANTS)]),
        Voices(0.20, "rhvoice", ["alan", "bdl", "clb"]),
        Voices(0.18, "flite", ["kal16", "kal16", "awb", "awb", "rms", "rms", "kal"]),
        Voices(0.12, "pico", ["en-US", "en-GB"]),
        Voices(0.08, "festival", ["ked_diphone"]),
    ],
    "voice": [
        Voices(0.45, "espeak", [f"{accent}+{variant}" for accent in ("en-us", "en-gb") for variant in HELD_VARIANTS]),
        Voices(0.25, "flite", ["slt"]),
        Voices(0.20, "rhvoice", ["slt"]),
        Voices(0.10, "festival", ["cmu_us_slt_arctic_hts", "don_diphone"]),
    ],
    "engine": [Voices(1.0, "mbrola", ["mb-us1", "mb-us2", "mb-us3", "mb-en1"])],
}


class Range(NamedTuple):
    """Pace and pitch in each engine's own unit."""

    pace: tuple[float, float]
    pitch: tuple[float, float]


RANGES = {
    "espeak": Range((120, 210), (20, 80)),  # words a minute; 0 to 99
    "mbrola": Range((120, 170), (35, 65)),  # as espeak
    "rhvoice": Range((80, 125), (85, 118)),  # per cent, both
    "flite": Range((0.8, 1.25), (0.85, 1.2)),  # stretch, so higher is slower; factor
    "pico": Range((75, 130), (75, 130)),  # per cent, both
    "festival": Range((0.8, 1.25), (0.8, 1.3)),  # as flite
}


class Utterance(NamedTuple):
    texts: tuple[str, str, str, str]
    engine: str
    voice: str
    pace: float
    pitch: float


def plan(rng, side, count):
    """What will be said, by whom and how."""
    voices, utterances = SIDES[side], []
    for _ in range(count):
        if side == "train" and rng.random() < SHARE_DIGITS:
            said = world.digits(rng)
        else:
            said = world.sentence(rng, held=side != "train")
        chosen = rng.choices(voices, [v.share for v in voices])[0]
        pace, pitch = (rng.uniform(*bounds) for bounds in RANGES[chosen.engine])
        utterances.append(Utterance(said.texts, chosen.engine, rng.choice(chosen.names), pace, pitch))
    return utterances


# ---- engines: each writes one wav file for an utterance ---------------------------------
def _espeak(u, path):
    _run("espeak-ng", "-v", u.voice, "-s", round(u.pace), "-p", round(u.pitch), "-w", path, u.texts[0])


def _rhvoice(u, path):
    # The least quality is the 16 kHz voice; better ones only add what resampling takes away.
    _run("RHVoice-test", "-p", u.voice, "-q", "min", "-r", round(u.pace), "-t", round(u.pitch), "-o", path, said=u.texts[0])


def _flite(u, path):
    _run("flite", "-voice", u.voice, "--setf", f"duration_stretch={u.pace:.3f}", "--setf", f"f0_shift={u.pitch:.3f}",
         "-t", u.texts[0], "-o", path)


def _pico(u, path):
    marked = f'<speed level="{u.pace:.0f}"><pitch level="{u.pitch:.0f}">{u.texts[0]}</pitch></speed>'
    _run("pico2wave", "-l", u.voice, "-w", path, marked)


SPEAK = {"espeak": _espeak, "mbrola": _espeak, "rhvoice": _rhvoice, "flite": _flite, "pico": _pico}

# One process for many, because festival takes longer to start than to speak. Choosing a voice resets its parameters.
FESTIVAL_BATCH = 50
FESTIVAL = """
(define (say choose stretch pitch text path)
  (choose)
  (Parameter.set 'Duration_Stretch stretch)
  (set! int_lr_params
    (list (list 'target_f0_mean (* pitch 105)) '(target_f0_std 14) '(model_f0_mean 170) '(model_f0_std 34)))
  (utt.save.wave (utt.synth (eval (list 'Utterance 'Text text))) path 'riff))
"""


def _festival(utterances, paths, folder):
    lines = [FESTIVAL]
    for u, path in zip(utterances, paths, strict=True):
        text = u.texts[0].replace("\\", "").replace('"', "")
        lines.append(f'(unwind-protect (say voice_{u.voice} {u.pace:.3f} {u.pitch:.3f} "{text}" "{path}") nil)')
    script = folder / "festival.scm"
    script.write_text("\n".join(lines), encoding="latin-1", errors="ignore")
    _run("festival", "-b", script, seconds=120)


def _run(*command, said="", seconds=20):
    """Runs an engine; whether it worked shows in `_clean`, so one that fails or hangs only costs its clips."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run([str(part) for part in command], input=said.encode(), stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False, timeout=seconds)


# ---- clips ----------------------------------------------------------------------------
def _clean(path, letters):
    """The wav file as int16 [samples] at 16 kHz from the first sound to the last; None if it holds no whole sentence."""
    try:
        rate, wave = wavfile.read(path)
    except (OSError, ValueError):
        return None
    wave = wave.astype(np.float32)
    if rate != RATE and len(wave):
        common = math.gcd(rate, RATE)
        wave = resample_poly(wave, RATE // common, rate // common)
    loud = np.flatnonzero(np.abs(wave) > 0.005 * np.abs(wave).max(initial=1.0))
    if not len(loud) or loud[-1] - loud[0] < letters * SECONDS_PER_LETTER * RATE:
        return None
    margin = RATE // 200
    wave = wave[max(0, loud[0] - margin) : loud[-1] + margin]
    return np.round(wave * (PEAK / np.abs(wave).max())).astype(np.int16)


def _cpu_seconds():
    return sum(os.times()[:4])


def synthesise(utterances):
    """-> int16 [samples] or None for each utterance, and the CPU seconds spent by engine."""
    clips, spent = [None] * len(utterances), Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{i}.wav" for i in range(len(utterances))]
        before = _cpu_seconds()
        waiting = [i for i, u in enumerate(utterances) if u.engine == "festival"]
        for first in range(0, len(waiting), FESTIVAL_BATCH):
            batch = waiting[first : first + FESTIVAL_BATCH]
            _festival([utterances[i] for i in batch], [paths[i] for i in batch], folder)
        spent["festival"] += _cpu_seconds() - before
        for i, (u, path) in enumerate(zip(utterances, paths, strict=True)):
            before = _cpu_seconds()
            if u.engine != "festival":
                SPEAK[u.engine](u, path)
            clips[i] = _clean(path, len(u.texts[0]))
            path.unlink(missing_ok=True)
            spent[u.engine] += _cpu_seconds() - before
    return clips, spent


def _store(utterances, clips, out):
    entries, waves, start = [], [np.zeros(0, np.int16)], 0
    for u, clip in zip(utterances, clips, strict=True):
        if clip is not None:
            entries.append({"start": start, "samples": len(clip), "texts": list(u.texts), "voice": f"{u.engine}/{u.voice}"})
            waves.append(clip)
            start += len(clip)
    # Who watches the folder looks for the .json, so it comes last.
    out.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".npy", ".json"):
        partial = out.with_name(out.name + suffix + ".partial")
        with partial.open("wb") as file:
            if suffix == ".npy":
                np.save(file, np.concatenate(waves))
            else:
                file.write(json.dumps({"clips": entries}, ensure_ascii=False).encode())
        partial.rename(out.with_name(out.name + suffix))
    return start


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("side", choices=SIDES)
    arguments.add_argument("--clips", type=int, default=1000)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--out", type=Path, required=True, help="the files' path without .npy and .json")
    args = arguments.parse_args()

    utterances = plan(random.Random(f"{args.side} {args.seed}"), args.side, args.clips)
    clips, spent = synthesise(utterances)
    samples = _store(utterances, clips, args.out)
    asked = Counter(u.engine for u in utterances)
    failed = Counter(u.engine for u, clip in zip(utterances, clips, strict=True) if clip is None)
    print(f"{args.out}: {args.clips - failed.total()} clips, {samples / RATE / 60:.1f} min, {failed.total()} failed")
    for engine, count in asked.most_common():
        print(f"  {engine:9} {count:5} clips  {1000 * spent[engine] / count:6.1f} ms CPU each  {failed[engine]} failed")


if __name__ == "__main__":
    main()
