//! Loads, stores and atomic operations, and the bounds of each kind of memory.

use beetrace_isa::{AtomicOp, Reg as RegName, Size, Src};

use crate::context::{self, Access, Field};
use crate::explore::Verifier;
use crate::pointer::{MAX_OFFSET, aligned};
use crate::reject::{Check, RejectKind, reject, unsupported};
use crate::scalar::Scalar;
use crate::state::{Kind, MapRef, Reg, SocketKind, State};

/// Bytes of `struct bpf_flow_keys`.
const FLOW_KEYS: u32 = 56;

/// A range of bytes behind a pointer that is to be read or written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// From the pointer's fixed and varying offset on.
    pub off: i64,
    pub size: u32,
    pub write: bool,
    /// Whether no bytes at all are fine.
    pub zero_ok: bool,
}

impl Verifier<'_> {
    pub(crate) fn load(
        &mut self,
        state: &mut State,
        size: Size,
        sign_extend: bool,
        dst: RegName,
        src: RegName,
        off: i16,
    ) -> Check {
        if dst == RegName::FP {
            return reject(
                RejectKind::FramePointer,
                "the frame pointer r10 is read only",
            );
        }
        self.read(state, src)?;
        let mut out = self.load_value(state, src, i64::from(off), size.bytes(), sign_extend)?;
        if size != Size::B8 && out.is_scalar() {
            out.num = if sign_extend {
                if out.id != 0 && out.num.u64.max >= 1 << (size.bits() - 1) {
                    out.unlink();
                }
                out.num.sign_extend(size.bytes())
            } else {
                out.num.truncate(size.bytes())
            };
        }
        self.write(state, dst, out)
    }

    pub(crate) fn store(
        &mut self,
        state: &mut State,
        size: Size,
        dst: RegName,
        off: i16,
        src: Src,
    ) -> Check {
        self.operand(state, src)?;
        self.read(state, dst)?;
        if let Src::Reg(name) = src
            && matches!(state.reg(dst).kind, Kind::Stack(_))
        {
            self.link(state, name);
        }
        let value = self.operand(state, src)?;
        self.store_value(state, dst, off.into(), size.bytes(), Some(value))
    }

    pub(crate) fn atomic(
        &mut self,
        state: &mut State,
        op: AtomicOp,
        size: Size,
        dst: RegName,
        src: RegName,
        off: i16,
    ) -> Check {
        self.read(state, src)?;
        let old = match op {
            AtomicOp::CmpXchg => {
                self.read(state, RegName::R0)?;
                Some(RegName::R0)
            }
            AtomicOp::Xchg => Some(src),
            AtomicOp::Add { fetch }
            | AtomicOp::Or { fetch }
            | AtomicOp::And { fetch }
            | AtomicOp::Xor { fetch } => fetch.then_some(src),
        };
        let pointer = *self.read(state, dst)?;
        match pointer.kind {
            Kind::Context | Kind::Packet | Kind::PacketMeta | Kind::FlowKeys | Kind::Socket(_) => {
                return reject(
                    RejectKind::Access,
                    format!(
                        "atomic operations on {} are not allowed",
                        pointer.kind.title()
                    ),
                );
            }
            _ => {}
        }
        let off = i64::from(off);
        check_alignment(&pointer, off, size.bytes())?;
        let read = self.load_value(state, dst, off, size.bytes(), false)?;
        self.store_value(state, dst, off, size.bytes(), None)?;
        if let Some(name) = old {
            let mut out = if read.is_scalar() {
                read
            } else {
                Reg::unknown()
            };
            out.num = out.num.truncate(size.bytes());
            out.unlink();
            self.write(state, name, out)?;
        }
        Ok(())
    }

    /// What a load gives, before it is cut to its size.
    fn load_value(
        &mut self,
        state: &mut State,
        base: RegName,
        off: i64,
        size: u32,
        sign_extend: bool,
    ) -> Check<Reg> {
        let reg = *state.reg(base);
        self.need(&reg);
        let span = Span {
            off,
            size,
            write: false,
            zero_ok: false,
        };
        if self.options.strict_alignment && reg.is_pointer() {
            check_alignment(&reg, off, size)?;
        }
        match reg.kind {
            Kind::Stack(_) if !reg.nullable => self.stack_load(state, &reg, off, size),
            Kind::Context => {
                let field = self.context_access(&reg, span)?;
                if sign_extend && field != Field::Number {
                    return reject(
                        RejectKind::Context,
                        "a pointer in the context cannot be loaded with its sign",
                    );
                }
                Ok(self.field_value(state.pc, field))
            }
            _ => {
                self.check_span(base, &reg, span)?;
                Ok(self
                    .constant_load(&reg, off, size)
                    .unwrap_or(Reg::unknown()))
            }
        }
    }

    fn store_value(
        &mut self,
        state: &mut State,
        base: RegName,
        off: i64,
        size: u32,
        value: Option<Reg>,
    ) -> Check {
        let reg = *state.reg(base);
        self.need(&reg);
        let span = Span {
            off,
            size,
            write: true,
            zero_ok: false,
        };
        if self.options.strict_alignment && reg.is_pointer() {
            check_alignment(&reg, off, size)?;
        }
        match reg.kind {
            Kind::Stack(_) if !reg.nullable => self.stack_store(state, &reg, off, size, value),
            Kind::Context => {
                self.context_access(&reg, span)?;
                Ok(())
            }
            _ => self.check_span(base, &reg, span),
        }
    }

    /// The number in a map that never changes, if it is known.
    fn constant_load(&self, reg: &Reg, off: i64, size: u32) -> Option<Reg> {
        let Kind::MapValue(map) = reg.kind else {
            return None;
        };
        let bytes = self.map(map).ok()?.frozen.as_ref()?;
        let start = i64::from(reg.off) + off + reg.num.as_const()? as i64;
        let start = usize::try_from(start).ok()?;
        let bytes = bytes.get(start..start.checked_add(size as usize)?)?;
        let mut word = [0; 8];
        word.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Reg::constant(u64::from_le_bytes(word)))
    }

    /// Bounds and rights of an access to anything but the stack and the context.
    pub(crate) fn check_span(&mut self, name: RegName, reg: &Reg, span: Span) -> Check {
        self.need(reg);
        if reg.nullable {
            return reject(
                RejectKind::MayBeNull,
                format!(
                    "{name} may be null here: {} is accessed without a check",
                    reg.kind.title()
                ),
            )
            .map_err(|stop| self.null_fact(stop, reg));
        }
        let limited = |size: u32| check_region(name, reg, span, size);
        match reg.kind {
            Kind::MapValue(map) => self.check_map_value(name, reg, span, map),
            Kind::MapKey(map) => {
                if span.write {
                    return read_only(reg.kind);
                }
                limited(self.map(map)?.key_size)
            }
            Kind::Memory { size, writable } => {
                if span.write && !writable {
                    return read_only(reg.kind);
                }
                limited(size)
            }
            Kind::Record { size } => limited(size),
            Kind::Packet | Kind::PacketMeta => {
                if span.write && !context::packet_access(self.kind(), true) {
                    return reject(
                        RejectKind::Access,
                        "programs of this kind cannot write into the packet",
                    );
                }
                check_packet(name, reg, span)
            }
            Kind::FlowKeys => check_fixed(name, reg, span, FLOW_KEYS),
            Kind::Buffer => check_fixed(name, reg, span, u32::MAX),
            Kind::Socket(kind) => self.check_socket(name, reg, span, kind),
            Kind::Map(_) => unsupported("reading the fields of a map"),
            Kind::Stack(_)
            | Kind::Context
            | Kind::PacketEnd
            | Kind::Function(_)
            | Kind::Iterator { .. } => reject(
                RejectKind::Access,
                format!("{name} is {}, which cannot be accessed", reg.kind.title()),
            ),
            Kind::Scalar | Kind::Uninit => reject(
                RejectKind::NotAPointer,
                format!("{name} is a number, not a pointer, and is used as an address"),
            )
            .map_err(|stop| stop.fact(format!("{name} is {}", reg.num))),
        }
    }

    fn check_map_value(&self, name: RegName, reg: &Reg, span: Span, map: MapRef) -> Check {
        let def = self.map(map)?;
        let allowed = if span.write {
            def.access.writes() && def.frozen.is_none()
        } else {
            def.access.reads()
        };
        if !allowed {
            let verb = if span.write { "written" } else { "read" };
            return reject(
                RejectKind::Access,
                format!(
                    "values of map `{}` cannot be {verb} by programs",
                    def.title()
                ),
            );
        }
        check_region(name, reg, span, def.value_size).map_err(|stop| {
            stop.fact(format!(
                "values of map `{}` have {} bytes",
                def.title(),
                def.value_size
            ))
        })?;
        let start = reg
            .num
            .s64
            .min
            .saturating_add(reg.off.into())
            .saturating_add(span.off);
        let end = (reg.num.u64.max as i64)
            .saturating_add(reg.off.into())
            .saturating_add(span.off)
            .saturating_add(span.size.into());
        let touches =
            |at: u32, size: u32| start < i64::from(at) + i64::from(size) && end > i64::from(at);
        if def.spin_lock.is_some_and(|at| touches(at, 4))
            || def.special.iter().any(|(at, size)| touches(*at, *size))
        {
            return reject(
                RejectKind::Access,
                "this field of the map value (a lock, timer or kernel pointer) is only for helpers",
            );
        }
        Ok(())
    }

    fn check_socket(&self, name: RegName, reg: &Reg, span: Span, kind: SocketKind) -> Check {
        let off = i64::from(reg.off) + span.off;
        let access = reg
            .num
            .as_const()
            .and(u32::try_from(off).ok())
            .map(|off| Access {
                off,
                size: span.size,
                write: span.write,
            });
        let ok = access.is_some_and(|a| match kind {
            SocketKind::Common => context::socket_field(a, false),
            SocketKind::Full => context::socket_field(a, true),
            SocketKind::Tcp => context::tcp_socket_field(a),
        });
        if ok {
            return Ok(());
        }
        reject(
            RejectKind::Access,
            format!(
                "{name} is a socket that has no such field to access ({} bytes at {off})",
                span.size
            ),
        )
    }

    /// The field of the context that an access means.
    fn context_access(&mut self, reg: &Reg, span: Span) -> Check<Field> {
        if reg.nullable {
            return reject(RejectKind::MayBeNull, "the context may be null here");
        }
        if reg.off != 0 || reg.num.as_const() != Some(0) {
            return reject(
                RejectKind::Context,
                "the context is accessed through a pointer that was moved",
            )
            .map_err(|stop| {
                stop.help(
                    "use the offset of the load or store itself and leave the pointer as it was",
                )
            });
        }
        let access = u32::try_from(span.off).ok().map(|off| Access {
            off,
            size: span.size,
            write: span.write,
        });
        if let crate::program::ProgramType::KernelOnly(name) = self.kind() {
            return unsupported(format!("the context of {name} programs"));
        }
        match access.and_then(|a| context::field(self.kind(), a)) {
            Some(field) => Ok(field),
            None => reject(
                RejectKind::Context,
                format!(
                    "the context of this kind of program has no field of {} bytes at {} that can be {}",
                    span.size,
                    span.off,
                    if span.write { "written" } else { "read" }
                ),
            ),
        }
    }

    fn field_value(&mut self, slot: usize, field: Field) -> Reg {
        match field {
            Field::Number => Reg::unknown(),
            Field::Packet => Reg::pointer(Kind::Packet),
            Field::PacketEnd => Reg::pointer(Kind::PacketEnd),
            Field::PacketMeta => Reg::pointer(Kind::PacketMeta),
            Field::FlowKeys => Reg::pointer(Kind::FlowKeys),
            Field::Socket => Reg::pointer(Kind::Socket(SocketKind::Full)),
            Field::SockCommonOrNull => {
                let mut reg = Reg::pointer(Kind::Socket(SocketKind::Common));
                reg.nullable = true;
                reg.id = self.new_id(slot);
                reg
            }
            Field::Buffer => Reg::pointer(Kind::Buffer),
        }
    }
}

fn read_only<T>(kind: Kind) -> Check<T> {
    reject(RejectKind::Access, format!("{} is read only", kind.title()))
}

/// Whether the access is a multiple of its size in every case.
pub(crate) fn check_alignment(reg: &Reg, off: i64, size: u32) -> Check {
    if aligned(reg.num.bits, i64::from(reg.off) + off, size) {
        return Ok(());
    }
    reject(
        RejectKind::Misaligned,
        format!(
            "an access of {size} bytes to {} at offset {} is not aligned",
            reg.kind.title(),
            i64::from(reg.off) + off
        ),
    )
}

/// An access at an offset that is fully known.
fn check_fixed(name: RegName, reg: &Reg, span: Span, size: u32) -> Check {
    let off = i64::from(reg.off) + span.off;
    if reg.num.as_const() != Some(0) || off < 0 || off + i64::from(span.size) > i64::from(size) {
        return reject(
            RejectKind::OutOfBounds,
            format!("{name} reaches outside of {}", reg.kind.title()),
        );
    }
    Ok(())
}

/// An access to memory of `size` bytes at an offset of which bounds are known.
pub(crate) fn check_region(name: RegName, reg: &Reg, span: Span, size: u32) -> Check {
    let fixed = i64::from(reg.off) + span.off;
    let fits = |start: i64| {
        start >= 0
            && (span.size > 0 || span.zero_ok)
            && start.saturating_add(span.size.into()) <= i64::from(size)
    };
    let kind = reg.kind.title();
    let least = reg.num.s64.min.checked_add(fixed);
    match least {
        Some(least) if least >= 0 && i32::try_from(least).is_ok() => {
            if !fits(least) {
                return outside(name, kind, least, span.size, size, &reg.num);
            }
        }
        _ if reg.num.is_const() => {
            return outside(
                name,
                kind,
                least.unwrap_or(i64::MIN),
                span.size,
                size,
                &reg.num,
            );
        }
        _ => {
            return reject(
                RejectKind::Unbounded,
                format!("the offset of {name} into {kind} may be negative"),
            )
            .map_err(|stop| stop.fact(format!("the offset is {} plus {fixed}", reg.num)));
        }
    }
    if reg.num.u64.max >= MAX_OFFSET as u64 {
        return reject(
            RejectKind::Unbounded,
            format!("the offset of {name} into {kind} has no upper bound"),
        )
        .map_err(|stop| stop.fact(format!("the offset is {} plus {fixed}", reg.num)));
    }
    let most = (reg.num.u64.max as i64).saturating_add(fixed);
    if !fits(most) {
        return outside(name, kind, most, span.size, size, &reg.num);
    }
    Ok(())
}

fn outside(name: RegName, kind: &str, start: i64, bytes: u32, size: u32, num: &Scalar) -> Check {
    reject(
        RejectKind::OutOfBounds,
        format!("{name} may reach outside of {kind}: {bytes} bytes at offset {start} of {size}"),
    )
    .map_err(|stop| {
        if num.is_const() {
            stop
        } else {
            stop.fact(format!("the varying part of the offset is {num}"))
        }
    })
}

/// An access to the packet: only what a comparison with its end has shown to be there.
fn check_packet(name: RegName, reg: &Reg, span: Span) -> Check {
    if reg.num.s64.min < 0 {
        return reject(
            RejectKind::Unbounded,
            format!("the offset of {name} into the packet may be negative"),
        )
        .map_err(|stop| stop.fact(format!("the offset is {}", reg.num)));
    }
    let start = i64::from(reg.off) + span.off;
    let end = start + i64::from(span.size);
    if start < 0 || end > i64::from(reg.range) || span.size == 0 && !span.zero_ok {
        return reject(
            RejectKind::OutOfBounds,
            format!(
                "{name} may reach behind the packet: {} bytes at offset {start}, of which {} are known to be there",
                span.size, reg.range
            ),
        )
        .map_err(|stop| stop.help("compare the pointer plus the size with the packet's end before the access"));
    }
    Ok(())
}
