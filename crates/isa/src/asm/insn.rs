//! The grammar of one instruction.

use super::cursor::Cursor;
use super::{AsmErrorKind, Parsed, Target};
use crate::insn::{Imm64, Insn};
use crate::ops::{AluOp, AtomicOp, Endian, JmpOp, Reg, Size, Src, Width};

type Result<T> = std::result::Result<T, AsmErrorKind>;

fn plain(insn: Insn) -> Result<Parsed> {
    Ok(Parsed { insn, target: None })
}

pub(super) fn parse(c: &mut Cursor) -> Result<Parsed> {
    if c.take_word("exit") {
        plain(Insn::Exit)
    } else if c.take_word("goto") || c.take_word("gotol") {
        Ok(Parsed {
            insn: Insn::Ja { off: 0 },
            target: Some(target(c)?),
        })
    } else if c.take_word("if") {
        conditional(c)
    } else if c.take_word("call") {
        call(c)
    } else if c.take_word("lock") {
        plain(locked(c)?)
    } else if c.take("*") {
        plain(store(c)?)
    } else if let Some((width, dst)) = c.take_reg() {
        assignment(c, width, dst)
    } else {
        c.expected("an instruction")
    }
}

fn target(c: &mut Cursor) -> Result<Target> {
    if let Some(name) = c.word() {
        return Ok(Target::Name(name.to_owned()));
    }
    c.number("the jump").map(Target::Offset)
}

fn conditional(c: &mut Cursor) -> Result<Parsed> {
    let Some((width, dst)) = c.take_reg() else {
        return c.expected("a register");
    };
    let Some(op) = c.operator().and_then(|found| {
        JmpOp::ALL
            .into_iter()
            .find(|op| spelled(op.symbol()) == found)
    }) else {
        return c.expected("a comparison");
    };
    let src = operand(c, width)?;
    if !c.take_word("goto") {
        return c.expected("goto");
    }
    Ok(Parsed {
        insn: Insn::Jmp {
            width,
            op,
            dst,
            src,
            off: 0,
        },
        target: Some(target(c)?),
    })
}

/// Splits the `s` of a signed operator from its sign.
fn spelled(symbol: &'static str) -> (bool, &'static str) {
    match symbol.strip_prefix('s') {
        Some(sign) => (true, sign),
        None => (false, symbol),
    }
}

/// A register of this width or an immediate. Beside a 32-bit register the immediate may
/// also be written as an unsigned number.
fn operand(c: &mut Cursor, width: Width) -> Result<Src> {
    let Some(number) = c.take_number() else {
        return c.reg(width).map(Src::Reg);
    };
    let imm = i32::try_from(number).or_else(|_| match width {
        Width::W32 => u32::try_from(number).map(|n| n as i32),
        Width::W64 => i32::try_from(number),
    });
    imm.map(Src::Imm).map_err(|_| AsmErrorKind::Range {
        what: "the immediate",
    })
}

fn call(c: &mut Cursor) -> Result<Parsed> {
    if let Some(helper) = c.take_number() {
        let helper = u32::try_from(helper).map_err(|_| AsmErrorKind::Range {
            what: "the function number",
        })?;
        return plain(Insn::Call { helper });
    }
    let Some(name) = c.word() else {
        return c.expected("a function");
    };
    if name == "kfunc" && c.take("[") {
        let btf_id = c.number("the BTF id")?;
        let fd_idx = fd(c, "the index")?;
        c.sign("]")?;
        return plain(Insn::CallKfunc { btf_id, fd_idx });
    }
    if c.take("#") {
        let helper = c.number("the function number")?;
        return plain(Insn::Call { helper });
    }
    let target = match c.take_number() {
        Some(rel) if name == "pc" => {
            let what = "the call";
            Target::Offset(i64::try_from(rel).map_err(|_| AsmErrorKind::Range { what })?)
        }
        Some(_) => return c.expected("a function"),
        None => Target::Name(name.to_owned()),
    };
    Ok(Parsed {
        insn: Insn::CallLocal { rel: 0 },
        target: Some(target),
    })
}

/// `fd:N`, 0 if there is none.
fn fd<T: std::str::FromStr + Default>(c: &mut Cursor, what: &'static str) -> Result<T> {
    // The tokenizer keeps `fd:7` together; the sign of a negative number stands apart.
    let Some(word) = c.peek_word() else {
        return Ok(T::default());
    };
    let Some(digits) = word.strip_prefix("fd:") else {
        return c.expected("fd:");
    };
    c.word();
    let number = if digits.is_empty() {
        c.number::<i64>(what)?.to_string()
    } else {
        digits.to_owned()
    };
    number.parse().map_err(|_| AsmErrorKind::Range { what })
}

/// `(u64 *)`, giving the size and whether it is signed.
fn cast(c: &mut Cursor) -> Result<(bool, Size)> {
    c.sign("(")?;
    let found = scalar(c)?;
    c.sign("*")?;
    c.sign(")")?;
    Ok(found)
}

fn scalar(c: &mut Cursor) -> Result<(bool, Size)> {
    let word = c.peek_word().unwrap_or_default();
    let found = Size::ALL.into_iter().find_map(|size| {
        let signed = match word.split_at_checked(1)? {
            ("s", bits) if bits == size.bits().to_string() => true,
            ("u", bits) if bits == size.bits().to_string() => false,
            _ => return None,
        };
        Some((signed, size))
    });
    match found {
        Some(found) => {
            c.word();
            Ok(found)
        }
        None => c.expected("a type u8 to u64 or s8 to s64"),
    }
}

/// `(r6 + 8)`.
fn address(c: &mut Cursor) -> Result<(Reg, i16)> {
    c.sign("(")?;
    let reg = c.reg(Width::W64)?;
    let off = match c.take_number() {
        Some(off) => i16::try_from(off).map_err(|_| AsmErrorKind::Range { what: "the offset" })?,
        None => 0,
    };
    c.sign(")")?;
    Ok((reg, off))
}

/// `(u64 *)(r6 + 8)` where the type must be unsigned.
fn place(c: &mut Cursor) -> Result<(Size, Reg, i16)> {
    let (signed, size) = cast(c)?;
    if signed {
        return c.expected("an unsigned type before this");
    }
    let (reg, off) = address(c)?;
    Ok((size, reg, off))
}

fn store(c: &mut Cursor) -> Result<Insn> {
    let (size, dst, off) = place(c)?;
    c.sign("=")?;
    let src = operand(c, Width::W64)?;
    Ok(Insn::Store {
        size,
        dst,
        off,
        src,
    })
}

/// The width of an atomic operation's registers.
fn atomic_width(size: Size) -> Option<Width> {
    match size {
        Size::B4 => Some(Width::W32),
        Size::B8 => Some(Width::W64),
        Size::B1 | Size::B2 => None,
    }
}

fn locked(c: &mut Cursor) -> Result<Insn> {
    c.sign("*")?;
    let (size, dst, off) = place(c)?;
    let Some(width) = atomic_width(size) else {
        return c.expected("u32 or u64 before this");
    };
    let op = match c.operator() {
        Some((false, "+=")) => AtomicOp::Add { fetch: false },
        Some((false, "|=")) => AtomicOp::Or { fetch: false },
        Some((false, "&=")) => AtomicOp::And { fetch: false },
        Some((false, "^=")) => AtomicOp::Xor { fetch: false },
        _ => return c.expected("+=, |=, &= or ^="),
    };
    let src = c.reg(width)?;
    Ok(Insn::Atomic {
        op,
        size,
        dst,
        src,
        off,
    })
}

fn assignment(c: &mut Cursor, width: Width, dst: Reg) -> Result<Parsed> {
    let Some(op) = c.operator().and_then(|found| {
        AluOp::ALL
            .into_iter()
            .find(|op| spelled(op.symbol()) == found)
    }) else {
        return c.expected("an assignment");
    };
    if op != AluOp::Mov {
        let src = operand(c, width)?;
        return plain(Insn::Alu {
            width,
            op,
            dst,
            src,
        });
    }
    if c.take("*") {
        return load(c, width, dst);
    }
    if c.take("(") {
        return sign_extension(c, width, dst);
    }
    if let Some(value) = c.take_number() {
        return number(c, width, dst, value);
    }
    if c.take("-") {
        let src = c.reg(width)?;
        return if src == dst {
            plain(Insn::Neg { width, dst })
        } else {
            c.expected("the same register on both sides of a negation")
        };
    }
    if let Some((from, src)) = c.take_reg() {
        return if from == width {
            let src = Src::Reg(src);
            plain(Insn::Alu {
                width,
                op,
                dst,
                src,
            })
        } else {
            c.expected("registers of one width before this")
        };
    }
    match c.word() {
        Some(word @ ("map" | "var" | "func")) if width == Width::W64 => address_of(c, dst, word),
        Some(word) if word.starts_with("atomic") => plain(fetched(c, width, dst, word)?),
        Some(word) if width == Width::W64 => plain(swapped(c, dst, word)?),
        _ => c.expected("a value"),
    }
}

/// `r1 = 5`, or with `ll` behind it the wide form.
fn number(c: &mut Cursor, width: Width, dst: Reg, value: i128) -> Result<Parsed> {
    let range = |what| AsmErrorKind::Range { what };
    if width == Width::W64 && c.take_word("ll") {
        let value = u64::try_from(value)
            .or_else(|_| i64::try_from(value).map(|v| v as u64))
            .map_err(|_| range("the constant"))?;
        return plain(Insn::imm64(dst, value));
    }
    let imm = i32::try_from(value).or_else(|_| match width {
        Width::W32 => u32::try_from(value).map(|n| n as i32),
        Width::W64 => i32::try_from(value),
    });
    let imm = imm.map_err(|_| range("the immediate"))?;
    plain(Insn::Alu {
        width,
        op: AluOp::Mov,
        dst,
        src: Src::Imm(imm),
    })
}

/// `*(u64 *)(r6 + 8)` or `*(u8 *)skb[r1 + 5]`, the star taken.
fn load(c: &mut Cursor, width: Width, dst: Reg) -> Result<Parsed> {
    let (sign_extend, size) = cast(c)?;
    if width == Width::W32 {
        return c.expected("a 64-bit register left of this");
    }
    if c.take_word("skb") {
        if dst != Reg::R0 || sign_extend {
            return c.expected("r0 and an unsigned type left of this");
        }
        c.sign("[")?;
        let insn = match c.take_reg() {
            Some((_, src)) => {
                let imm = c.number("the offset")?;
                Insn::LdInd { size, src, imm }
            }
            None => {
                let imm = c.number("the offset")?;
                Insn::LdAbs { size, imm }
            }
        };
        c.sign("]")?;
        return plain(insn);
    }
    let (src, off) = address(c)?;
    plain(Insn::Load {
        size,
        sign_extend,
        dst,
        src,
        off,
    })
}

/// `(s8)r2`, the parenthesis taken.
fn sign_extension(c: &mut Cursor, width: Width, dst: Reg) -> Result<Parsed> {
    let (signed, from) = scalar(c)?;
    if !signed {
        return c.expected("a signed type before this");
    }
    c.sign(")")?;
    let src = c.reg(width)?;
    plain(Insn::MovSx {
        width,
        from,
        dst,
        src,
    })
}

/// `map[3] ll` and its relatives, the first word taken.
fn address_of(c: &mut Cursor, dst: Reg, word: &str) -> Result<Parsed> {
    c.sign("[")?;
    let mut goal = None;
    let imm = match word {
        "func" => {
            goal = Some(target(c)?);
            c.sign("]")?;
            Imm64::Func(0)
        }
        "var" => {
            let btf_id = c.number("the BTF id")?;
            let module_fd = fd(c, "the file descriptor")?;
            c.sign("]")?;
            Imm64::BtfVar { btf_id, module_fd }
        }
        _ => map(c)?,
    };
    if !c.take_word("ll") {
        return c.expected("ll");
    }
    Ok(Parsed {
        insn: Insn::LdImm64 { dst, imm },
        target: goal,
    })
}

/// `3]`, `3][0]+8`, `fd:3]` or `fd:3][0]+8`.
fn map(c: &mut Cursor) -> Result<Imm64> {
    let by_fd = c.peek_word().is_some();
    let (fd, idx) = if by_fd {
        (fd(c, "the file descriptor")?, 0)
    } else {
        (0, c.number("the map index")?)
    };
    c.sign("]")?;
    if !c.take("[") {
        return Ok(if by_fd {
            Imm64::MapFd(fd)
        } else {
            Imm64::MapIdx(idx)
        });
    }
    if c.take_number() != Some(0) {
        return c.expected("[0], as only the first value has an address, before this");
    }
    c.sign("]")?;
    let off = c.number("the offset")?;
    Ok(if by_fd {
        Imm64::MapFdValue { fd, off }
    } else {
        Imm64::MapIdxValue { idx, off }
    })
}

/// `atomic64_fetch_add((u64 *)(r1 + 0), r2)` and its relatives, the name taken.
fn fetched(c: &mut Cursor, width: Width, dst: Reg, name: &str) -> Result<Insn> {
    let (expected, name) = match name.strip_prefix("atomic64_") {
        Some(name) => (Width::W64, name),
        None => (Width::W32, name.strip_prefix("atomic_").unwrap_or(name)),
    };
    let op = match name {
        "fetch_add" => AtomicOp::Add { fetch: true },
        "fetch_or" => AtomicOp::Or { fetch: true },
        "fetch_and" => AtomicOp::And { fetch: true },
        "fetch_xor" => AtomicOp::Xor { fetch: true },
        "xchg" => AtomicOp::Xchg,
        "cmpxchg" => AtomicOp::CmpXchg,
        _ => return c.expected("an atomic operation before this"),
    };
    c.sign("(")?;
    let (size, base, off) = place(c)?;
    if atomic_width(size) != Some(width) || width != expected {
        return c.expected("one width throughout the operation before this");
    }
    c.sign(",")?;
    if op == AtomicOp::CmpXchg {
        if c.reg(width)? != Reg::R0 {
            return c.expected("the zeroth register before this");
        }
        c.sign(",")?;
    }
    let src = c.reg(width)?;
    c.sign(")")?;
    let result = if op == AtomicOp::CmpXchg {
        Reg::R0
    } else {
        src
    };
    if dst != result {
        return c.expected("the register that the operation writes left of it");
    }
    Ok(Insn::Atomic {
        op,
        size,
        dst: base,
        src,
        off,
    })
}

/// `be16 r1` and its relatives, the name taken.
fn swapped(c: &mut Cursor, dst: Reg, name: &str) -> Result<Insn> {
    let kinds = [
        ("le", Endian::Le),
        ("be", Endian::Be),
        ("bswap", Endian::Swap),
    ];
    let found = kinds.into_iter().find_map(|(prefix, op)| {
        let bits = name.strip_prefix(prefix)?;
        let size = [Size::B2, Size::B4, Size::B8]
            .into_iter()
            .find(|size| size.bits().to_string() == bits)?;
        Some((op, size))
    });
    let Some((op, size)) = found else {
        return c.expected("a byte order such as be16 before this");
    };
    if c.reg(Width::W64)? != dst {
        return c.expected("the same register on both sides");
    }
    Ok(Insn::Endian { op, size, dst })
}
