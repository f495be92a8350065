import struct

import numpy as np
import pytest
import render
import soundfile


def test_a_midi_file_has_events_in_order_with_times_in_base_128():
    events = [(200, 3, b"\x90\x3c\x40"), (0, 0, b"\xb0\x00\x00"), (200, 2, b"\x80\x3c\x00")]
    made = render._midi_file(events, last=200 + 128 * 128)
    header = b"MThd\0\0\0\x06\0\0\0\x01\x01\xe0MTrk"
    track = b"\x00\xb0\x00\x00\x81\x48\x80\x3c\x00\x00\x90\x3c\x40"
    track += b"\x81\x80\x00\xff\x2f\x00"
    assert made == header + len(track).to_bytes(4, "big") + track


@pytest.mark.parametrize("samples", [3000, render.SAMPLES // 2, 3 * render.SAMPLES])
def test_recordings_of_any_length_fill_a_clip_and_repeat_by_id(samples):
    take = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    first, again, other = (render.arrange([take], name) for name in ("a", "a", "b"))
    assert (first.shape, first.dtype) == ((render.SAMPLES,), np.float32)
    assert 0.1 < np.abs(first).max() <= render.PEAK + 1e-6
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_crop_is_never_of_a_pause():
    take = np.zeros(10 * render.SAMPLES, np.float32)
    take[: render.RATE] = np.random.default_rng(0).uniform(-0.95, 0.95, render.RATE)
    take[-1] = 0.95
    assert all(np.abs(render.arrange([take], str(i))).max() > 0.1 for i in range(8))


def test_silence_stays_silence():
    assert not render.level(np.zeros(10, np.float32)).any()


def test_a_recording_is_resampled_mixed_and_trimmed_without_its_offset(tmp_path):
    time = np.arange(44_100) / 44_100
    tone = 0.1 * np.sin(2 * np.pi * 440 * time)
    silent = np.zeros(22_050)
    stereo = 0.05 + np.stack([np.concatenate([silent, tone, silent])] * 2, axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, 44_100)
    read = render.read_recording(tmp_path / "x.wav")
    assert len(read) == pytest.approx(render.RATE, abs=200)
    assert np.abs(read).max() == pytest.approx(0.95)
    spectrum = np.abs(np.fft.rfft(read))
    assert spectrum.argmax() * render.RATE / len(read) == pytest.approx(440, abs=2)


def loudest(samples):
    """Root mean square of the loudest 0.4 s, in dB below full scale."""
    blocks = samples[: len(samples) // 6400 * 6400].reshape(-1, 6400)
    return 10 * np.log10(np.square(blocks).mean(axis=1).max())


@pytest.mark.parametrize("gain", [0.01, 0.3, 5.0])
def test_a_dense_sound_is_scaled_to_its_loudness_and_a_sharp_one_to_its_peak(gain):
    noise = np.random.default_rng(0).standard_normal(64_000).astype(np.float32)
    assert loudest(render.even(gain * noise)) == pytest.approx(-18, abs=0.1)
    click = np.zeros(64_000, np.float32)
    click[100] = gain
    assert np.abs(render.even(click)).max() == pytest.approx(render.PEAK)
    assert not render.even(np.zeros(10, np.float32)).any()


def test_a_clip_is_varied_in_colour_by_its_id_and_in_speed_where_it_may_be(monkeypatch):
    monkeypatch.setattr(render, "ROOMS", 0.0)
    time = np.arange(render.SAMPLES) / render.RATE
    low, high = (np.sin(2 * np.pi * pitch * time) for pitch in (500, 4000))
    clip = (0.2 * (low + high)).astype(np.float32)

    def peaks(samples):
        power = np.abs(np.fft.rfft(samples)) ** 2
        parts = power[:8192], power[8192:]  # below and above 2 kHz
        return [part.argmax() for part in parts], 10 * np.log10(parts[1].max() / parts[0].max())

    tilts = []
    for i in range(16):
        at, tilt = peaks(render.varied(clip, f"x/{i}", speed=False))
        assert at == [2048, 8192]
        tilts.append(tilt)
    assert np.abs(tilts).max() <= 3 * render.TILT + 0.1  # three octaves apart
    assert np.ptp(tilts) > 5
    faster = [peaks(render.varied(clip, f"x/{i}", speed=True))[0][0] / 2048 for i in range(16)]
    assert 0.89 < min(faster) < 0.95 < 1.05 < max(faster) < 1.11
    assert all(len(render.varied(clip, f"x/{i}", speed=True)) == len(clip) for i in range(5))


def test_a_room_rings_on_after_a_click_and_decays():
    click = np.zeros(render.SAMPLES, np.float32)
    click[0] = 0.9
    rung = {i: render.in_room(click, f"x/{i}") for i in range(40)}
    wet = [samples for samples in rung.values() if not np.array_equal(samples, click)]
    assert 5 < len(wet) < 25  # a share of the clips, by their ids
    for samples in wet:
        energy = np.square(samples[1:]).reshape(-1, 13_107).sum(axis=1)
        assert energy[0] > 0
        assert energy[3:].sum() < 0.1 * energy[0]
        assert np.abs(samples).max() <= render.PEAK + 1e-6
    np.testing.assert_array_equal(render.in_room(click, "x/3"), rung[3])


def test_presets_are_read_from_the_list_in_a_soundfont(tmp_path):
    names = [("Ukulele", 24, 8), ("Violin", 40, 0), ("EOP", 0, 0)]
    records = b"".join(
        struct.pack("<20sHH14s", name.encode(), program, bank, b"") for name, program, bank in names
    )
    font = b"RIFF\0\0\0\0sfbk" + b"phdr" + struct.pack("<I", len(records)) + records
    (tmp_path / "x.sf2").write_bytes(font)
    assert render.presets(tmp_path / "x.sf2") == {(8, 24), (0, 40)}
    (tmp_path / "x.sf2").write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(ValueError, match=r"x\.sf2 is no soundfont"):
        render.presets(tmp_path / "x.sf2")
