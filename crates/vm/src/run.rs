//! One run of a program: what its helpers act on, and what it may touch.

use std::sync::Arc;

use crate::Errno;
use crate::maps::Map;
use crate::program::{FUNCTION_TAG, Program};
use crate::world::World;

/// Most programs that can follow one another by tail calls (`MAX_TAIL_CALL_CNT` of the kernel).
pub const MAX_TAIL_CALLS: u32 = 33;

/// Jumps that a program in checked mode may make, unless [`Run::set_budget`] says otherwise.
pub const DEFAULT_BUDGET: u64 = 1 << 24;

/// Why a program in checked mode was stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instruction {insn}: {kind}")]
pub struct Fault {
    /// Index of the instruction, in the program that was called last.
    pub insn: usize,
    pub kind: FaultKind,
}

/// What a program in checked mode must not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    #[error("{} of {size} bytes at {address:#x} outside of the program's memory", if *.write { "write" } else { "read" })]
    Access {
        address: u64,
        size: u64,
        write: bool,
    },
    #[error("more jumps than the run allows")]
    Budget,
    #[error("too many functions active at once")]
    Depth,
    #[error("no helper function {0}")]
    Helper(u32),
    #[error("{0:#x} is not a map")]
    Map(u64),
    #[error("{0:#x} is not a function of the program")]
    Function(u64),
}

/// A range of memory that a program in checked mode may touch.
#[derive(Clone, Copy)]
struct Region {
    start: u64,
    end: u64,
    writable: bool,
}

/// The state of a run. One serves many runs, one after the other, each on the same [`World`].
pub struct Run<'w> {
    pub(crate) world: &'w dyn World,
    pub(crate) cpu: u32,
    /// The program that runs; null outside of [`Run::enter`].
    program: *const Program,
    context: (u64, u64),
    packet: (u64, u64),
    /// End of the machine stack when the outermost program began: frames of programs lie below.
    stack_end: u64,
    /// Whether every access is checked: the first program decides for all that follow it.
    checked: bool,
    /// Used in checked mode only.
    regions: Vec<Region>,
    budget: u64,
    spent: u64,
    fault: Option<FaultKind>,
    tail_calls: u32,
    nesting: u32,
    /// What a tail call made by machine code returned.
    pub(crate) tail_result: u64,
}

impl<'w> Run<'w> {
    /// A run whose events happen in `world`.
    pub fn new(world: &'w dyn World) -> Run<'w> {
        Run {
            world,
            cpu: world.cpu(),
            program: std::ptr::null(),
            context: (0, 0),
            packet: (0, 0),
            stack_end: 0,
            checked: true,
            regions: Vec::new(),
            budget: DEFAULT_BUDGET,
            spent: 0,
            fault: None,
            tail_calls: 0,
            nesting: 0,
            tail_result: 0,
        }
    }

    /// How many jumps a program in checked mode may make.
    pub fn set_budget(&mut self, jumps: u64) {
        self.budget = jumps;
    }

    /// The bytes that legacy packet loads read; none by default.
    pub fn set_packet(&mut self, packet: &'w [u8]) {
        self.packet = (packet.as_ptr() as u64, packet.len() as u64);
    }

    /// Runs `body` with `program` as the one that runs.
    pub(crate) fn enter(
        &mut self,
        program: &Program,
        context: &mut [u8],
        body: impl FnOnce(&Program, &mut Run<'_>, [u64; 5]) -> Result<u64, Fault>,
    ) -> Result<u64, Fault> {
        let (address, len) = (context.as_mut_ptr() as u64, context.len() as u64);
        self.program = program;
        self.context = (address, len);
        self.cpu = self.world.cpu();
        self.spent = 0;
        self.tail_calls = 0;
        self.nesting = 0;
        self.fault = None;
        self.stack_end = 0;
        self.regions.clear();
        self.checked = !program.is_verified();
        if self.checked {
            self.allow(address, address + len, true);
            let (start, len) = self.packet;
            self.allow(start, start + len, false);
        }
        let result = body(program, self, [address, len, 0, 0, 0]);
        self.program = std::ptr::null();
        result
    }

    fn allow(&mut self, start: u64, end: u64, writable: bool) {
        if start < end {
            self.regions.push(Region {
                start,
                end,
                writable,
            });
        }
    }

    fn program(&self) -> Option<&Program> {
        // SAFETY: `enter` and `tail_call` keep the program alive while it is named here.
        unsafe { self.program.as_ref() }
    }

    /// Whether every access of this run is checked.
    pub(crate) fn is_checked(&self) -> bool {
        self.checked
    }

    /// Registers the frames of one activation of the interpreter or of machine code; gives what
    /// [`Run::pop_stack`] wants.
    pub(crate) fn push_stack(&mut self, start: u64, end: u64) -> (u64, usize) {
        let outer = (self.stack_end, self.regions.len());
        if self.stack_end == 0 {
            self.stack_end = end;
        }
        if self.is_checked() {
            self.allow(start, end, true);
        }
        outer
    }

    pub(crate) fn pop_stack(&mut self, (stack_end, regions): (u64, usize)) {
        self.stack_end = stack_end;
        self.regions.truncate(regions);
    }

    /// Takes one jump from the budget.
    #[inline]
    pub(crate) fn spend(&mut self) -> bool {
        self.spent += 1;
        self.spent <= self.budget
    }

    pub(crate) fn fail(&mut self, kind: FaultKind) {
        self.fault.get_or_insert(kind);
    }

    #[inline]
    pub(crate) fn take_fault(&mut self) -> Option<FaultKind> {
        self.fault.take()
    }

    /// Whether a program in checked mode may touch these bytes.
    pub(crate) fn may_access(&self, address: u64, size: u64, write: bool) -> bool {
        let Some(end) = address.checked_add(size) else {
            return false;
        };
        self.regions
            .iter()
            .any(|r| r.start <= address && end <= r.end && (r.writable || !write))
            || self.program().is_some_and(|p| {
                p.maps
                    .iter()
                    .any(|m| m.contains(address, size) && (!write || m.is_writable_by_programs()))
            })
    }

    /// Whether these bytes are the machine's own: its stack, the context, or values of its maps.
    pub(crate) fn owns(&self, address: u64, size: u64) -> bool {
        if self.is_checked() {
            return self.may_access(address, size, false);
        }
        let marker = 0u8;
        let stack = (&raw const marker) as u64;
        let Some(end) = address.checked_add(size) else {
            return false;
        };
        let (context, len) = self.context;
        (stack <= address && end <= self.stack_end)
            || (context <= address && end <= context + len)
            || self
                .program()
                .is_some_and(|p| p.maps.iter().any(|m| m.contains(address, size)))
    }

    /// Bytes that a program gave to a helper to read. They stay where they are for the time of the helper's call.
    pub(crate) fn read<'m>(&mut self, address: u64, len: u64) -> Result<&'m [u8], Errno> {
        if len == 0 {
            return Ok(&[]);
        }
        if self.is_checked() && !self.may_access(address, len, false) {
            self.fail(FaultKind::Access {
                address,
                size: len,
                write: false,
            });
            return Err(Errno::FAULT);
        }
        // SAFETY: checked above, or by the verifier; no helper keeps the slice.
        Ok(unsafe { std::slice::from_raw_parts(address as *const u8, len as usize) })
    }

    /// Bytes that a program gave to a helper to write.
    pub(crate) fn write<'m>(&mut self, address: u64, len: u64) -> Result<&'m mut [u8], Errno> {
        if len == 0 {
            return Ok(&mut []);
        }
        if self.is_checked() && !self.may_access(address, len, true) {
            self.fail(FaultKind::Access {
                address,
                size: len,
                write: true,
            });
            return Err(Errno::FAULT);
        }
        // SAFETY: checked above, or by the verifier; no helper keeps the slice.
        Ok(unsafe { std::slice::from_raw_parts_mut(address as *mut u8, len as usize) })
    }

    /// Bytes up to the NUL of a constant string that a program gave to a helper.
    pub(crate) fn read_string<'m>(&mut self, address: u64, most: u64) -> Result<&'m [u8], Errno> {
        let mut len = 0;
        while len < most {
            match self.read(address.wrapping_add(len), 1)? {
                [0] => break,
                _ => len += 1,
            }
        }
        self.read(address, len)
    }

    /// The map behind a handle.
    pub(crate) fn map<'m>(&mut self, handle: u64) -> Result<&'m Map, Errno> {
        if self.is_checked() {
            let known = self
                .program()
                .is_some_and(|p| p.maps.iter().any(|m| m.knows(handle)));
            if !known {
                self.fail(FaultKind::Map(handle));
                return Err(Errno::INVAL);
            }
        }
        // SAFETY: a handle is the address of a map that the program, or a map of the program, keeps.
        Ok(unsafe { &*(handle as *const Map) })
    }

    /// The map of the program that has this address among its memory.
    pub(crate) fn map_containing<'m>(&self, address: u64) -> Option<&'m Map> {
        // SAFETY: as in `program`; maps live as long as the programs that use them.
        let program = unsafe { self.program.as_ref() }?;
        let map = program.maps.iter().find(|m| m.contains(address, 1))?;
        Some(map)
    }

    /// Lets a program in checked mode read memory of a helper for a while; ends with [`Run::take_back`].
    pub(crate) fn lend(&mut self, address: u64, size: u64) -> usize {
        let before = self.regions.len();
        if self.checked {
            self.allow(address, address + size, false);
        }
        before
    }

    pub(crate) fn take_back(&mut self, before: usize) {
        self.regions.truncate(before);
    }

    /// Whether a helper that loops may go on: in checked mode rounds count as jumps.
    pub(crate) fn may_go_on(&mut self) -> bool {
        if !self.checked {
            return true;
        }
        if !self.spend() {
            self.out_of_budget();
        }
        self.fault.is_none()
    }

    pub(crate) fn out_of_budget(&mut self) {
        self.fail(FaultKind::Budget);
    }

    /// Calls a function of the program, for helpers that take callbacks.
    pub(crate) fn call_back(&mut self, function: u64, args: [u64; 5]) -> Result<u64, Errno> {
        let program = self.program;
        // SAFETY: as in `program`.
        let Some(program) = (unsafe { program.as_ref() }) else {
            return Err(Errno::INVAL);
        };
        if function & FUNCTION_TAG != FUNCTION_TAG {
            if self.is_checked() {
                self.fail(FaultKind::Function(function));
                return Err(Errno::INVAL);
            }
            // SAFETY: machine code runs, so the verifier has seen where the address comes from.
            return Ok(unsafe { crate::jit::call(function, self, args) });
        }
        let start = (function & !FUNCTION_TAG) as usize;
        if !program.functions.starts.contains(&start) {
            self.fail(FaultKind::Function(function));
            return Err(Errno::INVAL);
        }
        if self.nesting >= 8 {
            self.fail(FaultKind::Depth);
            return Err(Errno::LOOP);
        }
        self.nesting += 1;
        let result = program.interpret_at(self, start, args);
        self.nesting -= 1;
        result.map_err(|fault| {
            self.fail(fault.kind);
            Errno::FAULT
        })
    }

    /// Runs the program that a program array holds, in place of the function that asks for it.
    pub(crate) fn tail_call(&mut self, context: u64, map: u64, index: u64) -> Result<u64, Errno> {
        let map = self.map(map)?;
        let programs = map.programs().ok_or(Errno::INVAL)?;
        let next: Arc<Program> = programs.get(index as u32).ok_or(Errno::NOENT)?;
        if self.tail_calls >= MAX_TAIL_CALLS {
            return Err(Errno::LOOP);
        }
        if !self.is_checked() && !next.is_verified() {
            return Err(Errno::INVAL);
        }
        self.tail_calls += 1;
        let caller = std::mem::replace(&mut self.program, Arc::as_ptr(&next));
        let result = next.execute(self, [context, 0, 0, 0, 0]);
        self.program = caller;
        result.map_err(|fault| {
            self.fail(fault.kind);
            Errno::FAULT
        })
    }

    /// Legacy load of 1, 2 or 4 big-endian bytes from the packet.
    pub(crate) fn load_packet(&self, index: u64, size: usize) -> Option<u64> {
        let (start, len) = self.packet;
        // The index is a 32-bit number in the kernel too.
        let index = u64::from(index as u32);
        let end = index.checked_add(size as u64)?;
        if end > len {
            return None;
        }
        // SAFETY: the packet lives as long as the world, and the bytes are inside.
        let bytes = unsafe { std::slice::from_raw_parts((start + index) as *const u8, size) };
        Some(bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b)))
    }
}
