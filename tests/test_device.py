import pytest
import torch

from clipsonic_cli.device import auto_dtype, choose_dtype, cpu_flags

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ({"avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16"}, torch.bfloat16),
        ({"avx2", "avx512f", "avx512_bf16"}, torch.bfloat16),
        ({"avx2", "avx512f"}, torch.float32),
        ({"avx2"}, torch.float32),
        ((), torch.float32),
    ],
)
def test_a_cpu_computes_in_bfloat16_only_where_it_multiplies_it(flags, dtype):
    chosen, why = auto_dtype(CPU, flags)
    assert chosen == dtype
    assert ("amx_bf16" if "amx_bf16" in flags else "avx512_bf16") in why


def test_a_dtype_that_is_named_is_taken_whatever_the_cpu_has(monkeypatch):
    monkeypatch.setattr("clipsonic_cli.device.cpu_flags", lambda: {"amx_bf16"})
    assert choose_dtype("auto", CPU) == torch.bfloat16
    assert choose_dtype("float32", CPU) == torch.float32


@pytest.mark.parametrize(("has_it", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_computes_in_bfloat16_unless_it_emulates_it(monkeypatch, has_it, dtype):
    def is_supported(including_emulation=True):
        return has_it or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert auto_dtype(torch.device("cuda"))[0] == dtype


def test_the_flags_of_a_cpu_are_read_where_the_system_lists_them(tmp_path):
    listing = tmp_path / "cpuinfo"
    listing.write_bytes(b"model name\t: \xff\nflags\t\t: fpu amx_bf16 \nbugs\t\t: none\n")
    assert cpu_flags(listing) == {"fpu", "amx_bf16"}
    listing.write_text("Features\t: fp asimd bf16\n")
    assert cpu_flags(listing) == set()
    assert cpu_flags(tmp_path / "absent") == set()
    assert cpu_flags(tmp_path) == set()
