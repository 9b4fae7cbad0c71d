"""AES-256-CBC decryption of one file, in the standard library alone: the simulator is copied to machines without ours.

Slow (some 100 ms for a configuration file) and never used to protect anything. Source: FIPS 197, 4 and 5; NIST SP
800-38A, 6.2.
"""

_ROUNDS = 14  # FIPS 197, table 4, for 256-bit keys
_BLOCK_BYTES = 16


def _doubled(value: int) -> int:
    """Times x in GF(2^8), FIPS 197 4.2."""
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _times(factor: int) -> bytes:
    """Products of every byte with a small factor."""
    products = []
    for value in range(256):
        total, power = 0, value
        for bit in range(4):
            total ^= power if factor >> bit & 1 else 0
            power = _doubled(power)
        products.append(total)
    return bytes(products)


def _boxes() -> tuple[bytes, bytes]:
    """The S-box and its inverse, from their definition in FIPS 197 5.1.1."""
    box = bytearray(256)
    forward, inverse = 1, 1
    while True:
        forward ^= _doubled(forward)  # times 3, which generates the field
        inverse ^= inverse << 1  # divided by 3
        inverse ^= inverse << 2
        inverse ^= inverse << 4
        inverse &= 0xFF
        inverse ^= 0x09 if inverse & 0x80 else 0
        turned = inverse
        for shift in (1, 2, 3, 4):
            turned ^= (inverse << shift | inverse >> (8 - shift)) & 0xFF
        box[forward] = turned ^ 0x63
        if forward == 1:
            break
    box[0] = 0x63
    back = bytearray(256)
    for value, boxed in enumerate(box):
        back[boxed] = value
    return bytes(box), bytes(back)


_BOX, _BACK = _boxes()
_BY_9, _BY_11, _BY_13, _BY_14 = (_times(factor) for factor in (9, 11, 13, 14))
_UNSHIFTED = bytes((column - row) % 4 * 4 + row for column in range(4) for row in range(4))  # FIPS 197 5.3.1


def decrypt_cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    """The plain bytes with their padding; `data` is whole blocks, the key has 32 bytes, the IV 16."""
    round_keys = _expanded(key)
    plain, before = bytearray(), iv
    for start in range(0, len(data), _BLOCK_BYTES):
        block = data[start : start + _BLOCK_BYTES]
        plain += bytes(one ^ other for one, other in zip(_decrypted(block, round_keys), before, strict=True))
        before = block
    return bytes(plain)


def _expanded(key: bytes) -> list[bytes]:
    """FIPS 197 5.2."""
    words = [key[place : place + 4] for place in range(0, 32, 4)]
    constant = 1
    while len(words) < 4 * (_ROUNDS + 1):
        word = words[-1]
        if len(words) % 8 == 0:
            word = bytes(_BOX[one] for one in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _doubled(constant)
        elif len(words) % 8 == 4:
            word = bytes(_BOX[one] for one in word)
        words.append(bytes(one ^ other for one, other in zip(words[-8], word, strict=True)))
    return [b"".join(words[place : place + 4]) for place in range(0, len(words), 4)]


def _decrypted(block: bytes, round_keys: list[bytes]) -> bytes:
    """FIPS 197 5.3."""
    state = bytes(one ^ other for one, other in zip(block, round_keys[_ROUNDS], strict=True))
    for number in range(_ROUNDS - 1, -1, -1):
        key = round_keys[number]
        state = bytes(_BACK[state[place]] ^ key[at] for at, place in enumerate(_UNSHIFTED))
        if number:
            state = b"".join(_unmixed(*state[at : at + 4]) for at in range(0, _BLOCK_BYTES, 4))
    return state


def _unmixed(a: int, b: int, c: int, d: int) -> bytes:
    """One column, FIPS 197 5.3.3."""
    return bytes(
        (
            _BY_14[a] ^ _BY_11[b] ^ _BY_13[c] ^ _BY_9[d],
            _BY_9[a] ^ _BY_14[b] ^ _BY_11[c] ^ _BY_13[d],
            _BY_13[a] ^ _BY_9[b] ^ _BY_14[c] ^ _BY_11[d],
            _BY_11[a] ^ _BY_13[b] ^ _BY_9[c] ^ _BY_14[d],
        )
    )
