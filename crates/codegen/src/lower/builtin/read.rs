//! Reading memory that a pointer names: strings, buffers, addresses of networks and cards.

use beetrace_isa::{JmpOp, Size, helper};
use beetrace_lang::typed::Expr;
use beetrace_lang::types::Type;

use crate::ir::{Effect, Value};
use crate::lower::func::{Lower, Test};
use crate::lower::into::Fill;
use crate::lower::layout::Repr;
use crate::lower::memory::{Memory, Place};
use crate::lower::{LowerError, Result};

/// Address families (include/linux/socket.h).
const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;

/// Bytes that are zeroed before every string, without asking whether they need it.
const ZEROED_ALWAYS: u32 = 64;

impl Lower<'_, '_> {
    /// What a pointer points to, or an array itself.
    pub(in crate::lower) fn bytes_of(&mut self, expr: &Expr) -> Result<Place> {
        match &expr.ty {
            Type::Pointer(_, space) => {
                let address = self.scalar(expr)?;
                Ok(Place::value(address, Memory::of(*space)))
            }
            _ if self.is_scalar(expr) => {
                let address = self.scalar(expr)?;
                Ok(Place::value(address, Memory::Any))
            }
            Type::Buf(_) => Ok(self.place(expr)?.at(4)),
            _ => self.place(expr),
        }
    }

    pub(super) fn str_into(
        &mut self,
        pointer: &Expr,
        length: Option<&Expr>,
        to: Place,
        space: u32,
        fill: Fill,
    ) -> Result<()> {
        let from = self.bytes_of(pointer)?;
        let Some(length) = length else {
            return self.whole_string_into(to, from, space, fill);
        };
        let wanted = self.scalar(length)?;
        match fill {
            Fill::Clean => self.zero(to, space),
            Fill::Any => self.zero(to, 1),
        }
        let wanted = self.at_most(wanted, i64::from(space))?;
        self.read_str(to, from, wanted)?;
        Ok(())
    }

    /// A string that may fill its space to the last byte, where it then has no NUL: so user space sees that it was cut.
    fn whole_string_into(&mut self, to: Place, from: Place, space: u32, fill: Fill) -> Result<()> {
        let Some(last) = space.checked_sub(1) else {
            return Ok(());
        };
        if fill == Fill::Clean {
            self.zero(to, space);
        }
        self.read_whole_string(to, from, space, last)?;
        Ok(())
    }

    /// The result is that of the helper.
    fn read_whole_string(
        &mut self,
        to: Place,
        from: Place,
        space: u32,
        last: u32,
    ) -> Result<Value> {
        let len = self.iconst(i64::from(space));
        let read = self.read_str(to, from, len)?;
        // The helper keeps the last byte for its NUL.
        let fork = self.fork();
        let (full, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        self.branch(Test(JmpOp::Eq, read, len), full, end);
        self.f.b.switch_to(full);
        let at = i64::from(last);
        self.read(to.at(at), from.at(at), 1)?;
        self.f.b.jump(end, &[]);
        self.join(end, fork);
        Ok(read)
    }

    /// A string that is zero behind its end, in memory that only this place in the program uses. Each run notes how much of
    /// the memory its string takes, so that the next has only that to zero.
    pub(in crate::lower) fn buffered_string(
        &mut self,
        pointer: &Expr,
        space: u32,
    ) -> Result<Place> {
        let from = self.bytes_of(pointer)?;
        let used = self.own_scratch(space.saturating_add(8));
        let to = used.at(8);
        let limit = space.min(ZEROED_ALWAYS);
        self.zero(to, limit);
        let before = self.load_raw(used, Size::B8, false);
        let always = self.iconst(i64::from(limit));
        self.when(Test(JmpOp::Gt, before, always), |l| {
            let count = l.at_most(before, i64::from(space))?;
            let (address, nowhere) = (l.address(to), l.iconst(0));
            let args = [address, count, nowhere];
            l.call(helper::PROBE_READ_KERNEL, &args, Effect::Writes);
            Ok(())
        })?;
        let last = space.saturating_sub(1);
        let read = self.read_whole_string(to, from, space, last)?;
        // Where nothing could be read the helper zeroed it all.
        let zero = self.iconst(0);
        let count = self.choose(Test(JmpOp::Sgt, read, zero), |_| Ok(read), |_| Ok(zero))?;
        self.store(used, Size::B8, count);
        Ok(to)
    }

    pub(super) fn buf_into(
        &mut self,
        pointer: &Expr,
        length: &Expr,
        to: Place,
        size: u32,
        fill: Fill,
    ) -> Result<()> {
        let capacity = size.saturating_sub(4);
        let from = self.bytes_of(pointer)?;
        if let Some(n) = crate::lower::analysis::constant(length) {
            let used = u32::try_from(n).unwrap_or(u32::MAX).min(capacity);
            let count = self.iconst(i64::from(used));
            self.store(to, Size::B4, count);
            if used > 0 {
                self.copy(to.at(4), from, used)?;
            }
            if fill == Fill::Clean {
                self.zero(to.at(4 + i64::from(used)), capacity - used);
            }
            return Ok(());
        }
        let wanted = self.scalar(length)?;
        if fill == Fill::Clean {
            self.zero(to, size);
        }
        let used = self.at_most(wanted, i64::from(capacity))?;
        self.store(to, Size::B4, used);
        self.read_dynamic(to.at(4), from, used)
    }

    pub(super) fn usym_into(&mut self, address: &Expr, to: Place) -> Result<()> {
        let address = self.number(address)?;
        self.usym_parts(address, to)
    }

    /// A user address with the process that it belongs to.
    pub(super) fn usym_parts(&mut self, address: Value, to: Place) -> Result<()> {
        self.store(to, Size::B8, address);
        let pid = self.process_id(false)?;
        self.store(to.at(8), Size::B4, pid);
        let program = self.iconst(i64::from(self.index));
        self.store(to.at(12), Size::B4, program);
        Ok(())
    }

    pub(super) fn inet_into(
        &mut self,
        family: Option<&Expr>,
        address: &Expr,
        to: Place,
    ) -> Result<()> {
        let size = match self.unit.repr(&address.ty) {
            Repr::Scalar { .. } => 4,
            Repr::Memory(size) => size.min(16),
            Repr::Void => 0,
        };
        let family = match family {
            Some(family) => self.scalar(family)?,
            None => self.iconst(if size == 16 { AF_INET6 } else { AF_INET }),
        };
        self.store(to, Size::B4, family);
        self.zero(to.at(4), 16);
        if self.is_scalar(address) {
            let number = self.scalar(address)?;
            self.store(to.at(4), Size::B4, number);
        } else {
            let from = self.place(address)?;
            self.copy(to.at(4), from, size)?;
        }
        Ok(())
    }

    pub(super) fn mac_into(&mut self, address: &Expr, to: Place) -> Result<()> {
        let from = self.bytes_of(address)?;
        self.copy(to, from, 6)
    }

    /// The path of a `struct path` that the verifier knows.
    pub(super) fn path_into(&mut self, path: &Expr, to: Place, len: u32) -> Result<()> {
        let place = self.bytes_of_struct(path)?;
        self.zero(to, len);
        let (Memory::Btf { .. }, address) = (place.memory, self.address(place)) else {
            return Err(LowerError::Unsupported {
                what: "path()",
                needs: "a struct path that the verifier knows by its BTF type",
                span: path.span,
            });
        };
        let zero = self.iconst(0);
        self.when(Test(JmpOp::Ne, address, zero), |l| {
            let (buffer, size) = (l.address(to), l.iconst(i64::from(len)));
            let result = l.call(helper::D_PATH, &[address, buffer, size], Effect::Writes);
            l.report_failure(helper::D_PATH, result)
        })
    }

    /// A struct, or what a pointer to one points to, where the verifier may know it.
    fn bytes_of_struct(&mut self, expr: &Expr) -> Result<Place> {
        match &expr.ty {
            Type::Pointer(..) => self.pointed(expr),
            _ => self.place(expr),
        }
    }
}
