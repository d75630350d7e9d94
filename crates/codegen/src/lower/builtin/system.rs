//! Built-ins that reach into the kernel: signals, overridden results, per-CPU variables, sockets.

use beetrace_isa::{AluOp, JmpOp, Size, helper};
use beetrace_lang::span::Span;
use beetrace_lang::typed::{Expr, StringTable};
use beetrace_lang::types::{Clock, Type};
use beetrace_object::Action;

use crate::ir::{Effect, Op, Value};
use crate::lower::func::{Lower, Test};
use crate::lower::memory::{Memory, Place};
use crate::lower::{LowerError, Result, tables};

impl Lower<'_, '_> {
    pub(super) fn signal(&mut self, number: &Expr, thread: bool) -> Result<Value> {
        let number = self.scalar(number)?;
        let helper = if thread {
            helper::SEND_SIGNAL_THREAD
        } else {
            helper::SEND_SIGNAL
        };
        let result = self.call(helper, &[number], Effect::Writes);
        self.report_failure(helper, result)?;
        Ok(result)
    }

    pub(super) fn override_return(&mut self, value: &Expr) -> Result<Value> {
        let value = self.scalar(value)?;
        let args = [self.f.context, value];
        Ok(self.call(helper::OVERRIDE_RETURN, &args, Effect::Writes))
    }

    /// The address of a per-CPU variable: of this processor, or of another; zero where there is no such processor.
    pub(super) fn per_cpu_address(&mut self, btf_id: u32, cpu: Option<&Expr>) -> Result<Value> {
        let symbol = self.f.b.def(Op::KernelSymbol { btf_id });
        match cpu {
            None => {
                let address = self.call(helper::THIS_CPU_PTR, &[symbol], Effect::Reads);
                Ok(self.launder(address))
            }
            Some(cpu) => {
                let cpu = self.scalar(cpu)?;
                let address = self.call(helper::PER_CPU_PTR, &[symbol, cpu], Effect::Reads);
                let zero = self.iconst(0);
                self.choose(
                    Test(JmpOp::Ne, address, zero),
                    |l| Ok(l.launder(address)),
                    |_| Ok(zero),
                )
            }
        }
    }

    pub(super) fn socket_cookie(&mut self, socket: &Expr) -> Result<Value> {
        if self.btf().pointer(socket).is_none() {
            return Err(LowerError::Unsupported {
                what: "socket_cookie()",
                needs: "a pointer to a socket that the verifier knows by its BTF type",
                span: socket.span,
            });
        }
        let socket = self.btf_pointer(socket)?;
        let zero = self.iconst(0);
        self.choose(
            Test(JmpOp::Ne, socket, zero),
            |l| Ok(l.call(helper::GET_SOCKET_COOKIE, &[socket], Effect::Reads)),
            |_| Ok(zero),
        )
    }

    /// Prints into the kernel's trace pipe. The helper takes three values by themselves, or many in a row.
    pub(in crate::lower) fn debug(&mut self, format: &str, args: &[Expr]) -> Result<()> {
        let mark = self.mark();
        let text = [format.as_bytes(), &[0]].concat();
        let size = self.iconst(text.len() as i64);
        let text = self.constant(&text);
        let text = self.address(text);
        let mut values = Vec::new();
        for arg in args {
            values.push(match arg.ty {
                Type::Str(_) => {
                    let place = self.clean_place(arg)?;
                    self.address(place)
                }
                _ => self.number(arg)?,
            });
        }
        let mut all = vec![text, size];
        let helper = if values.len() <= 3 {
            all.extend(values);
            helper::TRACE_PRINTK
        } else {
            let row = self.temporary(values.len() as u32 * 8);
            for (i, value) in values.iter().enumerate() {
                self.store(row.at(i as i64 * 8), Size::B8, *value);
            }
            let len = self.iconst(values.len() as i64 * 8);
            all.extend([self.address(row), len]);
            helper::TRACE_VPRINTK
        };
        let result = self.call(helper, &all, Effect::Writes);
        self.release(mark);
        self.report_failure(helper, result)
    }

    /// Writes the bytes of a value into the memory of the user.
    pub(super) fn write_user(&mut self, dst: &Expr, src: &Expr, len: &Expr) -> Result<Value> {
        let to = self.number(dst)?;
        let mark = self.mark();
        let size = match &src.ty {
            Type::Pointer(to, _) => self.unit.size_of(to),
            ty => self.unit.size_of(ty),
        };
        let from = match &src.ty {
            Type::Pointer(..) => {
                let from = self.bytes_of(src)?;
                let copy = self.temporary(size);
                self.copy(copy, from, size)?;
                copy
            }
            _ => self.clean_place(src)?,
        };
        let wanted = self.scalar(len)?;
        let wanted = self.at_most(wanted, i64::from(size))?;
        let from = self.address(from);
        let args = [to, from, wanted];
        let result = self.call(helper::PROBE_WRITE_USER, &args, Effect::Writes);
        self.release(mark);
        self.report_failure(helper::PROBE_WRITE_USER, result)?;
        Ok(result)
    }

    /// Row of a table of strings, or what stands for a number that it does not have.
    pub(in crate::lower) fn table_row(
        &mut self,
        table: StringTable,
        index: &Expr,
        expr: &Expr,
    ) -> Result<Place> {
        let size = self.unit.size_of(&expr.ty);
        let map = self.unit.table(table);
        let row_size = self.unit.map(map).map_or(8, |m| m.value_size);
        let index = self.table_index(table, index)?;
        let mark = self.mark();
        let key = self.temporary(8);
        self.store(key, Size::B8, index);
        let key = self.address(key);
        let found = self.lookup(map, key);
        self.release(mark);
        let mut unknown = tables::unknown(table).as_bytes().to_vec();
        unknown.resize(row_size as usize, 0);
        let zero = self.iconst(0);
        let address = self.choose(
            Test(JmpOp::Ne, found, zero),
            |_| Ok(found),
            |l| {
                let unknown = l.constant(&unknown);
                Ok(l.address(unknown))
            },
        )?;
        let row = Place::value(address, Memory::Own);
        if size <= row_size {
            return Ok(row);
        }
        let to = self.temporary(size);
        self.copy(to, row, row_size)?;
        self.zero(to.at(i64::from(row_size)), size - row_size);
        Ok(to)
    }

    /// Errors are mostly at hand negated.
    fn table_index(&mut self, table: StringTable, index: &Expr) -> Result<Value> {
        let index = self.scalar(index)?;
        if table != StringTable::Errno {
            return Ok(index);
        }
        let zero = self.iconst(0);
        self.choose(
            Test(JmpOp::Slt, index, zero),
            |l| Ok(l.binary(AluOp::Sub, zero, index)),
            |_| Ok(index),
        )
    }

    /// Sends a packet's bytes with the time, for a capture file.
    pub(super) fn skb_output(
        &mut self,
        path: &str,
        skb: &Expr,
        len: &Expr,
        offset: &Expr,
        span: Span,
    ) -> Result<Value> {
        let data = self.packet_data(skb, span)?;
        let wanted = self.scalar(len)?;
        let offset = self.scalar(offset)?;
        let action = Action::Packet {
            path: path.to_owned(),
        };
        let capacity = self.unit.program.max_strlen;
        let (record, fields) = self.record(action, &[Type::U64, Type::Buf(capacity)]);
        let at = fields.members.get(1).map_or(8, |m| i64::from(m.offset));
        let wanted = self.at_most(wanted, i64::from(capacity))?;
        self.send(record, |l, to| {
            let now = l.nanoseconds(Clock::Boot)?;
            l.store(to, Size::B8, now);
            l.store(to.at(at), Size::B4, wanted);
            let from = l.moved(data, offset);
            l.read_dynamic(to.at(at + 4), from, wanted)
        })?;
        Ok(self.iconst(0))
    }

    /// Where the bytes of a `struct sk_buff` begin.
    fn packet_data(&mut self, skb: &Expr, span: Span) -> Result<Place> {
        let structs = self.unit.program.structs.clone();
        let data = match &skb.ty {
            Type::Pointer(to, _) => match **to {
                Type::Struct(id, _) => structs.fields(id).iter().find(|f| f.name == "data"),
                _ => None,
            },
            _ => None,
        };
        let data = data.ok_or(LowerError::Unsupported {
            what: "skboutput()",
            needs: "a struct sk_buff with its data",
            span,
        })?;
        let place = self.pointed(skb)?.at(i64::from(data.offset));
        let start = self.load(place, Size::B8, false)?;
        Ok(Place::value(start, Memory::Kernel))
    }
}
