//! Who runs: process, thread, user, command; and what time it is.

use beetrace_isa::{AluOp, JmpOp, Size, helper};
use beetrace_lang::types::Clock;
use beetrace_object::Parameter;

use crate::ir::{Effect, Value};
use crate::lower::Result;
use crate::lower::func::{Lower, Test};
use crate::lower::memory::{Memory, Place};

/// Bytes of a command's name in the kernel, NUL included (`TASK_COMM_LEN`).
const COMM_BYTES: u32 = 16;

impl Lower<'_, '_> {
    /// The process, in beetrace's own pid namespace unless the first one is meant.
    pub(in crate::lower) fn process_id(&mut self, initial_namespace: bool) -> Result<Value> {
        if self.numbers_are_right(initial_namespace) {
            let both = self.call(helper::GET_CURRENT_PID_TGID, &[], Effect::Pure);
            return Ok(self.high_half(both));
        }
        self.namespace_id(4)
    }

    pub(in crate::lower) fn thread_id(&mut self, initial_namespace: bool) -> Result<Value> {
        if self.numbers_are_right(initial_namespace) {
            let both = self.call(helper::GET_CURRENT_PID_TGID, &[], Effect::Pure);
            return Ok(self.low_half(both));
        }
        self.namespace_id(0)
    }

    fn numbers_are_right(&self, initial_namespace: bool) -> bool {
        initial_namespace || self.unit.target.initial_pid_namespace || !self.unit.target.ns_pid_tgid
    }

    /// A word of `struct bpf_pidns_info`, which holds the thread and then the process; zero for one of another namespace.
    fn namespace_id(&mut self, offset: i64) -> Result<Value> {
        let device = self.parameter(Parameter::PidNamespaceDevice);
        let inode = self.parameter(Parameter::PidNamespaceInode);
        let mark = self.mark();
        let info = self.temporary(8);
        let zero = self.iconst(0);
        self.store(info, Size::B8, zero);
        let (address, size) = (self.address(info), self.iconst(8));
        let args = [device, inode, address, size];
        let result = self.call(helper::GET_NS_CURRENT_PID_TGID, &args, Effect::Writes);
        let id = self.choose(
            Test(JmpOp::Eq, result, zero),
            |l| Ok(l.load_raw(info.at(offset), Size::B4, false)),
            |_| Ok(zero),
        )?;
        self.release(mark);
        Ok(id)
    }

    pub(super) fn user_id(&mut self) -> Value {
        let both = self.call(helper::GET_CURRENT_UID_GID, &[], Effect::Pure);
        self.low_half(both)
    }

    pub(super) fn group_id(&mut self) -> Value {
        let both = self.call(helper::GET_CURRENT_UID_GID, &[], Effect::Pure);
        self.high_half(both)
    }

    pub(in crate::lower) fn current_task_btf(&mut self) -> Value {
        self.call(helper::GET_CURRENT_TASK_BTF, &[], Effect::Pure)
    }

    pub(super) fn comm_into(&mut self, to: Place, len: u32) {
        let used = len.min(COMM_BYTES);
        let (address, size) = (self.address(to), self.iconst(i64::from(used)));
        self.call(helper::GET_CURRENT_COMM, &[address, size], Effect::Writes);
        self.zero(to.at(i64::from(used)), len - used);
    }

    /// Nanoseconds of a clock.
    pub(in crate::lower) fn nanoseconds(&mut self, clock: Clock) -> Result<Value> {
        let maps = &self.unit.program.maps;
        let stand_in = self.unit.target.clock_map.as_deref();
        if let Some(index) = maps.iter().position(|m| Some(m.name.as_str()) == stand_in) {
            let key = self.temporary(8);
            let zero = self.iconst(0);
            self.store(key, Size::B8, zero);
            let key = self.address(key);
            let found = self.lookup(index as u32, key);
            return self.choose(
                Test(JmpOp::Ne, found, zero),
                |l| Ok(l.load_raw(Place::value(found, Memory::Own), Size::B8, false)),
                |_| Ok(zero),
            );
        }
        Ok(match clock {
            Clock::Monotonic => self.call(helper::KTIME_GET_NS, &[], Effect::Reads),
            Clock::Boot => self.call(helper::KTIME_GET_BOOT_NS, &[], Effect::Reads),
            Clock::Tai if self.unit.target.ktime_tai => {
                self.call(helper::KTIME_GET_TAI_NS, &[], Effect::Reads)
            }
            Clock::Tai | Clock::SwTai => {
                let now = self.call(helper::KTIME_GET_NS, &[], Effect::Reads);
                let offset = self.parameter(Parameter::TaiOffset);
                self.binary(AluOp::Add, now, offset)
            }
        })
    }

    pub(super) fn elapsed(&mut self) -> Result<Value> {
        let now = self.nanoseconds(Clock::Boot)?;
        let start = self.parameter(Parameter::StartTime);
        Ok(self.binary(AluOp::Sub, now, start))
    }
}
