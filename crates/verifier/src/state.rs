//! What is known at one point of one path: registers, stacks, references.

use std::fmt;

use beetrace_isa::Reg as RegName;

use crate::dag::Node;
use crate::iterators::Family;
use crate::scalar::Scalar;

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Uninit,
    Scalar,
    Context,
    /// The map itself; the index of its definition.
    Map(MapRef),
    MapKey(MapRef),
    MapValue(MapRef),
    /// The stack of the frame of this number; offset 0 is its upper end.
    Stack(u8),
    Packet,
    PacketMeta,
    PacketEnd,
    /// Memory of fixed size that a helper gave.
    Memory {
        size: u32,
        writable: bool,
    },
    /// A ring buffer record that must be submitted or discarded.
    Record {
        size: u32,
    },
    /// A function of the program by its first slot.
    Function(u32),
    Socket(SocketKind),
    FlowKeys,
    /// Memory of a raw tracepoint's writer, of unknown size.
    Buffer,
    /// In a stack slot only: an iterator, and whether it has come to its end. Its `range` counts its rounds.
    Iterator {
        family: Family,
        drained: bool,
    },
}

/// A map by its place among the program's maps; `inner` is the map that a map of maps holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapRef {
    pub index: u32,
    pub inner: bool,
}

/// Kinds of sockets, which differ in the fields that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    Common,
    Full,
    Tcp,
}

impl Kind {
    pub(crate) fn is_pointer(self) -> bool {
        !matches!(self, Kind::Uninit | Kind::Scalar)
    }

    pub(crate) fn is_packet(self) -> bool {
        matches!(self, Kind::Packet | Kind::PacketMeta)
    }

    /// What it is called in messages.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Kind::Uninit => "nothing",
            Kind::Scalar => "a number",
            Kind::Context => "the context",
            Kind::Map(_) => "a map",
            Kind::MapKey(_) => "a map key",
            Kind::MapValue(_) => "a map value",
            Kind::Stack(_) => "the stack",
            Kind::Packet => "the packet",
            Kind::PacketMeta => "the packet's metadata",
            Kind::PacketEnd => "the packet's end",
            Kind::Memory { .. } => "memory",
            Kind::Record { .. } => "a ring buffer record",
            Kind::Function(_) => "a function",
            Kind::Socket(_) => "a socket",
            Kind::FlowKeys => "flow keys",
            Kind::Buffer => "a tracepoint buffer",
            Kind::Iterator { .. } => "an iterator",
        }
    }
}

/// A register, or a register saved to the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reg {
    pub kind: Kind,
    /// Whether it may be null instead.
    pub nullable: bool,
    /// The known part of a pointer's offset.
    pub off: i32,
    /// The number, or the part of a pointer's offset that varies.
    pub num: Scalar,
    /// Registers of equal id, zero apart, hold the same number (but for `delta`) or come from the same pointer.
    pub id: u32,
    /// How far a linked number is from the one it was copied from.
    pub delta: Option<i32>,
    /// The reference that this pointer is one of; 0 for none.
    pub reference: u32,
    /// How many bytes from a packet pointer's varying part on are known to be there.
    pub range: u32,
    pub node: Node,
}

impl Reg {
    pub(crate) const UNINIT: Reg = Reg {
        kind: Kind::Uninit,
        nullable: false,
        off: 0,
        num: Scalar::UNKNOWN,
        id: 0,
        delta: None,
        reference: 0,
        range: 0,
        node: Node::ROOT,
    };

    pub(crate) const fn scalar(num: Scalar, node: Node) -> Reg {
        let mut reg = Reg::UNINIT;
        reg.kind = Kind::Scalar;
        reg.num = num;
        reg.node = node;
        reg
    }

    pub(crate) const fn constant(n: u64) -> Reg {
        Reg::scalar(Scalar::constant(n), Node::ROOT)
    }

    pub(crate) const fn unknown() -> Reg {
        Reg::scalar(Scalar::UNKNOWN, Node::ROOT)
    }

    pub(crate) const fn pointer(kind: Kind) -> Reg {
        let mut reg = Reg::constant(0);
        reg.kind = kind;
        reg
    }

    pub(crate) fn is_scalar(&self) -> bool {
        self.kind == Kind::Scalar
    }

    pub(crate) fn is_pointer(&self) -> bool {
        self.kind.is_pointer()
    }

    /// The number, if the register holds one number only.
    pub(crate) fn as_const(&self) -> Option<u64> {
        if self.is_scalar() {
            self.num.as_const()
        } else {
            None
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.as_const() == Some(0)
    }

    pub(crate) fn unlink(&mut self) {
        self.id = 0;
        self.delta = None;
    }
}

/// One byte of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Byte {
    /// Never written.
    Invalid,
    /// Some number.
    Misc,
    Zero,
    /// Part of the register saved in the slot.
    Spill,
    /// Part of an iterator, described by the register of its first slot.
    Iterator,
}

/// Eight aligned bytes of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// From the lowest address.
    pub bytes: [Byte; 8],
    pub reg: Reg,
    /// Marked when the slot is read.
    pub read: Node,
}

impl Slot {
    pub(crate) const EMPTY: Slot = Slot {
        bytes: [Byte::Invalid; 8],
        reg: Reg::UNINIT,
        read: Node::ROOT,
    };

    pub(crate) fn is_spill(&self) -> bool {
        self.bytes[0] == Byte::Spill
    }

    /// How many low bytes the saved register takes.
    pub(crate) fn spill_size(&self) -> u32 {
        self.bytes.iter().take_while(|b| **b == Byte::Spill).count() as u32
    }

    /// Turns what is left of a saved register into bytes of unknown value.
    pub(crate) fn scrub(&mut self) {
        if self.bytes.contains(&Byte::Iterator) {
            self.bytes = [Byte::Misc; 8];
            self.reg = Reg::UNINIT;
        }
        if self.is_spill() {
            for b in &mut self.bytes {
                if *b == Byte::Spill {
                    *b = Byte::Misc;
                }
            }
            self.reg = Reg::UNINIT;
        }
    }
}

/// How the function of a frame was entered when not by a plain call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Callback {
    /// The helper that calls it.
    pub helper: u32,
    /// The results that the helper takes.
    pub max_result: u64,
    /// References held when it was entered.
    pub references: usize,
}

/// A function on the way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub regs: [Reg; 11],
    /// Slot `i` is the eight bytes that begin at `-8 * (i + 1)`.
    pub stack: Vec<Slot>,
    /// The slot of the call instruction that made this frame.
    pub callsite: usize,
    /// The function, by its place in the list of functions.
    pub function: usize,
    pub callback: Option<Callback>,
    /// How often each callback loop of this frame has run on this path.
    pub callback_depth: u32,
}

impl Frame {
    pub(crate) fn new(number: usize, function: usize, callsite: usize) -> Frame {
        let mut regs = [Reg::UNINIT; 11];
        regs[10] = Reg::pointer(Kind::Stack(number as u8));
        Frame {
            regs,
            stack: Vec::new(),
            callsite,
            function,
            callback: None,
            callback_depth: 0,
        }
    }

    pub(crate) fn reg(&self, name: RegName) -> &Reg {
        &self.regs[name.index()]
    }

    pub(crate) fn reg_mut(&mut self, name: RegName) -> &mut Reg {
        &mut self.regs[name.index()]
    }

    /// The slot that holds the byte at `off`, which is negative and at least -512.
    pub(crate) fn slot_mut(&mut self, off: i64) -> &mut Slot {
        let index = slot_index(off);
        if self.stack.len() <= index {
            self.stack.resize(index + 1, Slot::EMPTY);
        }
        &mut self.stack[index]
    }

    pub(crate) fn slot(&self, off: i64) -> Option<&Slot> {
        self.stack.get(slot_index(off))
    }
}

/// The index of the slot that holds the byte at `off`.
pub(crate) fn slot_index(off: i64) -> usize {
    usize::try_from((-off - 1) / 8).unwrap_or(0).min(63)
}

/// The byte's place in its slot.
pub(crate) fn byte_index(off: i64) -> usize {
    off.rem_euclid(8) as usize
}

/// Something that must be given back before the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub id: u32,
    /// The slot of the call that acquired it.
    pub origin: usize,
}

/// A spin lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// Of the map value that holds the lock.
    pub id: u32,
    pub map: MapRef,
    pub origin: usize,
}

/// One point of one path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// The innermost last; never empty.
    pub frames: Vec<Frame>,
    pub references: Vec<Reference>,
    pub lock: Option<Lock>,
    /// The slot that is next.
    pub pc: usize,
    /// The checkpoint that this path left last.
    pub parent: Option<u32>,
    /// Whether a callback has just returned to the helper that called it.
    pub resumed: bool,
    /// The last branch taken.
    pub trail: u32,
}

impl State {
    pub(crate) fn frame(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    pub(crate) fn frame_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    pub(crate) fn reg(&self, name: RegName) -> &Reg {
        self.frame().reg(name)
    }

    pub(crate) fn reg_mut(&mut self, name: RegName) -> &mut Reg {
        self.frame_mut().reg_mut(name)
    }

    /// Applies `f` to all registers, saved ones included.
    pub(crate) fn each_reg(&mut self, mut f: impl FnMut(&mut Reg)) {
        for frame in &mut self.frames {
            frame.regs.iter_mut().for_each(&mut f);
            for slot in &mut frame.stack {
                if slot.is_spill() {
                    f(&mut slot.reg);
                }
            }
        }
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Uninit => return f.write_str("?"),
            Kind::Scalar => return write!(f, "{}", self.num),
            Kind::Context => f.write_str("ctx")?,
            Kind::Map(m) => write!(f, "map#{}", m.index)?,
            Kind::MapKey(m) => write!(f, "key#{}", m.index)?,
            Kind::MapValue(m) => write!(f, "value#{}", m.index)?,
            Kind::Stack(n) => write!(f, "fp{n}")?,
            Kind::Packet => write!(f, "packet(range={})", self.range)?,
            Kind::PacketMeta => write!(f, "meta(range={})", self.range)?,
            Kind::PacketEnd => f.write_str("packet_end")?,
            Kind::Memory { size, .. } => write!(f, "mem[{size}]")?,
            Kind::Record { size } => write!(f, "record[{size}]")?,
            Kind::Function(slot) => write!(f, "fn@{slot}")?,
            Kind::Socket(_) => f.write_str("sock")?,
            Kind::FlowKeys => f.write_str("flow_keys")?,
            Kind::Buffer => f.write_str("buffer")?,
            Kind::Iterator { .. } => f.write_str("iterator")?,
        }
        if self.nullable {
            f.write_str("?")?;
        }
        if self.off != 0 {
            write!(f, "{:+}", self.off)?;
        }
        match self.num.as_const() {
            Some(0) => Ok(()),
            _ => write!(f, "+({})", self.num),
        }
    }
}

impl fmt::Display for State {
    /// The registers that hold something, then the stack from its upper end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.frame();
        let mut separator = "";
        for (i, reg) in frame.regs.iter().enumerate().take(10) {
            if reg.kind != Kind::Uninit {
                write!(f, "{separator}r{i}={reg}")?;
                separator = " ";
            }
        }
        for (i, slot) in frame.stack.iter().enumerate() {
            if slot.bytes == [Byte::Invalid; 8] {
                continue;
            }
            write!(f, "{separator}fp-{}=", (i + 1) * 8)?;
            separator = " ";
            if slot.spill_size() == 8 {
                write!(f, "{}", slot.reg)?;
                continue;
            }
            for b in slot.bytes {
                f.write_str(match b {
                    Byte::Invalid => "?",
                    Byte::Misc => "m",
                    Byte::Zero => "0",
                    Byte::Spill => "r",
                    Byte::Iterator => "i",
                })?;
            }
        }
        Ok(())
    }
}
