#!/usr/bin/env python3
"""usage: own_pid NAME: prints the processes called NAME that descend from the suite's engine above this one.

The name `bpftrace` also stands for the name of the binary under test.
"""
import os
import sys


def name_and_parent(pid):
    with open(f'/proc/{pid}/stat', errors='replace') as f:
        text = f.read()
    end = text.rindex(')')
    return text[text.index('(') + 1:end], int(text[end + 2:].split()[1])


def words(pid, file):
    with open(f'/proc/{pid}/{file}', errors='replace') as f:
        return f.read().split('\0')


engine = os.getppid()
while engine > 1 and not any(word.endswith('runtime/engine/main.py') for word in words(engine, 'cmdline')):
    engine = name_and_parent(engine)[1]
if engine <= 1:
    sys.exit('own_pid: not run by the suite\'s engine')

wanted = {sys.argv[1][:15]}
if sys.argv[1] == 'bpftrace':
    env = dict(word.split('=', 1) for word in words(engine, 'environ') if '=' in word)
    wanted.add(os.path.basename(env['BPFTRACE_RUNTIME_TEST_EXECUTABLE'])[:15])

processes = {}
for entry in os.listdir('/proc'):
    if entry.isdigit():
        try:
            processes[int(entry)] = name_and_parent(entry)
        except OSError:
            continue


def descends(pid):
    while pid in processes:
        pid = processes[pid][1]
        if pid == engine:
            return True
    return False


found = [pid for pid, (name, _) in processes.items() if name in wanted and descends(pid)]
print(*sorted(found, reverse=True))
sys.exit(0 if found else 1)
