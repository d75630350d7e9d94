#!/usr/bin/env python3
"""Measure two tracers side by side and print the table of ratios.

usage: compare.py --ours BINARY --peer COMMAND [--runs N] [--only PART,...]

COMMAND may have words: --peer 'chroot /srv/sid bpftrace'. Needs root, a C compiler (cc) and python3 alone.
The two sides take turns, so that a busy machine slows both; the figure of a side is the lowest of its runs
(for the wall times: the median). PART is one of start, tracepoint, size, kernel, printf.

Kernel time per event: kernel.bpf_stats_enabled is on for the run, and each program's run_time_ns and run_cnt
are read from the tracer's own /proc/PID/fdinfo. The events come from a small program (workload.c) that makes
system calls which nothing else on the machine makes.
"""
import argparse, math, os, shlex, shutil, signal, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
STATS = '/proc/sys/kernel/bpf_stats_enabled'
PROGRAMS = [  # name, kind of event, events, events a second (0: as fast as it can), programs per event
    ('count', 'policy', 200000, 0), ('hist', 'policy', 200000, 0), ('string_key', 'path', 100000, 0),
    ('printf', 'policy', 40000, 50000), ('stack_key', 'policy', 100000, 0), ('struct_walk', 'policy', 200000, 0),
    ('tuple_key', 'policy', 200000, 0), ('loop', 'policy', 200000, 0), ('compare', 'path', 200000, 0),
    ('latency', 'policy', 200000, 0),
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


class Bench:
    def __init__(self, sides, runs, folder):
        self.sides, self.runs, self.folder = sides, runs, folder
        self.rows = []
        for name in ('workload', 'measure'):
            subprocess.run(['cc', '-O2', '-o', f'{folder}/{name}', f'{HERE}/{name}.c'], check=True)

    def row(self, what, values, unit, target, higher=False, digits=1):
        """Adds and prints a line of the table; `values` are ours and the peer's, None where a side failed."""
        ours, peer = values
        ratio = ours / peer if ours is not None and peer else None
        good = '' if ratio is None or target is None else (
            'yes' if (ratio >= target if higher else ratio <= target) else 'NO')
        text = lambda v: 'failed' if v is None else f'{v:,.{digits}f} {unit}'
        self.rows.append(ratio)
        wanted = '' if target is None else ('>= ' if higher else '<= ') + f'{target:.3g}'
        shown = '' if ratio is None else f'{ratio:.3f}'
        print(f'{what:44} {text(peer):>18} {text(ours):>18} {shown:>8} {wanted:>9} {good:>4}', flush=True)
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

    def workload(self, kind, events, rate):
        done = subprocess.run([f'{self.folder}/workload', kind, str(events), str(rate)], stdout=subprocess.PIPE, check=True)
        return float(done.stdout)

    def start(self):
        r = self.both(lambda side: self.measured(side, ['-e', 'begin { exit(); }']))
        self.row("wall time, -e 'begin { exit(); }'", [median(v, 0) for v in r.values()], 'ms', 1 / 25)

    def tracepoint(self):
        r = self.both(lambda side: self.measured(side, ['-e', ONE_LINER, '-c', shutil.which('true')]))
        self.row('wall time, one tracepoint, attach and exit', [median(v, 0) for v in r.values()], 'ms', 1 / 10)
        self.row('peak resident memory of the same', [median(v, 1) for v in r.values()], 'MB', 1 / 12)

    def size(self):
        def measure(side):
            with Tracer(side, ['-e', 'interval:s:30 { exit(); }'], self.folder) as tracer:
                return tracer.mapped_bytes() / 1e6
        values = []
        for side in self.sides.values():
            try:
                values.append(measure(side))
            except RuntimeError as error:
                print(f'  {error}', file=sys.stderr)
                values.append(None)
        peer = values[1]
        self.row('binary with all libraries', values, 'MB', 12 / peer if peer else None)

    def kernel(self):
        ratios = []
        before = open(STATS).read()
        with open(STATS, 'w') as f:
            f.write('1')
        try:
            for name, kind, events, rate in PROGRAMS:
                def measure(side):
                    with Tracer(side, ['-q', f'{self.folder}/{name}.bt'], self.folder) as tracer:
                        first = tracer.program_stats()
                        self.workload(kind, events, rate)
                        last = tracer.program_stats()
                    total, ran = 0, 0
                    for program, (ns, count) in last.items():
                        ns0, count0 = first.get(program, (0, 0))
                        if count - count0 >= events:
                            total += ns - ns0
                            ran += 1
                    if not ran:
                        raise RuntimeError(f'{name}: no program ran {events} times')
                    return total / events
                shutil.copy(f'{HERE}/programs/{name}.bt', self.folder)
                r = self.both(measure)
                ratio = self.row(f'kernel time per event: {name}', [min(v, default=None) for v in r.values()], 'ns', 1.0)
                if ratio is not None:
                    ratios.append(ratio)
        finally:
            with open(STATS, 'w') as f:
                f.write(before)
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            self.row(f'kernel time per event: geometric mean of {len(ratios)}', [mean, 1.0], '', 0.9, digits=3)

    def delivers(self, side, rate):
        """The rate kept up when every event of half a second at `rate` came out, else None."""
        events = int(rate * 0.5)
        with Tracer(side, ['-q', '-e', PRINTF], self.folder) as tracer:
            took = self.workload('policy', events, rate)
        lines = sum(line.startswith(b'bench-workload') for line in tracer.read().split(b'\n'))
        return events / took if lines == events else None

    def printf(self):
        def best(side):
            rate, found = 50000.0, None
            while rate < 2e7:
                kept = self.delivers(side, rate) or self.delivers(side, rate)
                if not kept or (found and kept < found * 1.02):
                    break
                found, rate = kept, rate * 1.2
            if found is None:
                raise RuntimeError('printf: events lost at the lowest rate')
            return found / 1000
        runs, self.runs = self.runs, min(self.runs, 3)
        r = self.both(best)
        self.runs = runs
        self.row('events a second through printf without loss', [max(v, default=None) for v in r.values()], 'k/s', 1.5, higher=True)


def median(values, index):
    return statistics.median(v[index] for v in values) if values else None


def main():
    parts = ['start', 'tracepoint', 'size', 'kernel', 'printf']
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--ours', required=True)
    ap.add_argument('--peer', required=True)
    ap.add_argument('--runs', type=int, default=5)
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
        print(f'{"what":44} {"peer":>18} {"ours":>18} {"ratio":>8} {"target":>9} {"met":>4}')
        for part in parts:
            if part in wanted:
                getattr(bench, part)()


main()
