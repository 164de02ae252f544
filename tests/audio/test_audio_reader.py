"""The reader: exact where it can be, honest where the file is not what it says."""

import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from sweeper.audio.reader import AudioError, decode, read, resample, to_int16

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 83244\n"


def wav(rate=8000, channels=1, bits=16, data=b"\1\2" * 100, tag=1, promised=None) -> bytes:
    """A WAV file's bytes, with whatever header."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, (rate * frame) & 0xFFFFFFFF, frame & 0xFFFF, bits)
    length = len(data) if promised is None else promised
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", length & 0xFFFFFFFF) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_sixteen_bit_mono_at_its_own_rate_comes_back_exactly(tmp_path, suffix):
    samples = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, samples, 11025)
    assert np.array_equal(read(path, 11025), samples)


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [("PCM_24", 1), ("PCM_32", 1), ("PCM_U8", 300), ("FLOAT", 1), ("DOUBLE", 1), ("ULAW", 1100), ("IMA_ADPCM", 1500)],
)
def test_bit_depths_agree_with_sixteen_bit(tmp_path, subtype, tolerance):
    tone = 0.8 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    path = tmp_path / "a.wav"
    soundfile.write(path, tone, 8000, subtype=subtype)
    settled = slice(500, 7500)  # ADPCM starts and ends with steps of its own
    error = read(path, 8000)[settled] - np.rint(tone * 32768)[settled]
    assert np.max(np.abs(error)) <= tolerance


@pytest.mark.parametrize("channels", [2, 12])
def test_channels_are_averaged(tmp_path, channels):
    samples = np.random.default_rng(0).integers(-3000, 3000, (700, channels)).astype(np.int16)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 8000)
    assert np.max(np.abs(read(path, 8000) - samples.mean(axis=1))) <= 0.5 + 1e-3
    assert decode(path).channels == channels


def sine(hertz, rate, count):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("source", "target"),
    [(44100, 22050), (48000, 22050), (22050, 16000), (8000, 22050), (96000, 16000), (44101, 22050), (11024, 22050)],
)
def test_resampling_keeps_a_tone_and_suppresses_what_would_alias(source, target):
    """The last two ratios have no common divisor to speak of: an exact filter would take gigabytes."""
    settled = slice(1000, -1000)
    kept = resample(sine(1000, source, source), source, target)
    assert abs(len(kept) - target) <= 1
    assert np.abs(kept - sine(1000, target, len(kept)))[settled].max() < 0.5e-5  # 100 dB below
    if target < source:
        aliased = resample(sine(0.55 * target, source, source), source, target)
        assert np.abs(aliased[settled]).max() < 0.5e-5


@pytest.mark.parametrize(("source", "target"), [(44100, 22050), (22050, 16000), (8000, 22050)])
def test_resampling_agrees_with_torchaudio(source, target):
    """On what its shorter filter leaves alone: a noise that fills the lower half of the band."""
    noise = np.fft.rfft(np.random.default_rng(0).standard_normal(source))
    noise[min(source, target) // 4 :] = 0
    samples = np.fft.irfft(noise, source).astype(np.float32)
    theirs = torchaudio.functional.resample(torch.from_numpy(samples), source, target, lowpass_filter_width=64).numpy()
    ours = resample(samples, source, target)
    count = min(len(ours), len(theirs))
    assert np.abs(ours[:count] - theirs[:count])[1000:-1000].max() < 1e-3 * np.abs(theirs).max()


@pytest.mark.parametrize("length", [1, 17, 8191])
def test_short_clips_keep_their_length(length):
    assert abs(len(resample(np.full(length, 0.25, dtype=np.float32), 22050, 16000)) - length * 16000 / 22050) <= 1


def test_a_clip_of_less_than_one_sample_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.5]), 96000)
    with pytest.raises(AudioError, match=r"a\.wav: 1 samples at 96000 Hz are none at 8000 Hz"):
        read(path, 8000)


def test_loud_floating_point_is_clipped_and_another_scale_refused(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.0, 1.5, -1.5, 0.25]), 8000, subtype="FLOAT")
    assert read(path, 8000).tolist() == [0, 32767, -32768, 8192]
    soundfile.write(path, np.array([0.0, 20000.0, -20000.0]), 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match="full scale is 1"):
        read(path, 8000)


BAD = {
    "empty file": (b"", "an empty file"),
    "git-lfs pointer": (LFS, "git-lfs pointer.*git lfs pull"),
    "text named wav": (b"Not Found\n", "neither WAV nor FLAC .*Not Found"),
    "no samples": (wav(data=b""), "no samples|without audio"),
    "no data chunk": (wav()[:36], "without audio"),
    "0 Hz": (wav(rate=0), "0 Hz|can't be decoded"),
    "4 GHz": (wav(rate=4_000_000_000), "Hz|can't be decoded"),
    "header promises more": (wav(promised=10**6), "promises 1000000 bytes of audio, 200 are there"),
    "header promises 4 GB": (wav(promised=2**32 - 2), "promises 4294967294 bytes"),
    "0 channels": (wav(channels=0), "can't be decoded"),
    "65535 channels": (wav(channels=65535), "can't be decoded|promises"),
    "mp3 inside": (wav(tag=0x55), "can't be decoded|not supported"),
    "flac header only": (b"fLaC" + b"\0" * 60, "can't be decoded"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_their_name_and_the_reason(tmp_path, name):
    content, reason = BAD[name]
    path = tmp_path / "Größe 1.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=reason) as caught:
        read(path, 8000)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nan_and_infinity_are_refused_with_their_place(tmp_path):
    samples = np.zeros(8000, dtype=np.float32)
    for value in (np.nan, np.inf, -np.inf):
        samples[4000] = value
        path = tmp_path / "a.wav"
        soundfile.write(path, samples, 8000, subtype="FLOAT")
        with pytest.raises(AudioError, match=r"NaN or infinity at 0\.500 s"):
            read(path, 8000)


def test_a_truncated_flac_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 40000), 8000)
    path.write_bytes(path.read_bytes()[:30000])
    with pytest.raises(AudioError, match=r"promises 40000 frames|can't be decoded"):
        read(path, 8000)


def test_a_stream_that_did_not_know_its_length_is_read(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(promised=0xFFFFFFFF))
    assert len(read(path, 8000)) == 100


def test_a_tiny_file_that_unpacks_to_hours_is_refused_in_bounded_memory(tmp_path):
    path = tmp_path / "silence.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(20):
            file.write(np.zeros(2**20, dtype=np.int16))
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    with pytest.raises(AudioError, match="too long for a clip"):
        read(path, 8000)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**25


def test_what_grows_too_long_by_resampling_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(200_000, dtype=np.int16), 1000)
    with pytest.raises(AudioError, match="too long"):
        read(path, 192_000)


def test_names_with_spaces_and_accents(tmp_path):
    path = tmp_path / "Füße, çà et là 日本.wav"
    soundfile.write(path, np.full(10, 0.5), 8000)
    assert read(path, 8000).tolist() == [16384] * 10


def test_what_is_not_a_file_is_refused_at_once(tmp_path):
    loop, pipe = tmp_path / "loop.wav", tmp_path / "pipe.wav"
    loop.symlink_to(loop)
    os.mkfifo(pipe)  # opening it would wait for a writer for ever
    folder = tmp_path / "folder.wav"
    folder.mkdir()
    for path, reason in (
        (loop, "symbolic link|loop"),
        (pipe, "not a regular file"),
        (folder, "not a regular file"),
        (tmp_path / "gone.wav", "no such file"),
    ):
        with pytest.raises(AudioError, match=reason):
            read(path, 8000)


def test_int16_rounds_to_nearest_and_saturates():
    values = np.array([-2, -1, -0.50001, 0, 0.00002, 0.99999, 2], dtype=np.float32)
    assert to_int16(values).tolist() == [-32768, -32768, -16384, 0, 1, 32767, 32767]


def test_flac_and_wav_of_one_clip_give_the_same_samples(pack, tmp_path):
    """The packs hold the same clip as FLAC and as WAV; where the rates are equal so must the samples be."""
    flacs, wavs = pack("urbansound8k/audio"), pack("mini/urbansound8k/audio")
    compared = 0
    for path in sorted(wavs.rglob("*.wav")):
        flac = (flacs / path.relative_to(wavs)).with_suffix(".flac")
        if decode(path).sample_rate == decode(flac).sample_rate:
            assert np.array_equal(read(path, 16000), read(flac, 16000)), path
            compared += 1
    assert compared == 40


def test_flac_and_wav_of_one_clip_at_different_rates_sound_the_same(pack):
    flacs, wavs = pack("ravdess"), pack("mini/ravdess")
    for path in sorted(wavs.rglob("*.wav"))[::8]:
        flac = (flacs / Path(path.relative_to(wavs))).with_suffix(".flac")
        a, b = read(path, 16000).astype(float), read(flac, 16000).astype(float)
        n = min(len(a), len(b))
        assert abs(len(a) - len(b)) <= 2
        assert np.corrcoef(a[:n], b[:n])[0, 1] > 0.999
