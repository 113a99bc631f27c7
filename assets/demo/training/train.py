"""Trains the demo model, one stage a call:

  ear      the audio tower alone: phonemes by CTC on its 40 ms frames
  eye      the vision tower alone: what a picture shows, as a whole and cell by cell
  text     the language model: translation, notes, small talk
  listen   the audio tower and the language model together
  joint    everything; a random submodel at every step, as in the two stages before
  notes    the same, mostly on questions about notes: what is learned last

  python train.py STAGE --work FOLDER --minutes M [--from STAGE ...]

A stage's length is in CPU minutes of its process, so that it learns as much on a busy machine. Stopped and called again, it
goes on from its last checkpoint. The last two average gradients over processes: WORLD=2 RANK=0 and RANK=1.
"""

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

import hearing
import pictures
import world
from data import (AUDIO, IGNORED, Clip, Pronunciations, Shards, Speech, Texts, Writer, mel_batch, pack, picture_batch, speech_conversation,
                  spoken_words)
from model import (AUDIO_TOKEN, EAR_WIDTH, IMAGE_GRID, IMAGE_TOKEN, IMAGE_TOKENS, STOPS, TEXT_IDS, WHOLE, WIDTH, Language, hear,
                   new_model, random_submodel, see, use_fast_norm)

HUMANS_TRAINED, HUMANS_HELD = ("george", "jackson", "nicolas"), ("yweweler",)
DISTORTED = 0.6  # of the clips; the others are heard as they are
EYE_PACE = 0.5  # of the stage's learning rate. Above 1e-3 the tower collapses: every picture looks the same
CELLS_OF_TOKEN = (pictures.CELL_ROWS // IMAGE_GRID, pictures.CELL_COLUMNS // IMAGE_GRID)  # that one soft token covers


class Mix:
    """What a stage trains: the share of each kind of step, the largest learning rate, and the share of notes among texts."""

    def __init__(self, kinds, rate, notes=0.65):
        self.kinds, self.rate, self.notes = kinds, rate, notes


STAGES = {
    "ear": Mix({"ctc": 1.0}, 2e-3),
    "eye": Mix({"classify": 1.0}, 2e-3),
    "text": Mix({"text": 1.0}, 2.5e-3),
    "listen": Mix({"transcribe": 0.34, "translate": 0.16, "text": 0.5}, 1.6e-3),
    "joint": Mix({"transcribe": 0.2, "translate": 0.12, "text": 0.32, "picture": 0.36}, 1.2e-3),
    "notes": Mix({"transcribe": 0.09, "translate": 0.06, "text": 0.65, "picture": 0.2}, 1e-3, notes=0.85),
}

BOTH = ("joint", "notes")  # stages that hear and see
HEARING, SEEING = ("ear", "listen", *BOTH), ("eye", *BOTH)


class Trainer:
    def __init__(self, options):
        self.options = options
        self.work = Path(options.work)
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD", 1))
        if self.world > 1:
            os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
            os.environ.setdefault("MASTER_PORT", "29511")
            dist.init_process_group("gloo", rank=self.rank, world_size=self.world)
        self.mix = STAGES[options.stage]
        self.writer = Writer(self.work / "tokenizer.json")
        self.phones = Pronunciations(self.work / "phones.json")
        self.model = new_model(1).train()
        self.language = Language(self.model)
        self.phone_head = nn.Linear(EAR_WIDTH, 1 + len(self.phones.units))
        self.model.model.vision_tower.to(memory_format=torch.channels_last)  # a fifth faster
        self.eye_heads = nn.ModuleDict({name: nn.Linear(IMAGE_TOKENS * WIDTH, len(classes)) for name, classes in pictures.LABELS.items()})
        self.cell_head = nn.Linear(WIDTH, CELLS_OF_TOKEN[0] * CELLS_OF_TOKEN[1] * len(pictures.CELL_CLASSES))
        self.cell_weight = torch.tensor([0.15] + [1.0] * (len(pictures.CELL_CLASSES) - 1))  # most cells hold nothing
        self.rng = random.Random(options.seed * 100 + self.rank)
        self.shared = random.Random(options.seed + 12345)  # the same in every process: which kind of step, which submodel
        self.noise = np.random.default_rng(options.seed * 10 + self.rank)
        self.texts = Texts(self.writer, self.mix.notes)
        if options.stage in HEARING:
            humans = hearing.Digits(options.digits, HUMANS_TRAINED)
            self.speech = Speech(Shards(self.work / "clips", "train-*.json").refresh(), humans, options.seconds)
        self.optimizer = self._optimizer()
        self.step, self.minutes_before, self.started = 0, 0.0, time.process_time()
        self._load()
        self.log = open(self.work / f"{options.stage}.{self.rank}.log", "a", encoding="utf-8")

    # ---- what is trained, and its state ----
    def _trained(self, name):
        if name == "lm_head.weight":
            return False
        if self.options.stage == "ear":
            return "audio_tower" in name
        return self._learned_in(self.options.stage, name)

    def _optimizer(self):
        named = [(n, p) for n, p in self.model.named_parameters() if self._trained(n)]
        eye = [p for n, p in named if "vision" in n] + list(self.eye_heads.parameters()) + list(self.cell_head.parameters())
        rest = [p for n, p in named if "vision" not in n] + list(self.phone_head.parameters())
        groups = []
        for parameters, largest in ((rest, self.mix.rate), (eye, EYE_PACE * self.mix.rate)):
            groups.append({"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.02, "largest": largest})
            groups.append({"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "largest": largest})
        self.parameters = [p for group in groups for p in group["params"]]
        return torch.optim.AdamW(groups, lr=self.mix.rate, betas=(0.9, 0.98), fused=True)

    def _path(self, stage):
        return self.work / f"{stage}.pt"

    def _load(self):
        """This stage's own checkpoint, or the weights of the stages it starts from."""
        own = self._path(self.options.stage)
        for path in [own] if own.exists() else [self._path(s) for s in self.options.start]:
            kept = torch.load(path)
            partial = {k: v for k, v in kept["model"].items() if path == own or self._learned_in(path.stem, k)}
            self.model.load_state_dict(partial, strict=False)
            if path == own or path.stem in HEARING:
                self.phone_head.load_state_dict(kept["phone_head"])
            if path == own or path.stem in SEEING:
                self.eye_heads.load_state_dict(kept["eye_heads"])
                self.cell_head.load_state_dict(kept["cell_head"])
            if path == own:
                self.optimizer.load_state_dict(kept["optimizer"])
                self.step, self.minutes_before = kept["step"], kept["minutes"]
                for rng in (self.rng, self.shared):  # not the same data again
                    rng.seed(f"{self.options.seed} {self.step} {self.rank if rng is self.rng else ''}")

    @staticmethod
    def _learned_in(stage, name):
        is_ear, is_eye = "audio" in name, "vision" in name
        return {"ear": is_ear, "eye": is_eye, "text": not is_ear and not is_eye, "listen": not is_eye}.get(stage, True)

    def save(self):
        if self.rank == 0:
            path = self._path(self.options.stage)
            kept = {
                "model": {k: v for k, v in self.model.state_dict().items() if k != "lm_head.weight"},
                "phone_head": self.phone_head.state_dict(), "eye_heads": self.eye_heads.state_dict(),
                "cell_head": self.cell_head.state_dict(),
                "optimizer": self.optimizer.state_dict(), "step": self.step, "minutes": self.minutes(),
            }
            torch.save(kept, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").rename(path)

    def minutes(self):
        """CPU minutes that this stage has trained so far."""
        return self.minutes_before + (time.process_time() - self.started) / 60

    def say(self, *said):
        line = " ".join(map(str, said))
        print(line, flush=True)
        print(line, file=self.log, flush=True)

    # ---- losses ----
    def phone_loss(self, frames, mask, texts):
        targets = [self.phones.targets(t[0]) for t in texts]
        spoken = F.log_softmax(self.phone_head(frames), -1).transpose(0, 1)
        return F.ctc_loss(spoken, torch.tensor([u for t in targets for u in t], dtype=torch.long), (~mask).sum(1),
                          torch.tensor([len(t) for t in targets]), zero_infinity=True)

    def found_in_cells(self, soft):
        """What the soft tokens [batch, 16, width] say lies in every cell: [batch, rows, columns, classes]."""
        (down, across), batch = CELLS_OF_TOKEN, len(soft)
        found = self.cell_head(soft).view(batch, IMAGE_GRID, IMAGE_GRID, down, across, -1)
        return found.permute(0, 1, 3, 2, 4, 5).reshape(batch, pictures.CELL_ROWS, pictures.CELL_COLUMNS, -1)

    def cell_loss(self, soft, cells):
        return F.cross_entropy(self.found_in_cells(soft).flatten(0, 2), cells.flatten(), self.cell_weight)

    def label_loss(self, soft, labels):
        """Cross-entropy of every classifier over the pictures that have its label."""
        flat, total = soft.flatten(1), 0.0
        for name, classes in pictures.LABELS.items():
            having = [b for b, label in enumerate(labels) if name in label]
            wanted = torch.tensor([classes.index(labels[b][name]) for b in having], dtype=torch.long)
            # A sum, so that a head whose label is nowhere has a gradient of zero: every process averages the same parameters.
            total = total + F.cross_entropy(self.eye_heads[name](flat[having]), wanted, reduction="sum") / len(labels)
        return total

    def answer_loss(self, packed, embedded, submodel):
        ids, positions, rows, labels = packed
        wanted = labels != IGNORED
        hidden = self.language.hidden(ids, embedded, positions, rows, submodel)
        return F.cross_entropy(self.language.logits(hidden[wanted]), labels[wanted])

    def heard(self, conversations, frames, mask, padded):
        """Packs conversations about sounds with the tower's soft tokens filled in."""
        soft = (~mask).sum(1).tolist()
        packed = pack(conversations, soft, padded)
        ids = packed[0]
        embedded, pad = self.language.embed(ids)
        tokens = self.model.model.embed_audio(inputs_embeds=frames)
        counts = (ids == AUDIO_TOKEN).sum(1).tolist()
        filled = [row for b, count in enumerate(counts) for row in (tokens[b, : min(soft[b], count)], pad.expand(count - min(soft[b], count), WIDTH))]
        return packed, embedded.masked_scatter((ids == AUDIO_TOKEN).unsqueeze(-1), torch.cat(filled))

    def seen(self, conversations, soft):
        packed = pack(conversations)
        embedded, _ = self.language.embed(packed[0])
        return packed, embedded.masked_scatter((packed[0] == IMAGE_TOKEN).unsqueeze(-1), soft)

    def losses(self, kind, submodel):
        """-> the loss to descend, and the one to report."""
        size, at = self.options.batch, self.shared.random()
        if kind == "ctc":
            clips = self.speech.batch(self.rng, self.noise, size, at)
            distorted = min(DISTORTED, self.minutes() / 10)  # with every distortion from the start it learns nothing at all
            frames, mask, _, _ = hear(self.model, *mel_batch([c.wave for c in clips], self.noise, distorted, masked=self.minutes() > 8))
            loss = self.phone_loss(frames, mask, [c.texts for c in clips])
            return loss, loss
        if kind in ("transcribe", "translate"):
            padded = self.shared.random() < self.options.padded
            clips = self.speech.batch(self.rng, self.noise, size, at)
            clips = clips[: size // 2] if padded else clips
            frames, mask, soft, soft_mask = hear(self.model, *mel_batch([c.wave for c in clips], self.noise, DISTORTED, masked=True))
            talked = [self.writer.conversation(speech_conversation(self.rng, c.texts, kind == "translate")) for c in clips]
            answered = self.answer_loss(*self.heard(talked, soft, soft_mask, padded), submodel)
            return answered + self.options.ctc * self.phone_loss(frames, mask, [c.texts for c in clips]), answered
        if kind == "text":
            packed = pack(self.texts.batch(self.rng, at))
            loss = self.answer_loss(packed, self.language.embed(packed[0])[0], submodel)
            return loss, loss
        pixels, exchanges, labels, cells = picture_batch(self.rng, size)
        soft = see(self.model, pixels)
        named = self.label_loss(soft, labels) + 3 * self.cell_loss(soft, cells)
        if kind == "classify":
            return named, named
        answered = self.answer_loss(*self.seen([self.writer.conversation(e) for e in exchanges], soft), submodel)
        return answered + 0.3 * named, answered

    # ---- the loop ----
    def fraction(self):
        share = torch.tensor([self.minutes() / self.options.minutes])
        if self.world > 1:
            dist.broadcast(share, 0)
        return share.item()

    def rate(self, fraction):
        """Warm up for half a minute, stay, and come down to nothing over the last part."""
        warm = min(1.0, fraction * self.options.minutes / 0.5)
        return warm * min(1.0, max(0.0, (1 - fraction) / self.options.decay) ** 1.2 + 0.005)

    def average_gradients(self):
        """Over the processes; a part that this kind of step does not use has no gradient in any of them."""
        if self.world > 1:
            having = [p for p in self.parameters if p.grad is not None]
            flat = torch.cat([p.grad.reshape(-1) for p in having])
            dist.all_reduce(flat)
            flat /= self.world
            at = 0
            for p in having:
                p.grad.copy_(flat[at : at + p.numel()].view_as(p))
                at += p.numel()

    def train(self):
        began, reported, saves, last = time.time(), {}, 0, time.time()
        while (fraction := self.fraction()) < 1:
            for group in self.optimizer.param_groups:
                group["lr"] = group["largest"] * self.rate(fraction)
            kind = self.shared.choices(list(self.mix.kinds), list(self.mix.kinds.values()))[0]
            submodel = WHOLE if kind in ("ctc", "classify") else random_submodel(self.shared)
            loss, report = self.losses(kind, submodel)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.average_gradients()
            norm = nn.utils.clip_grad_norm_([p for p in self.parameters if p.grad is not None], 1.0)
            if torch.isfinite(norm):
                self.optimizer.step()
                self.language.text.embed_tokens_per_layer.weight.data[0] = 0
            self.step += 1
            reported.setdefault(kind, []).append(report.item())
            if self.step % 100 == 0:
                self.say(f"{(time.time() - began) / 60:.1f} min, {self.minutes():.1f} CPU, step {self.step}, norm {float(norm):.2f}",
                         {k: round(float(np.mean(v)), 3) for k, v in reported.items()})
                reported = {}
            if time.time() - last > self.options.every * 60:
                self.save()
                saves, last = saves + 1, time.time()
                if self.rank == 0 and saves % 3 == 0:
                    self.report()
        self.save()
        if self.rank == 0:
            self.report()

    # ---- a look at held-out data on the way ----
    @torch.no_grad()
    def report(self):
        self.model.eval()
        rng, noise, found = random.Random(99), np.random.default_rng(99), {}
        if self.options.stage in HEARING:
            for side in ("voice", "engine"):
                shards = Shards(self.work / "clips", f"{side}-*.json").refresh()
                if shards.clips:
                    found.update(self._hear_some(side, [shards.read(i) for i in range(min(32, len(shards.clips)))]))
            human = hearing.Digits(self.options.digits, HUMANS_HELD)
            clips = []
            for _ in range(32):
                wave, values, _ = human.draw(noise)
                clips.append(Clip(wave, world.spoken_digits(values).texts))
            found.update(self._hear_some("human", clips))
        if self.options.stage in ("text", "listen", *BOTH):
            for name, ask in (("translation", lambda: [world.translation(rng, True)[0]]), ("notes", lambda: world.note(rng, True)),
                              ("talk", lambda: [world.talk(rng)])):
                found[name] = self._exact([ask() for _ in range(40)])
        if self.options.stage in SEEING:
            pixels, exchanges, labels, cells = picture_batch(rng, 96, held=True)
            soft = see(self.model, pixels)
            found["spread"] = round(float(soft.std(0).mean() / soft.std()), 2)
            flat = soft.flatten(1)
            for name, classes in pictures.LABELS.items():
                having = [b for b, label in enumerate(labels) if name in label]
                got = self.eye_heads[name](flat[having]).argmax(-1).tolist()
                found[f"eye {name}"] = round(sum(classes[g] == labels[b][name] for g, b in zip(got, having, strict=True)) / max(1, len(having)), 2)
            told = cells > 0
            found["eye cells"] = round((self.found_in_cells(soft).argmax(-1) == cells)[told].float().mean().item(), 2)
            if self.options.stage in BOTH:
                said = self._answers([self.writer.conversation([(e[0].prompt, "")]) for e in exchanges], lambda c: self.seen(c, soft))
                right = [a == e[0].answer for a, e in zip(said, exchanges, strict=True)]
                for name, is_text in (("pictures", False), ("reading", True)):
                    some = [r for r, label in zip(right, labels, strict=True) if (label["kind"] in ("word", "number")) == is_text]
                    found[name] = round(sum(some) / len(some), 2)
                print(list(zip([e[0].answer for e in exchanges], said))[:8], flush=True)
        self.say(f"HELD OUT at {self.minutes():.1f} CPU min", json.dumps(found))
        self.model.train()

    def _hear_some(self, name, clips):
        frames, mask, soft, soft_mask = hear(self.model, *mel_batch([c.wave for c in clips]))
        best, wrong, total = self.phone_head(frames).argmax(-1), 0, 0
        for b, clip in enumerate(clips):
            said = best[b, : int((~mask[b]).sum())].tolist()
            said = [u for i, u in enumerate(said) if u and (i == 0 or said[i - 1] != u)]
            wanted = self.phones.targets(clip.texts[0])
            wrong, total = wrong + edits(wanted, said), total + len(wanted)
        found = {f"{name} phonemes": round(wrong / total, 3)}
        if self.options.stage != "ear":
            prompt = [(world.PROMPTS["transcribe"][0] + AUDIO, "")]
            said = self._answers([self.writer.conversation(prompt)] * len(clips), lambda c: self.heard(c, soft, soft_mask, False))
            pairs = [(spoken_words(c.texts[0]), spoken_words(s)) for c, s in zip(clips, said, strict=True)]
            found[f"{name} words"] = round(sum(edits(a, b) for a, b in pairs) / sum(len(a) for a, _ in pairs), 3)
            print(name, [(c.texts[0], s) for c, s in zip(clips, said, strict=True)][:3], flush=True)
        return found

    def _exact(self, conversations):
        said = self._answers([self.writer.conversation([(c[0].prompt, "")]) for c in conversations],
                             lambda c: (packed := pack(c), self.language.embed(packed[0])[0]))
        return round(sum(a == c[0].answer for a, c in zip(said, conversations, strict=True)) / len(said), 2)

    def _answers(self, conversations, fill, limit=48):
        """Greedy answers by recomputing everything at each token: slow, but the arithmetic of training."""
        (ids, positions, rows, _), embedded = fill(conversations)
        at, pick = rows[:, 0].clone(), torch.arange(len(ids))
        ids, positions, embedded = (F.pad(x, pad) for x, pad in ((ids, (0, limit)), (positions, (0, limit)), (embedded, (0, 0, 0, limit))))
        said, done = [[] for _ in ids], [False] * len(ids)
        for _ in range(limit):
            length = int(at.max()) + 1
            hidden = self.language.hidden(ids[:, :length], embedded[:, :length], positions[:, :length], at[:, None])
            best = self.language.logits(hidden[:, 0])[:, :TEXT_IDS].argmax(-1)
            for b, token in enumerate(best.tolist()):
                done[b] = done[b] or token in STOPS
                if not done[b]:
                    said[b].append(token)
            if all(done):
                break
            positions[pick, at + 1] = positions[pick, at] + 1
            at += 1
            ids[pick, at], embedded[pick, at] = best, F.embedding(best, self.language.text.embed_tokens.weight) * WIDTH**0.5
        return [self.writer.text(s) for s in said]


def edits(wanted, said):
    """Levenshtein distance of two lists."""
    row = list(range(len(said) + 1))
    for i, a in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(said, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--work", required=True, help="folder of clips, tokenizer and checkpoints")
    parser.add_argument("--digits", required=True, help="folder of the Free Spoken Digit Dataset's recordings")
    parser.add_argument("--minutes", type=float, required=True, help="CPU minutes of this stage in all")
    parser.add_argument("--from", dest="start", nargs="*", default=[], help="stages whose weights to start from")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=9.0, help="the longest clip")
    parser.add_argument("--padded", type=float, default=0.1, help="share of speech steps with true padding")
    parser.add_argument("--ctc", type=float, default=0.3, help="weight of the phoneme loss beside the answers'")
    parser.add_argument("--decay", type=float, default=0.4, help="the last part, over which the learning rate comes down")
    parser.add_argument("--every", type=float, default=4.0, help="minutes between checkpoints; every third is tried on held-out data")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    use_fast_norm()
    Trainer(options).train()


if __name__ == "__main__":
    sys.exit(main())
