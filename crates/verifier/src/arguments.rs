//! Calls of helper functions: arguments, results, and what else they change.

use beetrace_isa::{Reg as RegName, helper, helper_name};

use crate::context;
use crate::explore::{Flow, Verifier};
use crate::helpers::{self, Arg, Prototype, Ret};
use crate::map_rules;
use crate::memory::Span;
use crate::program::MapDef;
use crate::reject::{Check, RejectKind, reject, unsupported};
use crate::state::{Kind, MapRef, Reference, Reg, SocketKind, State};

/// Sizes of memory that helpers take stay below this (`BPF_MAX_VAR_SIZ`).
const MAX_SIZE: u64 = 1 << 29;

/// What the arguments said that the result and later arguments depend on.
#[derive(Debug, Default)]
struct Call {
    map: Option<MapRef>,
    /// The constant size of memory to give.
    alloc: Option<u32>,
    /// The reference that the call gives back.
    released: u32,
    reference: u32,
}

impl Verifier<'_> {
    pub(crate) fn call_helper(&mut self, state: &mut State, id: u32) -> Check<Flow> {
        let name = helper_name(id).unwrap_or("an unknown helper");
        let Some(prototype) = helpers::prototype(id) else {
            return match helper_name(id) {
                Some(name) => unsupported(format!("helper {name}")),
                None => reject(
                    RejectKind::Helper,
                    format!("there is no helper number {id}"),
                ),
            };
        };
        if let crate::program::ProgramType::KernelOnly(kind) = self.kind() {
            return unsupported(format!("helpers of {kind} programs"));
        }
        if !prototype.allowed(self.kind()) {
            return reject(
                RejectKind::Helper,
                format!("programs of this kind cannot call {name}"),
            );
        }
        if state.lock.is_some() && id != helper::SPIN_UNLOCK && id != helper::SPIN_LOCK {
            return reject(
                RejectKind::Lock,
                format!("{name} is called while a lock is held"),
            );
        }
        let mut call = Call::default();
        for (i, argument) in prototype.arguments.iter().enumerate() {
            let Some(reg) = RegName::ALL.get(i + 1).copied() else {
                continue;
            };
            self.check_argument(state, prototype, reg, *argument, &mut call)
                .map_err(|stop| stop.fact(format!("{reg} is argument {} of {name}", i + 1)))?;
        }
        if let Some(map) = call.map {
            let def = self.map(map)?;
            map_rules::check(id, def)?;
        }
        self.effects(state, id, &call)?;
        if helpers::calls_back(id) {
            self.call_back(state, id, RegName::R2)?;
        }
        if helpers::changes_packet(id) {
            self.forget_packet(state);
        }
        let result = self.result(state, prototype, &call)?;
        let frame = state.frame_mut();
        for reg in frame.regs.iter_mut().take(6) {
            *reg = Reg::UNINIT;
        }
        frame.regs[0] = result;
        state.pc += 1;
        Ok(Flow::Continue)
    }

    /// What some helpers do beyond their signature.
    fn effects(&mut self, state: &mut State, id: u32, call: &Call) -> Check {
        match id {
            helper::TAIL_CALL => self.check_left(state),
            helper::GET_LOCAL_STORAGE if state.reg(RegName::R2).as_const() != Some(0) => reject(
                RejectKind::Argument,
                "the flags of bpf_get_local_storage must be the constant 0",
            ),
            _ if call.released != 0 => {
                if !state.references.iter().any(|r| r.id == call.released) {
                    return reject(
                        RejectKind::Reference,
                        "this was not acquired, or was given back before",
                    );
                }
                state.references.retain(|r| r.id != call.released);
                state.each_reg(|reg| {
                    if reg.reference == call.released {
                        *reg = Reg::UNINIT;
                    }
                });
                for frame in &mut state.frames {
                    for slot in &mut frame.stack {
                        if slot.is_spill() && slot.reg.kind == Kind::Uninit {
                            slot.scrub();
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_argument(
        &mut self,
        state: &mut State,
        prototype: &Prototype,
        name: RegName,
        argument: Arg,
        call: &mut Call,
    ) -> Check {
        let reg = *self.read(state, name)?;
        let wrong = |expected: &str| {
            let may_be_null = reg.nullable;
            let kind = if may_be_null {
                RejectKind::MayBeNull
            } else {
                RejectKind::Argument
            };
            let null = if may_be_null { " or null" } else { "" };
            reject(
                kind,
                format!(
                    "{name} must be {expected}, but is {}{null}",
                    reg.kind.title()
                ),
            )
        };
        match argument {
            Arg::Any => Ok(()),
            Arg::CtxOrNull if reg.is_zero() => {
                self.need(&reg);
                Ok(())
            }
            Arg::Ctx | Arg::CtxOrNull => {
                if reg.kind != Kind::Context || reg.nullable {
                    return wrong("the context");
                }
                fixed_zero(name, &reg)
            }
            Arg::Map => match reg.kind {
                Kind::Map(map) if !reg.nullable => {
                    call.map = Some(map);
                    fixed_zero(name, &reg)
                }
                _ => wrong("a map"),
            },
            Arg::Key => {
                let size = self.call_map(call)?.key_size;
                self.check_packet_argument(prototype, &reg, false)?;
                self.check_memory(state, name, &reg, size, false, false)
            }
            Arg::Value | Arg::ValueOut => {
                let write = argument == Arg::ValueOut;
                let size = self.call_map(call)?.value_size;
                self.check_packet_argument(prototype, &reg, write)?;
                self.check_memory(state, name, &reg, size, write, false)
            }
            Arg::Mem | Arg::MemOut => {
                if !reg.is_pointer() {
                    return wrong("a pointer to memory")
                        .map_err(|s| s.fact(format!("{name} is {}", reg.num)));
                }
                self.check_packet_argument(prototype, &reg, argument == Arg::MemOut)
            }
            Arg::MemOrNull | Arg::MemOutOrNull => {
                if reg.is_zero() {
                    self.need(&reg);
                    return Ok(());
                }
                if !reg.is_pointer() {
                    return wrong("a pointer to memory or null");
                }
                self.check_packet_argument(prototype, &reg, argument == Arg::MemOutOrNull)
            }
            Arg::Size | Arg::SizeOrZero => {
                self.check_size(state, prototype, name, argument == Arg::SizeOrZero)
            }
            Arg::AllocSize => {
                self.need(&reg);
                match reg.as_const().map(u32::try_from) {
                    Some(Ok(size)) if u64::from(size) < MAX_SIZE => {
                        call.alloc = Some(size);
                        Ok(())
                    }
                    _ => wrong("a constant size"),
                }
            }
            Arg::Record => match reg.kind {
                Kind::Record { .. } if !reg.nullable && reg.reference != 0 => {
                    fixed_zero(name, &reg)?;
                    call.released = reg.reference;
                    Ok(())
                }
                _ => wrong("a record from bpf_ringbuf_reserve"),
            },
            Arg::Func => match reg.kind {
                Kind::Function(_) => Ok(()),
                _ => wrong("a function of the program"),
            },
            Arg::StackOrNull => {
                if reg.is_zero() {
                    self.need(&reg);
                    return Ok(());
                }
                match reg.kind {
                    Kind::Stack(_) if !reg.nullable => Ok(()),
                    _ => wrong("a pointer to the stack or null"),
                }
            }
            Arg::SpinLock => self.spin_lock(state, prototype.id, name, &reg),
            Arg::FixedOut(size) => {
                crate::memory::check_alignment(&reg, 0, size)?;
                self.check_memory(state, name, &reg, size, true, false)
            }
            Arg::ConstString => self.check_string(name, &reg),
            Arg::SockCommon => match reg.kind {
                Kind::Socket(SocketKind::Common | SocketKind::Full | SocketKind::Tcp)
                    if !reg.nullable =>
                {
                    call.reference = reg.reference;
                    fixed_zero(name, &reg)
                }
                _ => wrong("a socket"),
            },
            Arg::SockRelease => match reg.kind {
                Kind::Socket(_) if !reg.nullable => {
                    fixed_zero(name, &reg)?;
                    if reg.reference == 0 {
                        return reject(
                            RejectKind::Reference,
                            format!("{name} is a socket that was not acquired here"),
                        );
                    }
                    call.released = reg.reference;
                    Ok(())
                }
                _ => wrong("a socket"),
            },
        }
        .map_err(|stop| {
            if reg.nullable {
                self.null_fact(stop, &reg)
            } else {
                stop
            }
        })
    }

    fn call_map(&self, call: &Call) -> Check<&MapDef> {
        match call.map {
            Some(map) => self.map(map),
            None => reject(RejectKind::Argument, "there is no map for this argument"),
        }
    }

    /// Pointers into the packet are only for helpers that know of them.
    fn check_packet_argument(&self, prototype: &Prototype, reg: &Reg, write: bool) -> Check {
        if reg.kind.is_packet() && !(prototype.packet && context::packet_access(self.kind(), write))
        {
            return reject(
                RejectKind::Argument,
                "this helper cannot be given a pointer into the packet",
            )
            .map_err(|stop| stop.help("copy the bytes to the stack first"));
        }
        Ok(())
    }

    /// The memory of the register before, with the size in this one.
    fn check_size(
        &mut self,
        state: &mut State,
        prototype: &Prototype,
        name: RegName,
        zero_ok: bool,
    ) -> Check {
        let size = *state.reg(name);
        let Some(base) = RegName::ALL.get(name.index() - 1).copied() else {
            return Ok(());
        };
        if !size.is_scalar() {
            return reject(
                RejectKind::Argument,
                format!("{name} must be a size, but is {}", size.kind.title()),
            );
        }
        self.need(&size);
        let known = |stop: Box<crate::reject::Stop>| stop.fact(format!("{name} is {}", size.num));
        if size.num.s64.min < 0 {
            return reject(
                RejectKind::Unbounded,
                format!("the size in {name} may be negative"),
            )
            .map_err(known);
        }
        if size.num.u64.min == 0 && !zero_ok {
            return reject(
                RejectKind::Argument,
                format!("the size in {name} may be zero"),
            )
            .map_err(known);
        }
        if size.num.u64.max >= MAX_SIZE {
            return reject(
                RejectKind::Unbounded,
                format!("the size in {name} has no upper bound"),
            )
            .map_err(known);
        }
        let write = name
            .index()
            .checked_sub(2)
            .and_then(|i| prototype.arguments.get(i))
            .is_some_and(|a| matches!(a, Arg::MemOut | Arg::MemOutOrNull));
        let memory = *state.reg(base);
        let most = u32::try_from(size.num.u64.max).unwrap_or(u32::MAX);
        self.check_memory(state, base, &memory, most, write, zero_ok)
            .map_err(known)
    }

    /// Memory of `size` bytes that a helper reads or writes.
    pub(crate) fn check_memory(
        &mut self,
        state: &mut State,
        name: RegName,
        reg: &Reg,
        size: u32,
        write: bool,
        zero_ok: bool,
    ) -> Check {
        if reg.is_zero() && size == 0 && zero_ok {
            self.need(reg);
            return Ok(());
        }
        match reg.kind {
            Kind::Stack(_) if !reg.nullable => self.stack_span(state, reg, size, write),
            Kind::MapValue(_)
            | Kind::MapKey(_)
            | Kind::Memory { .. }
            | Kind::Record { .. }
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::Buffer => {
                let span = Span {
                    off: 0,
                    size,
                    write,
                    zero_ok,
                };
                self.check_span(name, reg, span)
            }
            _ => reject(
                RejectKind::Argument,
                format!(
                    "{name} must be a pointer to memory, but is {}",
                    reg.kind.title()
                ),
            ),
        }
    }

    fn result(&mut self, state: &mut State, prototype: &Prototype, call: &Call) -> Check<Reg> {
        let pc = state.pc;
        let socket = |kind| Reg::pointer(Kind::Socket(kind));
        let mut acquire = false;
        let mut reg = match prototype.ret {
            Ret::Number => return Ok(self.number_result(state, prototype.id)),
            Ret::Nothing => {
                return Ok(if prototype.id == helper::TAIL_CALL {
                    Reg::unknown()
                } else {
                    Reg::UNINIT
                });
            }
            Ret::MapValue | Ret::MapValueOrNull => {
                let Some(map) = call.map else {
                    return Ok(Reg::unknown());
                };
                let mut reg = Reg::pointer(Kind::MapValue(map));
                reg.nullable = prototype.ret == Ret::MapValueOrNull
                    && !(prototype.id == helper::MAP_LOOKUP_ELEM
                        && self.always_found(state, self.map(map)?));
                if reg.nullable || self.map(map)?.spin_lock.is_some() {
                    reg.id = self.new_id(pc);
                }
                return Ok(reg);
            }
            Ret::RecordOrNull => {
                acquire = true;
                Reg::pointer(Kind::Record {
                    size: call.alloc.unwrap_or(0),
                })
            }
            Ret::SockOrNull { acquire: a } => {
                acquire = a;
                socket(SocketKind::Full)
            }
            Ret::SockCommonOrNull { acquire: a } => {
                acquire = a;
                socket(SocketKind::Common)
            }
            Ret::TcpSockOrNull => socket(SocketKind::Tcp),
        };
        reg.nullable = true;
        reg.id = self.new_id(pc);
        reg.reference = call.reference;
        if acquire {
            reg.reference = reg.id;
            state.references.push(Reference {
                id: reg.id,
                origin: pc,
            });
        }
        Ok(reg)
    }

    /// The number that a helper gives, where its range is known.
    fn number_result(&self, state: &State, id: u32) -> Reg {
        use crate::scalar::Scalar;
        match id {
            helper::GET_STACK
            | helper::PROBE_READ_STR
            | helper::PROBE_READ_KERNEL_STR
            | helper::PROBE_READ_USER_STR => {
                let index = if id == helper::GET_STACK {
                    RegName::R3
                } else {
                    RegName::R2
                };
                let most = state.reg(index).num.u64.max;
                let most = i64::try_from(most).unwrap_or(i64::MAX);
                Reg::scalar(Scalar::signed(-4095, most), crate::dag::Node::ROOT)
            }
            helper::GET_SMP_PROCESSOR_ID => {
                Reg::scalar(Scalar::unsigned(0, MAX_CPU), crate::dag::Node::ROOT)
            }
            _ => Reg::unknown(),
        }
    }
}

/// The highest number of a processor that Linux can have.
const MAX_CPU: u64 = 8191;

/// Pointers to objects are given as they were received.
fn fixed_zero(name: RegName, reg: &Reg) -> Check {
    if reg.off == 0 && reg.num.as_const() == Some(0) {
        return Ok(());
    }
    reject(
        RejectKind::Argument,
        format!(
            "{name} is {} moved by an offset, which is not allowed here",
            reg.kind.title()
        ),
    )
}
