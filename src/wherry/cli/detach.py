"""Detach keys: the sequence that leaves a container running and ends our side."""

from __future__ import annotations

from wherry.cli.failures import CommandFailed

DEFAULT_KEYS = b"\x10\x11"  # ctrl-p ctrl-q
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """The bytes of `ctrl-p,ctrl-q` or `a,b`; the default sequence for an empty text.

    Raises:
        CommandFailed: a key of neither form.
    """
    if not text:
        return DEFAULT_KEYS
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1:
            keys += key.encode()
            continue
        letter = key.removeprefix("ctrl-")
        if key == "DEL":
            keys.append(127)
        elif key.startswith("ctrl-") and len(letter) == 1 and "a" <= letter.lower() <= "z":
            keys.append(ord(letter.lower()) - 96)
        elif key.startswith("ctrl-") and letter in _CONTROL:
            keys.append(_CONTROL[letter])
        else:
            raise CommandFailed(f"invalid detach keys ({text}): Unknown character: '{key}'")
    return bytes(keys)


class DetachFilter:
    """Watches input for the sequence; holds back what may be its beginning."""

    __slots__ = ("_held", "_keys", "detached")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0
        self.detached = False

    def feed(self, data: bytes) -> bytes:
        """What of the input goes to the container."""
        out = bytearray()
        for byte in data:
            if byte == self._keys[self._held]:
                self._held += 1
                if self._held == len(self._keys):
                    self.detached = True
                    return bytes(out)
                continue
            if self._held:
                out += self._keys[: self._held]
                self._held = 0
                if byte == self._keys[0]:
                    self._held = 1
                    continue
            out.append(byte)
        return bytes(out)

    def flush(self) -> bytes:
        """What was held back, at the end of the input."""
        held, self._held = self._keys[: self._held], 0
        return held
