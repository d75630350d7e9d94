//! Actions: `printf`, `print`, `exit`, `clear`, `join` and the others that tell user space to do something.

use beetrace_isa::{AluOp, JmpOp, Size};
use beetrace_lang::span::Span;
use beetrace_lang::typed::{Action, Expr, MapId};
use beetrace_lang::types::Type;
use beetrace_object as object;

use super::analysis::is_plain;
use super::func::{Lower, Test};
use super::into::Fill;
use super::layout::Repr;
use super::memory::Place;
use super::{LowerError, Result, source_span};
use crate::ir::Value;

/// Arguments that `join` shows at the most, and the bytes of each.
const JOIN_ARGUMENTS: u32 = 16;
const JOIN_BYTES: u32 = 1024;

/// An argument that was evaluated before its record had a place.
enum Ready {
    Scalar(Size, Value),
    Memory(u32, Place),
}

impl Lower<'_, '_> {
    pub(super) fn action(&mut self, action: &Action, span: Span) -> Result<()> {
        match action {
            Action::Format { format, to, args } => {
                let action = object::Action::Format {
                    format: format.clone(),
                    to: *to,
                    span: source_span(span),
                };
                let args: Vec<&Expr> = args.iter().collect();
                self.send_values(action, &args)
            }
            Action::PrintValue(value) => self.send_values(object::Action::PrintValue, &[value]),
            Action::Unwatch(address) => self.send_values(object::Action::Unwatch, &[address]),
            Action::PrintMap { map, top, div } => {
                let (record, _) = self.record(
                    object::Action::PrintMap { map: map.0 },
                    &[Type::U32, Type::U32],
                );
                let (top, div) = (i64::from(*top), i64::from(*div));
                self.send(record, |l, fields| {
                    let (top, div) = (l.iconst(top), l.iconst(div));
                    l.store(fields, Size::B4, top);
                    l.store(fields.at(4), Size::B4, div);
                    Ok(())
                })
            }
            Action::PrintMapKey { map, key } => self.print_map_key(*map, key.as_ref(), span),
            Action::Clear(map) => self.message(object::Action::ClearMap { map: map.0 }),
            Action::Zero(map) => self.message(object::Action::ZeroMap { map: map.0 }),
            Action::Time { format } => self.message(object::Action::Time {
                format: format.clone(),
            }),
            Action::Exit(code) => {
                let code = self.scalar(code)?;
                let (record, _) = self.record(object::Action::Exit, &[Type::U64]);
                self.send(record, |l, fields| {
                    l.store(fields, Size::B8, code);
                    Ok(())
                })?;
                self.leave(None);
                Ok(())
            }
            Action::Debug { format, args } => self.debug(format, args),
            Action::Join { argv, separator } => self.join_arguments(argv, separator),
        }
    }

    /// Sends the values of expressions, built in the record itself where nothing can come in between.
    fn send_values(&mut self, action: object::Action, values: &[&Expr]) -> Result<()> {
        let types: Vec<Type> = values.iter().map(|v| v.ty.clone()).collect();
        let (record, fields) = self.record(action, &types);
        let offsets: Vec<i64> = fields.members.iter().map(|m| i64::from(m.offset)).collect();
        let mark = self.mark();
        if !self.unit.target.report_failures && values.iter().all(|v| is_plain(v)) {
            self.send(record, |l, to| {
                for (value, at) in values.iter().zip(&offsets) {
                    let mark = l.mark();
                    l.store_into(value, to.at(*at), Fill::Any)?;
                    l.release(mark);
                }
                Ok(())
            })?;
            self.release(mark);
            return Ok(());
        }
        let mut ready = Vec::with_capacity(values.len());
        for value in values {
            ready.push(match self.unit.repr(&value.ty) {
                Repr::Scalar { size, .. } => Ready::Scalar(size, self.scalar(value)?),
                Repr::Memory(len) => {
                    let to = self.temporary(len);
                    self.store_into(value, to, Fill::Any)?;
                    Ready::Memory(len, to)
                }
                Repr::Void => {
                    self.effect(value)?;
                    continue;
                }
            });
        }
        self.send(record, |l, to| {
            for (value, at) in ready.iter().zip(&offsets) {
                match value {
                    Ready::Scalar(size, value) => l.store(to.at(*at), *size, *value),
                    Ready::Memory(len, from) => l.copy(to.at(*at), *from, *len)?,
                }
            }
            Ok(())
        })?;
        self.release(mark);
        Ok(())
    }

    fn print_map_key(&mut self, map: MapId, key: Option<&Expr>, span: Span) -> Result<()> {
        let info = self.unit.map_info(map, span)?;
        let (key_type, value_type) = (info.key.clone(), info.value.clone());
        let (record, fields) = self.record(
            object::Action::PrintMapKey { map: map.0 },
            &[key_type.clone(), value_type],
        );
        let offset = fields.members.get(1).map_or(0, |m| i64::from(m.offset));
        let mark = self.mark();
        let key_size = self.unit.size_of(&key_type);
        let value_size = self.unit.size_of(&info.value);
        let key_place = match key {
            Some(key) => Some(self.clean_place(key)?),
            None => None,
        };
        let direct = self.direct(map, span)?;
        let is_hash = self.unit.map_kind(map).is_hash();
        let address = match key_place.filter(|_| is_hash) {
            Some(place) => self.address(place),
            None => self.key(map, None, span)?,
        };
        self.send(record, |l, to| {
            if let Some(place) = key_place {
                l.copy(to, place, key_size)?;
            }
            match direct {
                Some(place) => l.copy(to.at(offset), place, value_size),
                None => l.total_into(map, address, to.at(offset), span),
            }
        })?;
        self.release(mark);
        Ok(())
    }

    fn join_arguments(&mut self, argv: &Expr, separator: &str) -> Result<()> {
        let Type::Pointer(_, space) = argv.ty else {
            return Err(LowerError::Malformed {
                what: "join() needs a pointer",
                span: argv.span,
            });
        };
        let memory = super::memory::Memory::of(space);
        let argv = self.number(argv)?;
        let action = object::Action::Join {
            separator: separator.to_owned(),
        };
        let texts = Type::Array(Box::new(Type::Str(JOIN_BYTES)), JOIN_ARGUMENTS);
        let (record, _) = self.record(action, &[texts]);
        let mark = self.mark();
        self.send(record, |l, to| {
            let zero = l.iconst(0);
            for index in 0..JOIN_ARGUMENTS {
                l.store(to.at(i64::from(index * JOIN_BYTES)), Size::B1, zero);
            }
            let limit = l.iconst(i64::from(JOIN_ARGUMENTS));
            let (head, params) = l.f.b.block(1);
            let (body, _) = l.f.b.block(0);
            let (copy, _) = l.f.b.block(0);
            let (end, _) = l.f.b.block(0);
            l.f.b.jump(head, &[zero]);
            l.f.b.switch_to(head);
            l.f.ssa.begin_loop(&mut l.f.b, Vec::new());
            let index = l.only(&params)?;
            l.branch(Test(JmpOp::Lt, index, limit), body, end);
            l.f.b.switch_to(body);
            let distance = l.binary_imm(AluOp::Lsh, index, 3);
            let at = l.binary(AluOp::Add, argv, distance);
            let pointer = l.load(Place::value(at, memory), Size::B8, false)?;
            l.branch(Test(JmpOp::Ne, pointer, zero), copy, end);
            l.f.b.switch_to(copy);
            let distance = l.binary_imm(AluOp::Mul, index, i64::from(JOIN_BYTES));
            let to = l.moved(to, distance);
            l.string_into(to, Place::value(pointer, memory), JOIN_BYTES, Fill::Any)?;
            let next = l.binary_imm(AluOp::Add, index, 1);
            l.f.b.jump(head, &[next]);
            l.f.b.switch_to(end);
            Ok(())
        })?;
        self.release(mark);
        Ok(())
    }
}
