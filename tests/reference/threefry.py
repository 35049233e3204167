"""Threefry-2x32 with 20 rounds (Salmon et al. 2011) in NumPy, and the streams drawn from it."""

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key, high, low):
    """Hash counters (high, low) with a key; pairs of uint32 arrays that broadcast."""
    keys = [np.asarray(word, np.uint32) for word in key]
    keys.append(keys[0] ^ keys[1] ^ np.uint32(0x1BD11BDA))
    x, y = np.asarray(high, np.uint32) + keys[0], np.asarray(low, np.uint32) + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation)))
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def fold_in(key, data):
    """The key named by `data` under `key`."""
    return threefry(key, np.uint32(0), data)


def uniforms(key, num, purpose=0):
    """`[T, num]` float64 numbers in [0, 1) on the grid of 2^-23, for keys `[T]`."""
    blocks = np.arange((num + 1) // 2, dtype=np.uint32)
    key = [word[:, None] for word in key]
    words = np.concatenate(threefry(key, np.uint32(purpose), blocks), 1)
    return (words[:, :num] >> np.uint32(9)) * 2.0**-23
