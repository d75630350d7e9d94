#!/usr/bin/env python3
"""Measure two tracers side by side and print the table of ratios.

usage: compare.py --ours BINARY --peer COMMAND [--runs N] [--only PART,...]

COMMAND may have words: --peer 'chroot /srv/sid bpftrace'. Needs root, a C compiler (cc) and python3 alone.
The two sides take turns, so that a busy machine slows both. Start and memory are the median of the runs. Kernel
time is the lowest of many slices of a millisecond or so, because whatever else runs on the core costs a slice up
to a third; printf is the best run. PART is one of start, tracepoint, size, kernel, printf.

Kernel time per event: kernel.bpf_stats_enabled is on for the run, and each program's run_time_ns and run_cnt
are read from the tracer's own /proc/PID/fdinfo. The events come from a small program (workload.c) that makes
system calls which nothing else on the machine makes. To see what the machine's noise alone does to the ratios, give
the same tracer as both sides.
"""
import argparse
import math
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
STATS = '/proc/sys/kernel/bpf_stats_enabled'
SLICES = 100
# Name, kind of event, events a slice, events a second (0: as fast as it can). A slice of printf costs as much as
# the tracer had to be woken, so its figure is the usual slice and not the luckiest.
PROGRAMS = [
    ('count', 'policy', 2000, 0), ('hist', 'policy', 2000, 0), ('string_key', 'path', 1000, 0),
    ('printf', 'policy', 500, 50000), ('stack_key', 'policy', 1000, 0), ('struct_walk', 'policy', 2000, 0),
    ('tuple_key', 'policy', 2000, 0), ('loop', 'policy', 2000, 0), ('compare', 'path', 2000, 0),
    ('latency', 'policy', 2000, 0),
]
ONE_LINER = 'tracepoint:syscalls:sys_enter_openat /pid == cpid/ { @[comm, str(args.filename)] = count(); }'
PRINTF = 'tracepoint:syscalls:sys_enter_sched_get_priority_max { printf("%-16s %-8d %d\\n", comm, pid, args.policy); }'
ATTACHED = b'__BPFTRACE_NOTIFY_PROBES_ATTACHED'


class Tracer:
    """A tracer that runs a script in the background, its output in a file."""

    def __init__(self, side, args, folder):
        self.path = os.path.join(folder, 'trace.out')
        self.out = open(self.path, 'wb')
        env = dict(os.environ, __BPFTRACE_NOTIFY_PROBES_ATTACHED='1')
        self.process = subprocess.Popen(side + args, stdout=self.out, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL, env=env)

    def __enter__(self):
        deadline = time.monotonic() + 20
        while ATTACHED not in self.read():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(self.read().decode(errors='replace').strip()[-400:] or 'did not attach')
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.stop()

    def read(self):
        with open(self.path, 'rb') as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.out.close()

    def program_stats(self):
        """(run_time_ns, run_cnt) of each BPF program that the tracer holds, by program id."""
        found = {}
        folder = f'/proc/{self.process.pid}/fdinfo'
        for fd in os.listdir(folder):
            try:
                with open(f'{folder}/{fd}') as f:
                    info = dict(line.split(':', 1) for line in f if ':' in line)
            except OSError:
                continue
            if 'prog_type' in info and 'run_cnt' in info:
                found[int(info['prog_id'])] = (int(info['run_time_ns']), int(info['run_cnt']))
        return found

    def cpu_ns(self):
        """CPU time of all threads of the tracer."""
        total = 0
        folder = f'/proc/{self.process.pid}/task'
        for thread in os.listdir(folder):
            with open(f'{folder}/{thread}/schedstat') as f:
                total += int(f.read().split()[0])
        return total

    def mapped_bytes(self):
        """Bytes of the ELF files, each counted once, that are mapped into the tracer."""
        files = {}
        with open(f'/proc/{self.process.pid}/maps') as f:
            for line in f:
                words = line.split(maxsplit=5)
                if len(words) == 6 and words[5].startswith('/'):
                    path = words[5].rstrip('\n')
                    try:
                        with open(path, 'rb') as candidate:
                            if candidate.read(4) == b'\x7fELF':
                                s = os.fstat(candidate.fileno())
                                files[s.st_dev, s.st_ino] = s.st_size
                    except OSError:
                        pass
        return sum(files.values())


class Workload:
    """The event source, waiting to be told how many events to make."""

    def __init__(self, folder, kind):
        self.process = subprocess.Popen([f'{folder}/workload', kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()

    def run(self, events, rate):
        """Makes the events; the seconds they took."""
        self.process.stdin.write(f'{events} {rate}\n')
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


class Bench:
    def __init__(self, sides, runs, folder):
        self.sides, self.runs, self.folder = sides, runs, folder
        for name in ('workload', 'measure'):
            subprocess.run(['cc', '-O2', '-o', f'{folder}/{name}', f'{HERE}/{name}.c'], check=True)

    def row(self, what, runs, pick, unit, target, higher=False, digits=1):
        """Prints a line of the table and returns the ratio: `runs` are the values of ours and of the peer, of
        which `pick` makes the figure. The noise is how far a usual run is from it, on the worse side."""
        ours, peer = (pick(values) if values else None for values in runs)
        noise = max((spread(values, figure) for values, figure in zip(runs, (ours, peer)) if figure), default=0)
        ratio = ours / peer if ours is not None and peer else None
        good = '' if ratio is None or target is None else (
            'yes' if (ratio >= target if higher else ratio <= target) else 'NO')
        text = lambda v: 'failed' if v is None else f'{v:,.{digits}f} {unit}'
        wanted = '' if target is None else ('>= ' if higher else '<= ') + f'{target:.3g}'
        shown = '' if ratio is None else f'{ratio:.3f}'
        print(f'{what:44} {text(peer):>18} {text(ours):>18} {shown:>8} {noise:>6.0%} {wanted:>9} {good:>4}', flush=True)
        return ratio

    def both(self, measure):
        """Calls `measure(side)` for the two sides in turn, `runs` times; the results by side."""
        results = {name: [] for name in self.sides}
        for turn in range(self.runs):
            order = list(self.sides) if turn % 2 == 0 else list(reversed(self.sides))
            for name in order:
                try:
                    results[name].append(measure(self.sides[name]))
                except (RuntimeError, OSError) as error:
                    print(f'  {name}: {error}', file=sys.stderr, flush=True)
        return results

    def measured(self, side, args):
        """wall ms, peak MB of one run of a tracer."""
        report = f'{self.folder}/report'
        done = subprocess.run([f'{self.folder}/measure', report] + side + args, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wall, peak, _, status = open(report).read().split()
        if status != '0':
            raise RuntimeError(f'exit status {status}: {done.stderr.decode(errors="replace").strip()[-300:]}')
        return int(wall) / 1e6, int(peak) / 1024

    def start(self):
        r = self.both(lambda side: self.measured(side, ['-e', 'begin { exit(); }']))
        self.row("wall time, -e 'begin { exit(); }'", [column(v, 0) for v in r.values()], statistics.median, 'ms', 1 / 25)

    def tracepoint(self):
        r = self.both(lambda side: self.measured(side, ['-e', ONE_LINER, '-c', shutil.which('true')]))
        self.row('wall time, one tracepoint, attach and exit', [column(v, 0) for v in r.values()], statistics.median, 'ms', 1 / 10)
        self.row('peak resident memory of the same', [column(v, 1) for v in r.values()], statistics.median, 'MB', 1 / 12)

    def size(self):
        def measure(side):
            with Tracer(side, ['-e', 'interval:s:30 { exit(); }'], self.folder) as tracer:
                return tracer.mapped_bytes() / 1e6
        runs, self.runs = self.runs, 1
        r = self.both(measure)
        self.runs = runs
        target = 12 / r['peer'][0] if r['peer'] else None
        self.row('binary with all libraries', list(r.values()), min, 'MB', target)

    def kernel(self):
        ratios = []
        setting = open(STATS).read()
        with open(STATS, 'w') as f:
            f.write('1')
        try:
            for name, kind, events, rate in PROGRAMS:
                def measure(side):
                    slices = []
                    with Workload(self.folder, kind) as work, \
                            Tracer(side, ['-q', f'{self.folder}/{name}.bt'], self.folder) as tracer:
                        before = tracer.program_stats()
                        for _ in range(SLICES):
                            work.run(events, rate)
                            after = tracer.program_stats()
                            slices.append(time_per_event(before, after, events))
                            before = after
                    slices = [s for s in slices if s]
                    if not slices:
                        raise RuntimeError(f'{name}: no program ran for each event')
                    return statistics.median(slices) if name == 'printf' else min(slices)
                shutil.copy(f'{HERE}/programs/{name}.bt', self.folder)
                r = self.both(measure)
                pick = statistics.median if name == 'printf' else min
                ratio = self.row(f'kernel time per event: {name}', list(r.values()), pick, 'ns', 1.0)
                if ratio is not None:
                    ratios.append(ratio)
        finally:
            with open(STATS, 'w') as f:
                f.write(setting)
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            self.row(f'kernel time per event: geometric mean of {len(ratios)}', [[mean], [1.0]], min, '', 0.9, digits=3)

    def delivers(self, side, rate, seconds=0.5):
        """Runs printf at `rate`: (events a second kept up, ns of the tracer's CPU time per event), or None when an
        event did not come out."""
        events = int(rate * seconds)
        with Workload(self.folder, 'policy') as work, Tracer(side, ['-q', '-e', PRINTF], self.folder) as tracer:
            before = tracer.cpu_ns()
            took = work.run(events, rate)
            time.sleep(0.1)
            cpu = tracer.cpu_ns() - before
        lines = sum(line.startswith(b'bench-workload') for line in tracer.read().split(b'\n'))
        return (events / took, cpu / events) if lines == events else None

    def fastest(self, side):
        """The highest rate, in thousands a second, at which no event of half a second is lost."""
        def kept(rate):
            tries = (self.delivers(side, rate) for _ in range(3))
            return next((rate for rate, _ in filter(None, tries)), None)

        low = kept(100000)
        if low is None:
            raise RuntimeError('printf: events lost at the lowest rate')
        high = None
        while high is None:
            rate = low * 1.4
            reached = kept(rate)
            if reached is None:
                high = rate
            elif reached < low * 1.05:  # the source makes no more
                return reached / 1000
            else:
                low = reached
        for _ in range(4):
            middle = (low + high) / 2
            reached = kept(middle)
            low, high = (max(low, reached), high) if reached else (low, middle)
        return low / 1000

    def printf(self):
        def cost(side):
            kept = self.delivers(side, 50000, 2)
            if kept is None:
                raise RuntimeError('printf: events lost at 50,000 a second')
            return kept[1]
        runs, self.runs = self.runs, min(self.runs, 3)
        r = self.both(self.fastest)
        self.row('events a second through printf without loss', list(r.values()), max, 'k/s', 1.5, higher=True)
        r = self.both(cost)
        self.row("tracer's CPU time per printf, 50 k/s", list(r.values()), min, 'ns', None)
        self.runs = runs


def column(rows, index):
    return [row[index] for row in rows]


def time_per_event(before, after, events):
    """Time in the programs that ran once for every event, in ns an event; `None` where none did. Several programs
    may belong to an event (entry and exit of a call)."""
    total = 0
    for program, (time_ns, count) in after.items():
        time_before, count_before = before.get(program, (0, 0))
        if count - count_before >= events:
            total += (time_ns - time_before) / (count - count_before)
    return total or None


def spread(values, figure):
    """How far a usual value is from the figure, as a share of it."""
    return statistics.median(abs(value - figure) for value in values) / figure


def main():
    parts = ['start', 'tracepoint', 'size', 'kernel', 'printf']
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--ours', required=True)
    ap.add_argument('--peer', required=True)
    ap.add_argument('--runs', type=int, default=8)
    ap.add_argument('--only', default=','.join(parts))
    a = ap.parse_args()
    if os.geteuid() != 0:
        sys.exit('compare.py: needs root: it attaches probes and turns on kernel.bpf_stats_enabled')
    wanted = a.only.split(',')
    unknown = [p for p in wanted if p not in parts]
    if unknown:
        sys.exit(f'compare.py: no such part: {", ".join(unknown)} (there are {", ".join(parts)})')
    shm = '/dev/shm' if os.path.isdir('/dev/shm') else None
    with tempfile.TemporaryDirectory(prefix='bench-', dir=shm) as folder:
        bench = Bench({'ours': shlex.split(a.ours), 'peer': shlex.split(a.peer)}, a.runs, folder)
        print(f'{"what":44} {"peer":>18} {"ours":>18} {"ratio":>8} {"noise":>6} {"target":>9} {"met":>4}')
        for part in parts:
            if part in wanted:
                getattr(bench, part)()


main()
