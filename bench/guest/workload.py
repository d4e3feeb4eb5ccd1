# workload.py - calls, dictionaries, objects, lists
# SPDX-License-Identifier: GPL-2.0-or-later
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class Point:
    def __init__(self, x):
        self.x = x

    def add(self, other):
        return Point(self.x + other.x)


d = {}
s = 0
for i in range(1200000):
    d[i % 4999] = d.get(i % 4999, 0) + i
    s += len(str(i))
p, q = Point(0), Point(3)
for i in range(600000):
    p = p.add(q)
numbers = sorted([(i * 7919) % 100003 for i in range(100000)])
products = [a * b & 255 for a, b in zip(numbers, numbers[1:])]
print(fib(25), s, p.x, sum(products))
