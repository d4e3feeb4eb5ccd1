# report.py - what was measured, as tables: times, ratios, means, goals
# SPDX-License-Identifier: GPL-2.0-or-later
import math
import statistics

TCG = ("tcg", "tcg max")


def duration(ns):
    for unit, size in (("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)):
        if ns < 1000 * size or unit == "s":
            return "%.3g %s" % (ns / size, unit)


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def number(x, form="%.2f"):
    return "-" if x is None else form % x


class Results:
    def __init__(self, machines):
        self.machines = machines
        self.samples, self.failures = {}, {}

    def add(self, s, workload, machine, samples, failure):
        self.samples.setdefault((s.name, workload.name, machine), []).extend(samples)
        if failure:
            self.failures[s.name, workload.name, machine] = failure

    def times(self, s, workload, machine):
        return [x.cpu for x in self.samples.get((s.name, workload.name, machine), [])]

    def median(self, s, workload, machine):
        times = self.times(s, workload, machine)
        return statistics.median(times) if times else None

    def spread(self, s, workload, machine):
        times = self.times(s, workload, machine)
        return 100 * (max(times) - min(times)) / statistics.median(times) if len(times) > 1 else None

    def best_tcg(self, s, workload):
        return min((t for t in (self.median(s, workload, m) for m in TCG) if t), default=None)

    def slower(self, s, workload):
        """Times slower than native."""
        ours, native = self.median(s, workload, "ours"), self.median(s, workload, "native")
        return ours / native if ours and native else None

    def faster(self, s, workload):
        """Times faster than the better of the TCGs."""
        ours, tcg = self.median(s, workload, "ours"), self.best_tcg(s, workload)
        return tcg / ours if ours and tcg else None

    def header(self):
        cells = "".join("%12s spread" % m for m in self.machines)
        return "%-6s %-18s%s   x native   x tcg" % ("set", "workload", cells)

    def row(self, s, workload):
        cells = ""
        for m in self.machines:
            if (s.name, workload.name, m) in self.failures and not self.times(s, workload, m):
                cells += "%12s %6s" % ("fails", "")
            else:
                t = self.median(s, workload, m)
                cells += "%12s %6s" % (duration(t) if t else "-", number(self.spread(s, workload, m), "%.0f%%"))
        return "%-6s %-18s%s   %8s %7s" % (s.name, workload.name, cells, number(self.slower(s, workload)),
                                           number(self.faster(s, workload), "%.1f"))

    def summary(self, plan):
        lines = ["%-26s %3s %10s %6s %10s %6s" % ("geometric mean", "n", "x native", "goal", "x tcg", "goal")]
        for s, workloads in plan.items():
            counted = [w for w in workloads if w.in_mean]
            slower = [x for x in (self.slower(s, w) for w in counted) if x]
            faster = [x for x in (self.faster(s, w) for w in counted) if x]
            a, b = mean(slower), mean(faster)
            lines.append("%-26s %3d %10s %6s %10s %6s  %s" % (
                s.title, max(len(slower), len(faster)), number(a), "<=%g" % s.native, number(b, "%.1f"), ">=%g" % s.tcg,
                self.verdict(a, b, s)))
        for (s, w, m), why in self.failures.items():
            lines.append("FAILED %s/%s on %s: %s" % (s, w, m, why))
        return "\n".join(lines)

    @staticmethod
    def verdict(slower, faster, s):
        return ", ".join(word for word in (
            slower and ("native: met" if slower <= s.native else "native: not met"),
            faster and ("tcg: met" if faster >= s.tcg else "tcg: not met")) if word)
