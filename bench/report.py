# report.py - what was measured, as tables: times, ratios, means, goals
# SPDX-License-Identifier: GPL-2.0-or-later
import math
import os
import statistics
import subprocess
import time

TCG = ("tcg", "tcg max")


def duration(ns):
    for unit, size in (("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)):
        if ns < 1000 * size or unit == "s":
            return "%.3g %s" % (ns / size, unit)


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def number(x, form="%.2f"):
    return "-" if x is None else form % x


def first_line(*argv):
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split("\n")[0]
    except OSError:
        return "not here"


def processor():
    with open("/proc/cpuinfo") as f:
        return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))


def machine_text(kernel, top, qemu):
    """What the numbers depend on."""
    return "\n".join((
        "date:     " + time.strftime("%Y-%m-%d %H:%M %Z"),
        "machine:  %s, %d processors, load %.1f" % (processor(), os.cpu_count(), os.getloadavg()[0]),
        "host:     " + " ".join(os.uname()[i] for i in (0, 2)),
        "lodge:    " + first_line("git", "-C", top, "log", "-1", "--format=%h of %cs"),
        "qemu:     " + first_line("qemu-system-x86_64", "--version"),
        "compiler: " + first_line("gcc", "--version"),
        "guest:    %s, 1 processor" % os.path.basename(kernel),
        "ours:     " + ("QEMU under lodge-kvm" if qemu else "lodge-vm"),
        "time of the processor for one operation, medians; spread: (max - min) / median over all segments\n"))


class Results:
    def __init__(self, machines, output=None):
        self.machines = machines
        if output:
            os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
        self.output = open(output, "w") if output else None
        self.samples, self.failures = {}, {}

    def add(self, s, workload, machine, samples, failure):
        self.samples.setdefault((s.name, workload.name, machine), []).extend(samples)
        if failure:
            self.failures[s.name, workload.name, machine] = failure

    def say(self, text):
        print(text, flush=True)
        if self.output:
            print(text, file=self.output, flush=True)

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
        lines = ["%-28s %3s %10s %8s %10s %6s" % ("geometric mean", "n", "x native", "goal", "x tcg", "goal")]
        lines += [self.set_line(s, [w for w in workloads if w.in_mean]) for s, workloads in plan.items()]
        lines += self.losers(plan)
        lines += self.clock_lines() + self.rest_lines()
        for (s, w, m), why in self.failures.items():
            lines.append("FAILED %s/%s on %s: %s" % (s, w, m, why))
        return "\n".join(lines)

    def set_line(self, s, workloads):
        faster = [x for x in (self.faster(s, w) for w in workloads) if x]
        if s.seconds:
            times = [t / 1e9 for t in (self.median(s, w, "ours") for w in workloads) if t]
            first, form, goal = mean(times), "%.2f s", s.seconds
        else:
            times = [x for x in (self.slower(s, w) for w in workloads) if x]
            first, form, goal = mean(times), "%.2f", s.native
        verdicts = [name + (": met" if good else ": not met") for name, good in (
            ("time" if s.seconds else "native", first and goal and (first <= goal)),
            ("tcg", mean(faster) and mean(faster) >= s.tcg)) if good is not None]
        return "%-28s %3d %10s %8s %10s %6s  %s" % (
            s.title, max(len(times), len(faster)), number(first, form), "<=%g" % goal if goal else "-",
            number(mean(faster), "%.1f"), ">=%g" % s.tcg, ", ".join(verdicts))

    def losers(self, plan):
        """No workload may be slower than under TCG."""
        compared = [(self.faster(s, w), s, w) for s, workloads in plan.items() for w in workloads]
        slow = ["%s/%s %.2f" % (s.name, w.name, x) for x, s, w in compared if x and x < 1]
        if not any(x for x, _, _ in compared):
            return []
        return ["slower than TCG: " + (", ".join(slow) or "none")]

    def clock_lines(self):
        """The guests' clocks have no part in the times; whether they go right is told all the same. Of long segments only:
        the host's clock is read a little before and after the guest's."""
        lines = []
        for m in self.machines:
            clocks = [x.clock for (_, _, at), samples in self.samples.items() if at == m for x in samples
                      if x.clock and x.wall_total > 1e9]
            if clocks and m != "native":
                lines.append("clock of %s through the host's: median %.4f" % (m, statistics.median(clocks)))
        return lines

    def rest_lines(self):
        lines = []
        for (_, _, m), samples in self.samples.items():
            rested = [x for x in samples if x.memory]
            if rested:
                lines.append("%s at the login prompt: %.0f MiB beside the guest's memory%s, %.1f%% of a processor" % (
                    m, statistics.median(x.memory for x in rested), " (goal: 64)" if m == "ours" else "",
                    100 * statistics.median(x.idle for x in rested)))
        return lines
