"""From a waveform to what the audio tower sees, and the sounds that no engine speaks: human digits, and no speech.

Waves are float32 [samples] in -1..1 at 16 kHz; `rng` is a `numpy.random.Generator`.
`python hearing.py` compares `mel` with the extractor of transformers and measures both it and `augment`.
"""

import time
from pathlib import Path

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.io import wavfile
from scipy.signal import resample_poly

RATE = 16000

# ---- log-mel, as Gemma3nAudioFeatureExtractor has it by default ---------------------------
FRAME, HOP, FFT, MELS = 512, 160, 1024, 128
LONGEST = 480_000  # samples; the extractor drops the rest
PREEMPHASIS, FLOOR = 0.97, 1e-5
WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)


def _filters():
    """Triangles between 125 Hz and 7600 Hz, evenly spaced in mel: [FFT / 2 + 1, MELS]."""
    low, high = 2595 * np.log10(1 + np.array([125.0, 7600.0]) / 700)
    corners = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    bins = np.arange(FFT // 2 + 1)[:, None] * (RATE / FFT)
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


FILTERS = _filters()


def mel(wave):
    """Log-mel of a wave: float32 [frames, 128], a frame of 32 ms every 10 ms."""
    wave = np.asarray(wave, np.float32)[:LONGEST]
    # The extractor pads to a multiple of 128 and calls a frame valid if its first sample is not padding.
    padded = np.zeros(-(-len(wave) // 128) * 128, np.float32)
    padded[: len(wave)] = wave
    n_frames = min((len(padded) - FRAME - 1) // HOP + 1, -(-len(wave) // HOP))
    if n_frames <= 0:
        return np.zeros((0, MELS), np.float32)
    raw = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[: n_frames * HOP : HOP]
    frames = np.empty((n_frames, FRAME), np.float32)
    np.multiply(raw[:, :-1], -PREEMPHASIS, out=frames[:, 1:])
    frames[:, 1:] += raw[:, 1:]
    frames[:, 0] = raw[:, 0] * (1 - PREEMPHASIS)
    frames *= WINDOW
    loudness = np.abs(rfft(frames, FFT, overwrite_x=True)) @ FILTERS
    return np.log(np.maximum(loudness, np.float32(FLOOR)))


# ---- augmentation ---------------------------------------------------------------------
GRID = np.linspace(0, RATE / 2, 257)  # Hz; a channel is drawn at these frequencies
OCTAVES = np.log2(np.maximum(GRID, 60) / 1000)


def augment(wave, rng, others=()):
    """The wave as another speaker, room, channel and level might have it: float32 [samples'], a little longer.

    `others`, if any, are waves of other speakers, heard as a murmur instead of noise now and then.
    """
    peak = np.abs(wave).max(initial=0)
    if rng.random() < 0.8:
        wave = _at_speed(wave, rng.uniform(0.85, 1.18))
    lead, tail = int(RATE * rng.uniform(0.02, 0.5)), int(RATE * rng.uniform(0.1, 0.6))
    sound = np.zeros(lead + len(wave) + tail, np.float32)
    sound[lead : lead + len(wave)] = wave

    noisy, in_room = rng.random() < 0.7, rng.random() < 0.5
    if noisy and in_room:
        _add_noise(sound, len(wave), rng, others)
    echo = _room(rng) if rng.random() < 0.45 else np.ones(1, np.float32)
    size = next_fast_len(len(sound) + len(echo), real=True)
    spectrum = rfft(sound, size) * np.interp(np.linspace(0, RATE / 2, size // 2 + 1), GRID, _channel(rng)).astype(np.float32)
    if len(echo) > 1:
        spectrum *= rfft(echo, size)
    sound = irfft(spectrum, size)[: len(sound)]
    if noisy and not in_room:
        _add_noise(sound, len(wave), rng, others)
    if rng.random() < 0.1:
        sound += _hum(len(sound), rng) * (peak * _gain(rng, -50, -25))

    sound *= peak / max(np.abs(sound).max(), 1e-9)
    if rng.random() < 0.1:
        sound = np.clip(sound * rng.uniform(1, 2.5), -peak, peak)
    if rng.random() < 0.6:  # the microphone's own noise
        sound += rng.standard_normal(len(sound), np.float32) * _gain(rng, -85, -50)
    return np.clip(sound * _gain(rng, -25, 0), -1, 1).astype(np.float32)


def _gain(rng, low, high):
    """A factor drawn evenly in dB."""
    return np.float32(10 ** (rng.uniform(low, high) / 20))


def _at_speed(wave, speed):
    """Higher is faster, and moves pitch and formants with it."""
    at = np.arange(0, len(wave) - 1, speed)
    return np.interp(at, np.arange(len(wave)), wave).astype(np.float32)


def _room(rng):
    """An impulse response: the direct sound and a tail of decaying noise."""
    count = int(RATE * rng.uniform(0.06, 0.5))
    decay = np.exp(-np.linspace(0, rng.uniform(4, 9), count, dtype=np.float32))
    echo = rng.standard_normal(count, np.float32) * decay
    echo[: int(RATE * rng.uniform(0.001, 0.01))] = 0  # the nearest wall is some way off
    echo *= _gain(rng, -20, 1) / np.sqrt((echo**2).sum())
    echo[0] = 1
    return echo


def _channel(rng):
    """Amplitude at GRID: a tilt, a ripple, and often the band of a telephone or a dull microphone."""
    ripple = np.cos(2 * np.pi * (OCTAVES * rng.uniform(0.1, 0.4) + rng.random()))
    amplitude = 10 ** ((rng.uniform(-3, 3) * OCTAVES + rng.uniform(0, 4) * ripple) / 20)
    u = rng.random()
    if u < 0.5:  # a telephone, as the human digits have it, or a dull microphone
        highest = rng.uniform(3400, 4000) if u < 0.3 else rng.uniform(4500, 7500)
        amplitude /= 1 + (GRID / highest) ** 48
    if rng.random() < 0.3:
        amplitude /= 1 + (rng.uniform(70, 350) / np.maximum(GRID, 1)) ** 6
    return amplitude


def _add_noise(sound, spoken, rng, others):
    """Adds noise at 5..40 dB below the power of the speech, which lasts `spoken` samples of the sound."""
    u = rng.random()
    if len(others) and u < 0.3:
        noise = sum(_from_anywhere(other, len(sound), rng) * _gain(rng, -8, 0) for other in others)
    elif u < 0.45:
        noise = _murmur(len(sound), rng)
    else:
        noise = _noise(len(sound), rng.choice((0.0, 0.5, 1.0, 1.0, 1.5)), rng)
    level = np.sqrt((sound**2).sum() / max(spoken, 1)) / (np.sqrt((noise**2).mean()) + 1e-9)
    sound += noise * (level * _gain(rng, -40, -5))


def _from_anywhere(wave, count, rng):
    return np.resize(np.roll(wave, rng.integers(0, len(wave))), count)


def _noise(count, slope, rng):
    """Noise of unit power whose power falls with frequency to the `slope`: 0 white, 1 pink, 2 brown."""
    size = next_fast_len(count, real=True)
    parts = rng.standard_normal((size // 2 + 1, 2), np.float32)
    spectrum = parts.view(np.complex64)[:, 0]
    if slope:
        rank = np.maximum(np.arange(len(spectrum), dtype=np.float32), size * 30 / RATE)  # flat below 30 Hz
        spectrum *= rank ** np.float32(-slope / 2)
    noise = irfft(spectrum, size)[:count]
    return noise / np.sqrt((noise**2).mean())


def _murmur(count, rng):
    """Noise that comes and goes at the rate of syllables."""
    knots = rng.random(max(2, count * 6 // RATE)) ** 2
    envelope = np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
    return _noise(count, 1.2, rng) * envelope.astype(np.float32)


def _hum(count, rng):
    """The mains and its overtones, about unit amplitude."""
    base, at = rng.choice((50.0, 60.0)), np.arange(count, dtype=np.float32) / RATE
    overtones = rng.choice(np.arange(1, 9), size=4, replace=False)
    return sum(np.sin(2 * np.pi * base * k * at + rng.uniform(0, 6)) * rng.uniform(0.1, 0.5) for k in overtones).astype(np.float32)


# ---- human digits ---------------------------------------------------------------------
class Digits:
    """Strings of digits from single recordings named `{digit}_{speaker}_{index}.wav`."""

    def __init__(self, folder, speakers):
        self.speakers = list(speakers)
        self.recordings = {}  # (speaker, digit) -> waves of peak 1
        for path in sorted(Path(folder).glob("*.wav")):
            digit, speaker, _ = path.stem.split("_")
            if speaker in self.speakers:
                rate, wave = wavfile.read(path)
                wave = resample_poly(wave.astype(np.float32), RATE // rate, 1).astype(np.float32)
                self.recordings.setdefault((speaker, int(digit)), []).append(wave / np.abs(wave).max())

    def draw(self, rng, count=None):
        """-> wave, the digits said (3 to 7 unless `count` is given), the speaker's name."""
        speaker = str(rng.choice(self.speakers))
        digits = [int(d) for d in rng.integers(0, 10, rng.integers(3, 8) if count is None else count)]
        string = np.zeros(0, np.float32)
        for digit in digits:
            takes = self.recordings[speaker, digit]
            wave = _at_speed(takes[rng.integers(len(takes))], rng.uniform(0.94, 1.06)) * _gain(rng, -5, 0)
            if len(string) and rng.random() < 0.2:
                string = _joined(string, wave, int(RATE * rng.uniform(0.01, 0.04)))
            else:
                fade = np.minimum(1, np.arange(len(wave), dtype=np.float32) / 48)  # 3 ms, against clicks
                pause = int(RATE * rng.uniform(0.02, 0.25)) if len(string) else 0
                string = np.concatenate([string, np.zeros(pause, np.float32), wave * fade * fade[::-1]])
        return string * (0.95 / np.abs(string).max()), digits, speaker


def _joined(first, second, overlap):
    fade = np.linspace(0, 1, overlap, dtype=np.float32)
    middle = first[-overlap:] * (1 - fade) + second[:overlap] * fade
    return np.concatenate([first[:-overlap], middle, second[overlap:]])


# ---- no speech ------------------------------------------------------------------------
def nothing(rng):
    """A wave of 1 to 8 s in which nobody speaks: silence, noise, hum, clicks, tones or music."""
    count = int(RATE * rng.uniform(1, 8))
    if rng.random() < 0.08:
        return np.zeros(count, np.float32)
    chosen = rng.choice(len(SOUNDS), size=1 if rng.random() < 0.7 else 2, replace=False)
    wave = sum(_leveled(SOUNDS[k](count, rng), _gain(rng, -20, 0)) for k in chosen)
    wave = _leveled(wave, _gain(rng, -60, -1) if rng.random() < 0.4 else _gain(rng, -25, -1))
    if rng.random() < 0.7:
        wave += rng.standard_normal(count, np.float32) * _gain(rng, -85, -50)
    return np.clip(wave, -1, 1).astype(np.float32)


def silence(rng, seconds):
    """Nothing at all, or what a good microphone makes of it."""
    return rng.standard_normal(int(RATE * seconds), np.float32) * rng.choice((0, _gain(rng, -80, -60))).astype(np.float32)


def noise(rng, seconds):
    """One of the noises of `nothing` without music or tones, at a level between faint and loud."""
    make = (_steady_noise, _murmur, _typing)[rng.integers(3)]
    return _leveled(make(int(RATE * seconds), rng), _gain(rng, -40, -3))


def music(rng, seconds):
    """Chords or arpeggios, at a level between quiet and loud."""
    return _leveled(_music(int(RATE * seconds), rng), _gain(rng, -25, -3))


def _leveled(wave, peak):
    return wave * (peak / max(np.abs(wave).max(), 1e-9))


def _steady_noise(count, rng):
    return _noise(count, rng.choice((0.0, 1.0, 2.0)), rng)


def _clicks(count, rng):
    wave = np.zeros(count, np.float32)
    wave[rng.integers(0, count, rng.integers(1, 30))] = rng.uniform(-1, 1)
    return wave


def _typing(count, rng):
    """Short bursts of noise in runs, like keys."""
    wave, at = np.zeros(count, np.float32), int(RATE * rng.uniform(0, 0.5))
    while at < count - 800:
        length = int(RATE * rng.uniform(0.005, 0.04))
        burst = _noise(length, rng.uniform(0, 1), rng) * np.exp(-np.linspace(0, 6, length, dtype=np.float32))
        wave[at : at + length] += burst * _gain(rng, -12, 0)
        at += int(RATE * (rng.uniform(0.07, 0.25) if rng.random() < 0.85 else rng.uniform(0.4, 1.2)))
    return wave


def _tones(count, rng):
    """A few steady or gliding tones, at times switched on and off."""
    at = np.arange(count, dtype=np.float32) / RATE
    wave = np.zeros(count, np.float32)
    for _ in range(rng.integers(1, 4)):
        start = 2 ** rng.uniform(6.5, 11.5)  # 90 Hz to 2.9 kHz
        glide = 0 if rng.random() < 0.7 else rng.uniform(-0.5, 0.5) * start / at[-1]
        wave += np.sin(2 * np.pi * (start + glide / 2 * at) * at).astype(np.float32) * _gain(rng, -12, 0)
    if rng.random() < 0.5:
        wave *= (at * rng.uniform(0.5, 5)) % 1 < rng.uniform(0.2, 0.8)
    return wave


CHORDS = [(0, 4, 7), (0, 3, 7), (0, 4, 7, 11), (0, 3, 7, 10), (0, 5, 7)]  # semitones above the root


def _music(count, rng):
    """Chords or arpeggios by one instrument, mostly with drums."""
    wave, beat = np.zeros(count, np.float32), int(RATE * 60 / rng.uniform(70, 160))
    overtones = rng.random(6) / np.arange(1, 7) ** rng.uniform(0.5, 2)
    decay, attack, root = rng.uniform(1, 6), rng.uniform(0.002, 0.05), rng.integers(40, 60)
    broken, drums = rng.random() < 0.5, rng.random() < 0.6
    for bar in range(0, count, beat * 4):
        key = root + rng.choice((0, 5, 7, 9, -3))
        chord = CHORDS[rng.integers(len(CHORDS))]
        for step in range(8):
            at = bar + step * beat // 2
            if broken:
                _add(wave, at, _note(key + rng.choice(chord) + 12 * rng.integers(0, 2), beat, overtones, decay, attack))
            elif step in (0, 4):
                for above in chord:
                    _add(wave, at, _note(key + above, beat * 2, overtones, decay, attack))
            if drums:
                _add(wave, at, _drum(step, rng) * 2)
    return wave


def _note(key, length, overtones, decay, attack):
    """A note by its MIDI key, with the amplitudes of its partials."""
    at = np.arange(length, dtype=np.float32) / RATE
    base = 440 * 2 ** ((key - 69) / 12)
    tone = sum(a * np.sin(2 * np.pi * base * k * at) for k, a in enumerate(overtones, 1))
    release = np.minimum(1, (length / RATE - at) * 100)
    return (tone * np.minimum(1, at / attack) * np.exp(-decay * at) * release).astype(np.float32)


def _drum(step, rng):
    """A bass drum on the beat, a snare on the second and fourth, a hi-hat elsewhere."""
    length = int(RATE * 0.15)
    at = np.arange(length, dtype=np.float32) / RATE
    if step % 4 == 0:
        return np.sin(2 * np.pi * 50 * at + 8 * (1 - np.exp(-at * 40))) * np.exp(-at * 25)
    sharpness, level = (30, 0.6) if step % 4 == 2 else (90, 0.3)
    return rng.standard_normal(length, np.float32) * np.exp(-at * sharpness) * level


def _add(wave, at, sound):
    end = min(len(wave), at + len(sound))
    if at < end:
        wave[at:end] += sound[: end - at]


SOUNDS = (_steady_noise, _murmur, _hum, _clicks, _typing, _tones, _music)


# ---- self-check -----------------------------------------------------------------------
def main():
    from transformers import Gemma3nAudioFeatureExtractor

    extractor, rng = Gemma3nAudioFeatureExtractor(), np.random.default_rng(1)
    largest = 0.0
    for seconds in (0.04, 0.3, 31, *rng.uniform(0.3, 12, 17)):
        wave = (_noise(int(RATE * seconds), 1.0, rng) * _gain(rng, -60, -12)).astype(np.float32)
        told = extractor([wave], return_tensors="np")
        expected = told["input_features"][0][told["input_features_mask"][0].astype(bool)]
        found = mel(wave)
        assert found.shape == expected.shape, (len(wave), found.shape, expected.shape)
        largest = max(largest, float(np.abs(found - expected).max(initial=0)))
    print(f"largest difference of log-mel over 20 lengths: {largest:.1e}")
    wave = _noise(3 * RATE, 1.0, rng) * np.float32(0.1)
    for name, work in (("mel", lambda: mel(wave)), ("augment", lambda: augment(wave, rng)), ("nothing", lambda: nothing(rng))):
        begun = time.process_time()
        for _ in range(100):
            work()
        print(f"{name}: {10 * (time.process_time() - begun):.1f} ms CPU for {'1..8' if name == 'nothing' else '3'} s")


if __name__ == "__main__":
    main()
