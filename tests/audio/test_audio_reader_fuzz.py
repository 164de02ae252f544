"""Whatever is in a file, the reader returns samples or an `AudioError`: no crash, no hang, no unbounded
memory."""

import io
import struct
import tracemalloc
from datetime import timedelta

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeper.audio.reader import MAX_FRAMES, AudioError, read

MEMORY = 2**27  # bytes: 32 channels of the longest block, and copies


def valid_files() -> list[bytes]:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (300, 2))
    kinds = [("WAV", s) for s in ("PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM")]
    kinds += [("WAVEX", "PCM_32"), ("RF64", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")]
    kinds += [("AIFF", "PCM_16"), ("W64", "PCM_16"), ("CAF", "PCM_24"), ("AU", "FLOAT"), ("NIST", "PCM_16")]
    kinds += [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("VOC", "PCM_16"), ("AVR", "PCM_16")]
    files = []
    for container, subtype in kinds:
        for channels in (1, 2):
            buffer = io.BytesIO()
            soundfile.write(buffer, samples[:, :channels], 8000, format=container, subtype=subtype)
            files.append(buffer.getvalue())
    return files


number = st.sampled_from([0, 1, 2, 255, 44101, 0x7FFFFFFF, 0xFFFFFFFF, 2**24]) | st.integers(0, 2**32 - 1)
edit = st.one_of(
    st.tuples(st.just("byte"), st.integers(0, 120), st.integers(0, 255)),
    st.tuples(st.just("number"), st.integers(0, 60), number),
    st.tuples(st.just("cut"), st.integers(4, 2000), st.just(0)),
    st.tuples(st.just("drop"), st.integers(0, 120), st.integers(1, 20)),
    st.tuples(st.just("insert"), st.integers(0, 120), st.integers(0, 255)),
)


@st.composite
def damaged(draw):
    content = bytearray(draw(st.sampled_from(valid_files())))
    for kind, place, value in draw(st.lists(edit, min_size=1, max_size=6)):
        match kind:
            case "byte" if place < len(content):
                content[place] = value
            case "number":
                content[place : place + 4] = struct.pack("<I", value)
            case "cut":
                del content[place:]
            case "drop":
                del content[place : place + value]
            case "insert":
                content[place:place] = bytes([value])
    return bytes(content)


@st.composite
def headers(draw):
    """WAV headers whose fields contradict one another and the data."""
    tag = draw(st.sampled_from([1, 2, 3, 6, 7, 17, 0x31, 0x55, 0x161, 0xFFFE]) | st.integers(0, 65535))
    fields = [tag, draw(st.integers(0, 65535)), draw(number), draw(number), draw(st.integers(0, 65535))]
    form = struct.pack("<HHIIHH", *fields, draw(st.sampled_from([0, 1, 4, 8, 12, 16, 24, 32, 64, 65535])))
    form += draw(st.binary(max_size=40))
    data = draw(st.binary(max_size=400))
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", draw(number)) + data
    return b"RIFF" + struct.pack("<I", draw(number)) + body


magic = st.sampled_from(
    [b"", b"RIFF\xff\xff\xff\xffWAVE", b"RIFX", b"RF64", b"fLaC\0\0\0\x22", b"ID3", b"OggS", b"FORM"]
)
magic |= st.sampled_from(
    [b"caff", b"2BIT", b".snd", b"riff\x2e\x91\xcf\x11", b"NIST_1A\n", b"Creative Voice File\x1a", b"\xff\xfb\x90\x64"]
)
anything = st.builds(lambda head, rest: head + rest, magic, st.binary(max_size=300))


@settings(
    max_examples=400,
    deadline=timedelta(seconds=5),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(content=damaged() | headers() | anything, suffix=st.sampled_from(["wav", "flac"]))
def test_any_bytes_give_samples_or_an_audio_error(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"fuzz.{suffix}"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        samples = read(path, 22050)
    except AudioError as error:
        assert str(path) in str(error)
    else:
        assert samples.dtype == np.int16
        assert samples.ndim == 1
        assert 0 < len(samples) <= MAX_FRAMES
    finally:
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MEMORY


def test_the_undamaged_files_are_all_readable(tmp_path):
    for i, content in enumerate(valid_files()):
        path = tmp_path / f"{i}.wav"
        path.write_bytes(content)
        assert len(read(path, 8000)) == pytest.approx(300, abs=1000)
