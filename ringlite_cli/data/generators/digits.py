"""Arithmetic worked digit by digit, least digit first, as a careful pupil writes it."""


def add(a: int, b: int) -> str:
    """`47+85: 7+5+0=12; 4+8+1=13; so 132`: each digit pair with the carry before it."""
    steps, carry = [], 0
    for x, y in _columns(a, b):
        total = x + y + carry
        steps.append(f"{x}+{y}+{carry}={total}")
        carry = total // 10
    return f"{a}+{b}: {'; '.join(steps)}; so {a + b}"


def subtract(a: int, b: int) -> str:
    """`132-36: 2-6-0=6b; 3-3-1=9b; 1-0-1=0; so 96` for a >= b: `b` marks a digit that borrowed from the next."""
    steps, borrow = [], 0
    for x, y in _columns(a, b):
        digit = x - y - borrow
        steps.append(f"{x}-{y}-{borrow}={digit % 10}{'b' if digit < 0 else ''}")
        borrow = int(digit < 0)
    return f"{a}-{b}: {'; '.join(steps)}; so {a - b}"


def multiply(a: int, b: int) -> str:
    """`46*7: 6*7=42; 4*7=28; 28+4=32; so 322` for a single digit b: products, each with the carry before it."""
    steps, carry = [], 0
    for x, _ in _columns(a, 0):
        product = x * b
        steps.append(f"{x}*{b}={product}")
        if carry:
            steps.append(f"{product}+{carry}={product + carry}")
        carry = (product + carry) // 10
    return f"{a}*{b}: {'; '.join(steps)}; so {a * b}"


def _columns(a: int, b: int) -> list[tuple[int, int]]:
    """Digit pairs of two numbers, least digit first, the shorter filled with zeros."""
    width = max(len(str(a)), len(str(b)))
    return [(int(x), int(y)) for x, y in zip(f"{a:0{width}}"[::-1], f"{b:0{width}}"[::-1], strict=True)]
