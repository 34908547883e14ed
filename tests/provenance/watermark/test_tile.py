from __future__ import annotations

import numpy as np

from provenance.watermark import convolution
from provenance.watermark.key_schedule import MESSAGE_BITS
from provenance.watermark.tile import TILE, KeyedTile, lattice

CODE = np.random.default_rng(0).integers(0, 2, convolution.coded_length(MESSAGE_BITS)).astype(np.uint8)


def spectrum_of(tile: KeyedTile, pattern: np.ndarray) -> np.ndarray:
    vertical, horizontal = tile.frequencies.T
    values: np.ndarray = np.fft.fft2(pattern)[vertical % TILE, horizontal % TILE]
    return values


def test_the_lattice_holds_one_of_each_conjugate_pair() -> None:
    pairs = {tuple(pair) for pair in lattice().tolist()}
    assert len(pairs) == len(lattice())
    assert not any((-vertical, -horizontal) in pairs for vertical, horizontal in pairs)


def test_the_lattice_stays_the_same_when_turned_or_mirrored() -> None:
    """So that orientation can be searched for after the lattice was found."""
    both = {tuple(pair) for pair in np.concatenate([lattice(), -lattice()]).tolist()}
    assert {(horizontal, vertical) for vertical, horizontal in both} == both
    assert {(vertical, -horizontal) for vertical, horizontal in both} == both


def test_the_tile_is_no_multiple_of_jpegs_block() -> None:
    assert TILE % 8


def test_every_code_bit_has_a_carrier() -> None:
    tile = KeyedTile(bytes(32))
    assert (tile.soft_values(spectrum_of(tile, tile.pattern(CODE))) != 0).all()


def test_code_bits_come_back_from_the_pattern() -> None:
    tile = KeyedTile(bytes(32))
    soft = tile.soft_values(spectrum_of(tile, tile.pattern(CODE)))
    assert ((soft > 0) == (CODE == 1)).all()


def test_the_pattern_has_unit_strength_and_no_mean() -> None:
    pattern = KeyedTile(bytes(32)).pattern(CODE)
    assert np.isclose(pattern.std(), 1, atol=1e-5)
    assert abs(pattern.mean()) < 1e-5


def test_patterns_of_two_keys_have_nothing_in_common_but_chance() -> None:
    first, second = (KeyedTile(bytes([n]) * 32).pattern(CODE) for n in (1, 2))
    assert abs(np.mean(first * second)) < 0.1
    values = spectrum_of(KeyedTile(bytes([1]) * 32), first)
    soft = KeyedTile(bytes([2]) * 32).soft_values(values)
    assert abs(np.mean((soft > 0) == (CODE == 1)) - 0.5) < 0.1


def test_a_key_means_the_same_for_ever() -> None:
    """Pictures that were marked years ago must stay readable: these numbers may never change."""
    tile = KeyedTile(bytes(range(32)))
    assert tile.synchronisation[:6].tolist() == PINNED_SYNCHRONISATION
    assert np.rint(1000 * tile.pattern(CODE)[0, :4]).astype(int).tolist() == PINNED_PATTERN


PINNED_SYNCHRONISATION = [73, 298, 171, 103, 153, 56]
PINNED_PATTERN = [-1224, -1357, -928, -205]
