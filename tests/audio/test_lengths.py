"""What a file promises and what is there: whole files are read, whatever wrote their headers; others are named."""

import io
import struct

import numpy as np
import pytest
import soundfile

from sweeper.audio.containers import mpeg
from sweeper.audio.containers.flac import _crc16
from sweeper.audio.reader import AudioError, decode, stream

RATE = 8000
FRAMES = 6000
NOISE = np.random.default_rng(0).integers(-9000, 9000, FRAMES).astype("<i2")
ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + bytes(8)
LIST = b"LIST" + struct.pack("<I", 18) + b"INFOISFT" + struct.pack("<I", 6) + b"abcde\0"
ODD_LIST = b"LIST" + struct.pack("<I", 17) + b"INFOISFT" + struct.pack("<I", 5) + b"abcde"  # and no padding


@pytest.fixture
def frames(tmp_path):
    """How many frames are read from these bytes."""

    def count(content: bytes, name: str = "a.wav") -> int:
        path = tmp_path / name
        path.write_bytes(content)
        samples = decode(path).samples
        whole = np.concatenate(list(stream(path, decode(path).sample_rate)))
        assert len(whole) == len(samples)
        return len(samples)

    return count


@pytest.fixture
def refused(tmp_path):
    """The one line with which these bytes are refused."""

    def message(content: bytes, name: str = "a.wav") -> str:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(AudioError) as caught:
            decode(path)
        said = str(caught.value)
        assert said.startswith(f"{path}: ")
        assert "\n" not in said
        return said.removeprefix(f"{path}: ")

    return message


def written(container: str, subtype: str | None = None, count: int = FRAMES, rate: int = RATE, **options) -> bytes:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, count)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype, **options)
    return buffer.getvalue()


def wav(
    data: int | None = None, riff: int | None = None, before: bytes = b"", after: bytes = b"", bits: int = 16
) -> bytes:
    """`NOISE` under a header that says so much."""
    samples = NOISE.tobytes()[: FRAMES * 2 // (bits // 8) * (bits // 8)]
    frame = bits // 8
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, frame * RATE, frame, bits)
    data = len(samples) if data is None else data
    body = b"WAVE" + form + before + b"data" + struct.pack("<I", data) + samples + after
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


WHOLE_WAVS = {
    "sox to a pipe": wav(0x7FFFF000, 0x7FFFF024),
    "ffmpeg to a pipe": wav(0xFFFFFFFF, 0xFFFFFFFF, before=LIST),
    "arecord to a pipe": wav(0x7FFFFF00, 0x7FFFFF24),
    "gstreamer to a pipe": wav(0, 0),
    "largest signed": wav(0x7FFFFFFF, 0x7FFFFFFF),
    "2 GiB": wav(0x80000000, 0x80000024),
    "less the header": wav(0xFFFFFFFF - 44, 0xFFFFFFFF - 8),
    "a crash, both sizes 0": wav(0, 0, before=LIST),
    "a crash, an empty file's sizes": wav(0, 36),
    "a chunk after": wav(after=LIST),
    "a chunk after, cut": wav(after=LIST[:-5]),
    "junk after": wav() + b"xyz" * 33,
    "ID3 after": wav() + ID3,
    "ID3v1 after": wav() + ID3V1,
    "ID3 before": ID3 + wav(),
    "ID3 before a pipe's": ID3 + wav(0, 0),
    "an odd chunk before, not padded": wav(before=ODD_LIST),
    "an odd chunk before, padded": wav(before=ODD_LIST + b"\0"),
    "an odd chunk before a pipe's": wav(0, 0, before=ODD_LIST),
    "RIFF too small": wav(riff=36),
    "RIFF too large": wav(riff=10**6),
}


@pytest.mark.parametrize("name", WHOLE_WAVS)
def test_whole_wavs_are_read_to_the_last_sample(tmp_path, name):
    path = tmp_path / "a.wav"
    path.write_bytes(WHOLE_WAVS[name])
    assert np.array_equal(np.concatenate(list(stream(path, RATE))), NOISE)
    assert len(decode(path).samples) == FRAMES


@pytest.mark.parametrize("bits", [8, 24, 32])
def test_sizes_that_sox_rounds_to_whole_frames(frames, bits):
    width = bits // 8
    limit = 0x7FFFF000 - 0x7FFFF000 % width
    assert frames(wav(limit, limit + 36, bits=bits)) == FRAMES * 2 // width


@pytest.mark.parametrize("promised", [2**32 - 2, 10**6, FRAMES * 2 + 1, 0x7FFFF000 - 2])
def test_other_sizes_are_promises(refused, promised):
    assert refused(wav(promised)) == (
        f"header promises {promised} bytes of audio, {FRAMES * 2} are there; get the file again"
    )


def ds64(magic: bytes, size: int, data: int = 0xFFFFFFFF) -> bytes:
    plain = wav()
    chunk = b"ds64" + struct.pack("<IQQQI", 28, size, size, 0, 0)
    at = plain.index(b"data") + 4
    return magic + b"\xff" * 4 + b"WAVE" + chunk + plain[12:at] + struct.pack("<I", data) + plain[at + 4 :]


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize(("size", "data"), [(FRAMES * 2, 0xFFFFFFFF), (0, 0xFFFFFFFF), (0, 0), (2**64 - 1, 0xFFFFFFFF)])
def test_wide_wavs_with_or_without_a_length(frames, magic, size, data):
    assert frames(ds64(magic, size, data)) == FRAMES


# container, subtype: with the end of the file cut off, by bytes
CUT = [
    *(("WAV", kind) for kind in ("PCM_16", "PCM_24", "PCM_U8", "FLOAT", "IMA_ADPCM", "GSM610")),
    *((kind, "PCM_16") for kind in ("RF64", "W64", "AIFF", "AU", "CAF", "NIST", "SVX", "AVR", "FLAC")),
    *(("WAVEX", "PCM_24"), ("AIFF", "FLOAT"), ("CAF", "ALAC_16"), ("VOC", "PCM_U8"), ("FLAC", "PCM_24")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
]


@pytest.mark.parametrize(("container", "subtype"), CUT)
def test_a_cut_file_is_named_with_what_it_promises(frames, refused, container, subtype):
    content = written(container, subtype)
    expected = {"IMA_ADPCM": 6060, "GSM610": 6400}.get(subtype, FRAMES)  # whole blocks
    assert frames(content) == expected
    for cut in (3, len(content) // 4, len(content) // 2):
        said = refused(content[:-cut])
        assert said.startswith("header promises "), (cut, said)
        assert said.endswith("; get the file again"), (cut, said)


@pytest.mark.parametrize(("container", "subtype"), [pair for pair in CUT if pair[0] not in ("VOC",)])
def test_what_stands_before_and_after_audio_is_not_audio(frames, container, subtype):
    content = written(container, subtype)
    expected = frames(content)
    for odd in (content + b"xyz" * 11, content + ID3V1, content + APE + ID3V1, ID3 + content):
        assert frames(odd) == expected


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "PCM_16"), ("AU", "PCM_16"), ("AIFF", "PCM_16")])
def test_a_file_without_samples_is_whole_and_empty(refused, container, subtype):
    said = refused(written(container, subtype, count=0))
    assert said == "holds no samples (0 frames); record or get it again, or leave it out"


def test_an_empty_wav_with_a_chunk_after_it_is_empty(refused):
    empty = written("WAV", count=0)
    assert "holds no samples" in refused(empty + LIST)


def with_size(content: bytes, at: int, form: str, size: int) -> bytes:
    packed = struct.pack(form, size)
    return content[:at] + packed + content[at + len(packed) :]


def test_other_containers_from_pipes(frames):
    aiff, au, caf, wave64 = (written(name, "PCM_16") for name in ("AIFF", "AU", "CAF", "W64"))
    comm, ssnd = aiff.index(b"COMM") + 10, aiff.index(b"SSND") + 4
    for size in (0, 8, 0x7F000008, 0xFFFFFFFF, 0x7FFFFFFF):
        assert frames(with_size(aiff, ssnd, ">I", size)) == FRAMES
        assert frames(with_size(with_size(aiff, ssnd, ">I", size), comm, ">I", size // 2)) == FRAMES
    for size in (0, 0xFFFFFFFF, 0x7FFFF000):
        assert frames(with_size(au, 8, ">I", size)) == FRAMES
    for size in (-1, 0):
        assert frames(with_size(caf, caf.index(b"data") + 4, ">q", size)) == FRAMES
    for size in (0, 24, 2**64 - 1):
        assert frames(with_size(wave64, wave64.index(b"data\xf3") + 16, "<Q", size)) == FRAMES


def unknown_total(flac: bytes, total: int = 0) -> bytes:
    return flac[:21] + struct.pack(">BI", flac[21] & 0xF0, total) + flac[26:]


@pytest.mark.parametrize("count", [1, 17, 4096, 4097, 40_000, 700_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_without_a_total(frames, refused, count, subtype):
    content = unknown_total(written("FLAC", subtype, count))
    for whole in (content, content + ID3V1, ID3 + content):
        assert frames(whole, "a.flac") == count
    said = refused(content[:-3], "a.flac")
    assert said.startswith("a FLAC stream of unknown length, cut after ")
    assert f"cut after {(count - 1) // 4096 * 4096} frames" in said


def test_flac_whose_total_is_wrong(refused):
    content = written("FLAC", "PCM_16", 16_000)
    assert refused(unknown_total(content, 8_000), "a.flac") == (
        "header promises 8000 frames, 16000 are there; encode it again: flac -d, then flac"
    )
    assert refused(unknown_total(content, 32_000)) == (
        "header promises 32000 frames, 16000 are there; get the file again"
    )


def test_flacs_checksum_is_that_of_the_standard():
    assert _crc16(b"123456789") == 0xFEE8  # CRC-16/UMTS in the usual catalogue


def test_ogg_that_was_closed_too_early_or_follows_another(refused, frames):
    content = written("OGG", "VORBIS", 40_000)
    last = content.rindex(b"OggS")
    said = refused(content[:last], "a.ogg")
    assert said.startswith("an Ogg stream without its last page; get the file again, or, if this is all there is")
    assert refused(content + content, "a.ogg").startswith("several Ogg streams, one after the other")
    flipped = bytearray(content)
    flipped[last + 200] ^= 1
    assert refused(bytes(flipped), "a.ogg") == (
        f"damaged: the Ogg page at byte {last} has another checksum; get the file again"
    )
    assert frames(content, "a.ogg") == 40_000


def mpeg_frames(content: bytes) -> list[int]:
    """Where frames begin, the header's own first."""
    file = io.BytesIO(content)
    first = mpeg._first(file, 0, len(content))
    return [frame.position for frame in mpeg._walk(file, 0, len(content), first.head)]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_with_and_without_its_header(frames, refused, rate, mode):
    count = 3 * rate + 7
    content = written("MP3", None, count, rate, bitrate_mode=mode)
    places = mpeg_frames(content)
    assert frames(content, "a.mp3") == count
    bare = content[places[1] :]
    samples = (len(places) - 1) * (1152 if rate >= 32000 else 576) - 529
    for whole in (bare, ID3 + bare, bare + ID3V1, bare + b"\0" * 99, b"\0" * 99 + bare):
        assert frames(whole, "a.mp3") == samples
    assert "bytes in the last MPEG frame" in refused(bare[:-3], "a.mp3")
    assert refused(content[: places[-1]], "a.mp3") == (
        f"header promises {len(places) - 1} MPEG frames, {len(places) - 2} are there; get the file again"
    )


def test_older_layers_are_refused_with_the_way_out(refused):
    layer_2 = b"\xff\xfd\xa0\xc0" + bytes(622)  # 192 kbit/s at 44.1 kHz, silence
    assert refused(layer_2 * 50, "a.mp2").startswith("MPEG layer 1 or 2, whose length libsndfile guesses; convert it")


def test_two_mp3s_in_one_are_not_read_as_the_first(refused):
    content = written("MP3", None, 30_000)
    assert "are there; make it one" in refused(content + content)


def test_mp3_with_fraunhofers_header(frames, refused):
    content = written("MP3", None, 30_000)
    places = mpeg_frames(content)
    numbers = struct.pack(">HHHII", 1, 0, 75, len(content), len(places) - 1)
    header = (content[:4] + bytes(32) + b"VBRI" + numbers).ljust(places[1], b"\0")
    assert frames(header + content[places[1] :]) == (len(places) - 1) * 576 - 529
    assert "bytes in the last MPEG frame" in refused(header + content[places[1] : -3])


def test_big_endian_wav(frames, refused):
    content = io.BytesIO()
    soundfile.write(content, NOISE, RATE, format="WAV", endian="BIG")
    assert content.getvalue().startswith(b"RIFX")
    assert frames(content.getvalue()) == FRAMES
    assert refused(content.getvalue()[:-4]).startswith(f"header promises {2 * FRAMES} bytes of audio, {2 * FRAMES - 4}")
    for size in (0, 0xFFFFFFFF, 0x7FFFF000):
        assert frames(with_size(content.getvalue(), content.getvalue().index(b"data") + 4, ">I", size)) == FRAMES


def test_mp3_counts_of_the_header_itself(frames):
    """Some programs count the frame that the number stands in."""
    content = written("MP3", None, 30_000)
    at = max(content.find(b"Xing"), content.find(b"Info")) + 8
    more = struct.unpack(">I", content[at : at + 4])[0] + 1
    assert frames(content[:at] + struct.pack(">I", more) + content[at + 4 :]) >= 30_000


@pytest.mark.parametrize("container", ["OGG", "MP3", "AIFF", "CAF", "W64", "AU", "NIST"])
def test_the_content_decides_what_a_file_is_and_not_its_name(frames, container):
    assert frames(written(container), "a.wav") == FRAMES


@pytest.mark.parametrize("container", ["MP3", "OGG", "WAV"])
def test_what_macos_leaves_beside_a_file_is_no_part_of_it(tmp_path, frames, container):
    """Of an MP3, libsndfile would read such a file first, and then nothing."""
    (tmp_path / "._a.wav").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(4096))
    assert frames(written(container)) == FRAMES


@pytest.mark.parametrize("container", ["FLAC", "MP3", "OGG", "WAV"])
def test_a_name_that_is_not_utf8(tmp_path, container):
    path = tmp_path / b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    path.write_bytes(written(container))
    assert len(decode(path).samples) == FRAMES
    path.write_bytes(b"text")
    with pytest.raises(AudioError, match=r"caf\\xe9\.wav: neither WAV nor FLAC") as caught:
        decode(path)
    str(caught.value).encode("utf-8")
