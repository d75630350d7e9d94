//! Loads that are no memory accesses: 64-bit immediates, which name maps and functions, and legacy packet loads.

use beetrace_isa::{Imm64, Reg as RegName};

use crate::explore::{Flow, Verifier};
use crate::program::{FunctionLinkage, ProgramType};
use crate::reject::{Check, RejectKind, reject, unsupported};
use crate::state::{Kind, MapRef, Reg, State};

impl Verifier<'_> {
    pub(crate) fn load_immediate(&mut self, slot: usize, imm: Imm64) -> Check<Reg> {
        match imm {
            Imm64::Value(n) => Ok(Reg::constant(n)),
            Imm64::MapIdx(index) => {
                let map = MapRef {
                    index,
                    inner: false,
                };
                self.check_map(map)?;
                Ok(Reg::pointer(Kind::Map(map)))
            }
            Imm64::MapIdxValue { idx, off } => {
                let map = MapRef {
                    index: idx,
                    inner: false,
                };
                self.check_map(map)?;
                let def = self.map(map)?;
                if def.kind != crate::program::map_type::ARRAY || def.max_entries != 1 {
                    return reject(
                        RejectKind::Map,
                        format!(
                            "map `{}` is no array of one value, so its value has no address",
                            def.title()
                        ),
                    );
                }
                if off >= def.value_size {
                    return reject(
                        RejectKind::OutOfBounds,
                        format!("offset {off} is behind the value of map `{}`", def.title()),
                    );
                }
                let mut reg = Reg::pointer(Kind::MapValue(map));
                reg.off = i32::try_from(off).unwrap_or(i32::MAX);
                if def.spin_lock.is_some() {
                    reg.id = self.new_id(slot);
                }
                Ok(reg)
            }
            Imm64::Func(rel) => match crate::code::target(slot, rel.into())
                .and_then(|start| self.code.function_starting(start).map(|_| start))
            {
                Some(start) => {
                    let function = self.code.function_at(start);
                    if let Some(f) = self.code.functions.get(function)
                        && f.linkage != FunctionLinkage::Static
                    {
                        return reject(
                            RejectKind::Argument,
                            format!("callback `{}` is not a static function", f.name),
                        );
                    }
                    Ok(Reg::pointer(Kind::Function(
                        u32::try_from(start).unwrap_or(u32::MAX),
                    )))
                }
                None => reject(
                    RejectKind::ControlFlow,
                    "there is no function at this address",
                ),
            },
            Imm64::MapFd(_) | Imm64::MapFdValue { .. } => {
                unsupported("a map given by file descriptor")
            }
            Imm64::BtfVar { .. } => unsupported("a variable of the kernel"),
        }
    }

    /// Whether programs of this kind may use the map at all.
    fn check_map(&self, map: MapRef) -> Check {
        let def = self.map(map)?;
        if def.spin_lock.is_some() || def.inner.as_ref().is_some_and(|i| i.spin_lock.is_some()) {
            let refused = match self.kind() {
                ProgramType::SocketFilter => "socket filters",
                ProgramType::Kprobe
                | ProgramType::Tracepoint
                | ProgramType::PerfEvent
                | ProgramType::RawTracepoint
                | ProgramType::RawTracepointWritable => "tracing programs",
                _ => return Ok(()),
            };
            return reject(
                RejectKind::Map,
                format!(
                    "map `{}` has a spin lock, which {refused} cannot use",
                    def.title()
                ),
            );
        }
        Ok(())
    }

    /// Reads a packet the old way: `r6` is the context, `r0` receives the bytes.
    pub(crate) fn load_packet(&mut self, state: &mut State, index: Option<RegName>) -> Check {
        if !matches!(
            self.kind(),
            ProgramType::SocketFilter | ProgramType::TrafficControl
        ) {
            return reject(
                RejectKind::Instruction,
                "only socket filters and traffic control programs can load from the packet this way",
            );
        }
        if !state.references.is_empty() || state.lock.is_some() {
            return reject(
                RejectKind::Reference,
                "this load may end the program while a reference or a lock is held",
            );
        }
        let function = state.frame().function;
        let returns_int = self
            .code
            .functions
            .get(function)
            .is_some_and(|f| f.returns_int);
        if state.frames.len() > 1 && !returns_int {
            return reject(
                RejectKind::Instruction,
                "this load may end its function with the result 0, so that function must return an int",
            );
        }
        let context = self.read(state, RegName::R6)?;
        if context.kind != Kind::Context || context.off != 0 || !context.num.is_const() {
            return reject(
                RejectKind::Argument,
                format!(
                    "r6 must be the context for this load, but is {}",
                    context.kind.title()
                ),
            );
        }
        if let Some(name) = index {
            self.read(state, name)?;
        }
        if state.frames.len() > 1 {
            // Behind the packet the function ends.
            let mut outside = state.clone();
            *outside.reg_mut(RegName::R0) = Reg::constant(0);
            if let Flow::Continue = self.exit(&mut outside)? {
                self.push_pending(outside)?;
            }
        }
        let frame = state.frame_mut();
        for reg in frame.regs.iter_mut().take(6) {
            *reg = Reg::UNINIT;
        }
        frame.regs[0] = Reg::unknown();
        Ok(())
    }
}
