//! A switch in front of programs whose detaching is slow.
//!
//! To close the link of a tracepoint, a uprobe or a traced function, the kernel waits for grace periods of RCU: 60 ms and more for
//! one tracepoint, seconds for a hundred. So each such program begins with a look at one number of a map, four instructions and about
//! a nanosecond: when the number is set it returns at once, and the links can be closed [later](crate::reaper).

use std::io;

use beetrace_isa::{Imm64, Insn, JmpOp, Reg, Size};
use beetrace_object::{Event, MapKind, ProbeSpec};

use crate::map::{Definition, Map};
use crate::sys::attr::F_RDONLY_PROG;

#[derive(Debug)]
pub(crate) struct Gate {
    map: Map,
    is_open: bool,
}

impl Gate {
    pub(crate) fn new() -> io::Result<Gate> {
        let definition = Definition {
            name: "gate",
            kind: MapKind::Array,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: F_RDONLY_PROG,
            presence: None,
        };
        let map = Map::create(&definition, 1)?;
        Ok(Gate { map, is_open: true })
    }

    /// From now on the programs return at once. One that runs already goes on to its end.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.set(false)
    }

    /// Lets the programs do their work.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        if self.is_open { Ok(()) } else { self.set(true) }
    }

    fn set(&mut self, open: bool) -> io::Result<()> {
        let value = u64::from(!open);
        self.map.set(&0_u32.to_ne_bytes(), &value.to_ne_bytes())?;
        self.is_open = open;
        Ok(())
    }

    /// What goes in front of a program. It leaves alone all registers that a program begins with.
    pub(crate) fn prologue(&self) -> [Insn; 5] {
        use std::os::fd::{AsFd, AsRawFd};
        [
            Insn::LdImm64 {
                dst: Reg::R2,
                imm: Imm64::MapFdValue {
                    fd: self.map.as_fd().as_raw_fd(),
                    off: 0,
                },
            },
            Insn::load(Size::B8, Reg::R2, Reg::R2, 0),
            Insn::jmp(JmpOp::Eq, Reg::R2, 0, 2),
            Insn::mov(Reg::R0, 0),
            Insn::Exit,
        ]
    }
}

/// Whether a program of these probes needs a gate.
pub(crate) fn is_slow(probes: &[ProbeSpec]) -> bool {
    probes.iter().any(|probe| {
        matches!(
            probe.event,
            Event::Tracepoint { .. }
                | Event::Uprobe(_)
                | Event::Usdt(_)
                | Event::Kprobe { .. }
                | Event::Fentry { .. }
        )
    })
}
