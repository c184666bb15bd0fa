"""Read bit fields and Exp-Golomb numbers (ITU-T H.264, 9.1)."""

from __future__ import annotations


class BitReader:
    """Read from bytes bit by bit; bits after the end are zeros, and `overrun` is then True."""

    __slots__ = ("_length", "_position", "_value")

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._length = 8 * len(data)
        self._position = 0

    @property
    def overrun(self) -> bool:
        """Say whether more bits were read than there are."""
        return self._position > self._length

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        self._position += count
        shift = self._length - self._position
        value = self._value >> shift if shift >= 0 else self._value << -shift
        return value & ((1 << count) - 1)

    def rest(self) -> bytes:
        """Return the bits that are left, as whole bytes, filled up with zeros."""
        left = max(0, self._length - self._position)
        value = (self._value & ((1 << left) - 1)) << (-left % 8)
        return value.to_bytes((left + 7) // 8)

    def skip(self, count: int) -> None:
        """Pass over `count` bits."""
        self._position += count

    def unsigned(self) -> int:
        """Return an unsigned Exp-Golomb number; 0 for one longer than 32 bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32 or self.overrun:
                return 0
        return (1 << zeros) - 1 + (self.take(zeros) if zeros else 0)

    def signed(self) -> int:
        """Return a signed Exp-Golomb number."""
        value = self.unsigned()
        return (value + 1) // 2 if value & 1 else -(value // 2)
