"""Batches for training: conversations as token ids, spoken clips as log-mel, pictures as pixels."""

import json
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

import hearing
import pictures
import world
from model import AUDIO_TOKEN, AUDIO_TOKENS, END_OF_TURN, IMAGE_TOKENS

IGNORED = -100
AUDIO = "\n\n<start_of_audio><audio_soft_token><end_of_audio>\n\n"
IMAGE = "\n\n<start_of_image>" + "<image_soft_token>" * IMAGE_TOKENS + "<end_of_image>\n\n"
# Of the clips that a speech batch draws: how many hold nothing that is said, a human's digits, two sentences.
SHARE_NOTHING, SHARE_HUMAN, SHARE_JOINED = 0.04, 0.14, 0.15
SHARE_ALIKE = 0.35  # of the notes: facts that are hard to tell apart


# ---- conversations --------------------------------------------------------------------
class Writer:
    """Turns exchanges into token ids the way the chat template does; answers are tokenised apart, as at inference."""

    def __init__(self, tokenizer_json):
        self.tokenizer = Tokenizer.from_file(str(tokenizer_json))

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def text(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def conversation(self, exchanges):
        """-> ids, and for each id whether the model is to write it."""
        ids, written, lead = [], [], "<bos>"
        for prompt, answer in exchanges:
            asked = self.ids(f"{lead}<start_of_turn>user\n{prompt.strip(' ')}<end_of_turn>\n<start_of_turn>model\n")
            said = [*self.ids(answer), END_OF_TURN]
            ids += asked + said
            written += [False] * len(asked) + [True] * len(said)
            lead = "\n"
        return ids, written


def pack(conversations, soft=None, padded=False):
    """Conversations -> ids, positions, rows, labels, each [batch, .] and padded.

    `rows` are the positions in the sequence whose next token is the model's to write, `labels` those tokens.
    `soft` gives the number of real audio soft tokens of each conversation. The model always sees AUDIO_TOKENS of them; unless
    `padded`, the ones after the sound's end are left out here and only their positions are skipped.
    """
    packed = []
    for b, (ids, written) in enumerate(conversations):
        positions = list(range(len(ids)))
        if soft is not None:
            at = ids.index(AUDIO_TOKEN)
            count = AUDIO_TOKENS if padded else min(AUDIO_TOKENS, soft[b] + 1)
            positions = list(range(at + count)) + list(range(at + AUDIO_TOKENS, at + AUDIO_TOKENS + len(ids) - at - 1))
            ids = ids[:at] + [AUDIO_TOKEN] * count + ids[at + 1:]
            written = written[:at] + [False] * count + written[at + 1:]
        rows = [i for i in range(len(ids) - 1) if written[i + 1]]
        packed.append((ids, positions, rows, [ids[i + 1] for i in rows]))

    def matrix(column, fill):
        longest = max(len(p[column]) for p in packed)
        out = torch.full((len(packed), longest), fill, dtype=torch.long)
        for b, p in enumerate(packed):
            out[b, : len(p[column])] = torch.tensor(p[column], dtype=torch.long)
        return out

    return matrix(0, 0), matrix(1, 0), matrix(2, 0), matrix(3, IGNORED)


def text_conversation(rng, notes):
    """Some exchanges of translating, asking about a note (a share `notes` of the conversations) and small talk."""
    if rng.random() < notes:
        exchanges = world.note(rng, held=False, questions=rng.randint(1, 5), alike=SHARE_ALIKE)
        return exchanges if rng.random() < 0.7 else [*exchanges, small(rng)]
    return [small(rng) for _ in range(rng.choice((1, 1, 2, 3)))]


def small(rng):
    u = rng.random()
    if u < 0.66:
        return world.translation(rng, held=False)[0]
    return world.translation_to_english(rng, held=False) if u < 0.82 else world.talk(rng)


def take(queue, at):
    """Takes the batch at the share `at` of a queue in order of length.

    Processes that average their gradients take from the same place, so that none waits for another's longer batch.
    """
    return queue.pop(int(at * len(queue)))


class Texts:
    """Batches of conversations of like length, `budget` tokens each; a share `notes` of them is about a note."""

    def __init__(self, writer, notes, budget=1300):
        self.writer, self.notes, self.budget, self.queue = writer, notes, budget, []

    def batch(self, rng, at):
        if not self.queue:
            pool = sorted((self.writer.conversation(text_conversation(rng, self.notes)) for _ in range(400)), key=lambda c: len(c[0]))
            current = []
            for c in pool:
                if current and len(c[0]) * (len(current) + 1) > self.budget:
                    self.queue.append(current)
                    current = []
                current.append(c)
            self.queue.append(current)
        return take(self.queue, at)


# ---- speech ---------------------------------------------------------------------------
class Clip:
    """A stretch of sound and the sentence in four languages that it says (empty ones for no speech)."""

    def __init__(self, wave, texts):
        self.wave, self.texts = wave, texts


class Shards:
    """Synthetic clips as speech.py stores them; shards that appear later join in."""

    def __init__(self, folder, pattern):
        self.folder, self.pattern, self.seen, self.clips = Path(folder), pattern, set(), []

    def refresh(self):
        for path in sorted(self.folder.glob(self.pattern)):
            if path not in self.seen:
                self.seen.add(path)
                samples = np.load(path.with_suffix(".npy"), mmap_mode="r")
                for clip in json.loads(path.read_text(encoding="utf-8"))["clips"]:
                    self.clips.append((samples, clip["start"], clip["samples"], clip["texts"]))
        return self

    def read(self, index):
        samples, start, count, texts = self.clips[index]
        return Clip(samples[start : start + count].astype(np.float32) / 32768, texts)


class Speech:
    """Batches of clips of like length, augmented anew at every use."""

    def __init__(self, shards, humans, seconds=10.0):
        self.shards, self.humans, self.seconds, self.queue = shards, humans, seconds, []

    def _draw(self, rng, noise):
        u = rng.random()
        if u < SHARE_NOTHING:
            return Clip(hearing.nothing(noise), ("",) * 4)
        if u < SHARE_NOTHING + SHARE_HUMAN:
            wave, values, _ = self.humans.draw(noise)
            return Clip(wave, world.spoken_digits(values).texts)
        clip = self.shards.read(rng.randrange(len(self.shards.clips)))
        if u < SHARE_NOTHING + SHARE_HUMAN + SHARE_JOINED:
            other = self.shards.read(rng.randrange(len(self.shards.clips)))
            pause = np.zeros(int(hearing.RATE * rng.uniform(0.15, 0.7)), np.float32)
            clip = Clip(np.concatenate([clip.wave, pause, other.wave]), tuple(f"{a} {b}" for a, b in zip(clip.texts, other.texts, strict=True)))
        return clip

    def batch(self, rng, noise, size, at):
        if not self.queue:
            self.shards.refresh()
            pool = []
            while len(pool) < size * 16:
                clip = self._draw(rng, noise)
                if len(clip.wave) <= self.seconds * hearing.RATE:
                    pool.append(clip)
            pool.sort(key=lambda clip: len(clip.wave))
            self.queue = [pool[i : i + size] for i in range(0, len(pool), size)]
        return take(self.queue, at)


def mel_batch(waves, noise=None, distorted=0.0, masked=False):
    """Waveforms -> mel [batch, frames, 128] and padding.

    With `noise`, a random generator, a share `distorted` of them is augmented first, and stretches of all are hidden if `masked`.
    """
    mels = []
    for wave in waves:
        mel = hearing.mel(hearing.augment(wave, noise) if distorted and noise.random() < distorted else wave)
        if masked:
            _mask(mel, noise)
        mels.append(mel)
    longest = max(len(m) for m in mels)
    out, padding = np.zeros((len(mels), longest, 128), np.float32), np.ones((len(mels), longest), bool)
    for b, m in enumerate(mels):
        out[b, : len(m)], padding[b, : len(m)] = m, False
    return torch.from_numpy(out), torch.from_numpy(padding)


def _mask(mel, noise):
    """SpecAugment (Park et al. 2019), lightly: up to two bands and two moments are hidden."""
    mean = mel.mean()
    for _ in range(noise.integers(0, 3)):
        width = int(noise.integers(1, 15))
        low = int(noise.integers(0, 128 - width))
        mel[:, low : low + width] = mean
    for _ in range(noise.integers(0, 3)):
        width = int(noise.integers(1, 13))
        start = int(noise.integers(0, max(1, len(mel) - width)))
        mel[start : start + width] = mean


def speech_conversation(rng, texts, translate):
    """The request with the sound before or after it, and what is said (and its translation)."""
    if translate:
        target = rng.randrange(3)
        language = world.PROMPTS["languages"][target]
        prompt = world.transcribe_and_translate_prompt(rng, language)
        answer = f"{texts[0]}\n{language}: {texts[target + 1]}" if texts[0] else ""
    else:
        prompt, answer = world.transcribe_prompt(rng), texts[0]
    return [world.Exchange(_with_media(rng, AUDIO, prompt), answer)]


def _with_media(rng, media, text):
    return text + media if rng.random() < 0.5 else media + text


class Pronunciations:
    """Phonemes of the world's words in espeak-ng's mnemonics: the targets of the ear's CTC loss."""

    def __init__(self, cache):
        cache = Path(cache)
        if not cache.exists():
            cache.write_text(json.dumps(self._ask_espeak(), ensure_ascii=False, indent=0), encoding="utf-8")
        self.words = json.loads(cache.read_text(encoding="utf-8"))
        self.units = {unit: i + 1 for i, unit in enumerate(sorted({p for ps in self.words.values() for p in ps}))}

    @staticmethod
    def _ask_espeak():
        rng = random.Random(0)
        words = sorted({w for _ in range(120000) for w in spoken_words(world.sentence(rng, False).texts[0])})
        told = {}
        for word in words:
            out = subprocess.run(["espeak-ng", "-q", "-x", "--sep=_", "-v", "en-us", word], capture_output=True, text=True, check=True)
            phones = (re.sub(r"[',%=:|;!]|\d+$", "", p) for p in re.split(r"[_ ]+", out.stdout.strip()))
            told[word] = [p for p in phones if p]
        return told

    def targets(self, text):
        return [self.units[p] for word in spoken_words(text) for p in self.words[word]]


def spoken_words(text):
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


# ---- pictures -------------------------------------------------------------------------
def picture_batch(rng, size, held=False):
    """-> pixels [batch, 3, 128, 128], exchanges, each picture's labels, and what lies in its cells [batch, rows, columns]."""
    drawn = [pictures.draw(rng, held=held) for _ in range(size)]
    pixels = np.stack([np.asarray(p.image, np.float32) / 255 for p in drawn])
    cells = torch.from_numpy(np.stack([p.cells for p in drawn])).long()
    exchanges = [[world.Exchange(_with_media(rng, IMAGE, p.question), p.answer)] for p in drawn]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last), exchanges, [p.labels for p in drawn], cells
