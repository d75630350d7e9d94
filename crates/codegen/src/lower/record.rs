//! Records: what a program tells user space, and what it counts when it cannot.

use std::sync::Arc;

use beetrace_isa::{AluOp, JmpOp, Size, helper};
use beetrace_lang::types::{IntType, Type};
use beetrace_object::{Action, Aggregate, FailureSeverity, Loss, RECORD_HEADER, Record, Signature};

use super::func::{Lower, Test};
use super::memory::{Memory, Place};
use super::{Result, unit};
use crate::ir::{Effect, FuncId, Op, Value};

/// Flag of `bpf_perf_event_output`: the buffer of this processor.
const BPF_F_CURRENT_CPU: i64 = 0xffff_ffff;

impl Lower<'_, '_> {
    /// The record of an action, and its fields.
    pub(super) fn record(&mut self, action: Action, types: &[Type]) -> (u32, Arc<Aggregate>) {
        let fields = unit::fields(self.unit, types);
        let record = Record {
            action,
            fields: fields.clone(),
        };
        (self.unit.record(record), fields)
    }

    /// Sends a record whose fields `fill` writes. Between the two there is no way out of the program.
    pub(super) fn send(
        &mut self,
        record: u32,
        fill: impl FnOnce(&mut Self, Place) -> Result<()>,
    ) -> Result<()> {
        let size = self.unit.record_size(record);
        self.send_numbered(size, |l| l.iconst(i64::from(record)), fill)
    }

    /// The same, where the record's number need not be a constant.
    fn send_numbered(
        &mut self,
        size: u32,
        number: impl FnOnce(&mut Self) -> Value,
        fill: impl FnOnce(&mut Self, Place) -> Result<()>,
    ) -> Result<()> {
        let map = self.unit.records_map();
        if !self.unit.target.ring_buffer {
            return self.send_by_perf(map, size, number, fill);
        }
        let map = self.map_ref(map);
        let length = self.iconst(i64::from(size));
        let none = self.iconst(0);
        let args = [map, length, none];
        let room = self.call(helper::RINGBUF_RESERVE, &args, Effect::Writes);
        self.if_found(
            room,
            |l, place| {
                let number = number(l);
                l.store(place, Size::B8, number);
                fill(l, place.at(i64::from(RECORD_HEADER)))?;
                let flags = l.iconst(0);
                l.call(helper::RINGBUF_SUBMIT, &[room, flags], Effect::Writes);
                Ok(())
            },
            |l| l.count_loss(Loss::RecordDropped),
        )
    }

    fn send_by_perf(
        &mut self,
        map: u32,
        size: u32,
        number: impl FnOnce(&mut Self) -> Value,
        fill: impl FnOnce(&mut Self, Place) -> Result<()>,
    ) -> Result<()> {
        let mark = self.mark();
        let place = self.temporary(size);
        let number = number(self);
        self.store(place, Size::B8, number);
        fill(self, place.at(i64::from(RECORD_HEADER)))?;
        let map = self.map_ref(map);
        let flags = self.iconst(BPF_F_CURRENT_CPU);
        let (data, length) = (self.address(place), self.iconst(i64::from(size)));
        let args = [self.f.context, map, flags, data, length];
        let result = self.call(helper::PERF_EVENT_OUTPUT, &args, Effect::Writes);
        self.release(mark);
        let zero = self.iconst(0);
        self.when(Test(JmpOp::Ne, result, zero), |l| {
            l.count_loss(Loss::RecordDropped)
        })
    }

    /// A record without fields.
    pub(super) fn message(&mut self, action: Action) -> Result<()> {
        let (record, _) = self.record(action, &[]);
        self.send(record, |_, _| Ok(()))
    }

    /// Tells of a helper's failure, and counts what was lost by it. All failures of a program share the code.
    pub(super) fn helper_failed(
        &mut self,
        helper: u32,
        result: Value,
        severity: FailureSeverity,
        loss: Option<Loss>,
    ) -> Result<()> {
        let action = Action::HelperFailed {
            helper,
            span: self.f.b.span(),
            severity,
        };
        let (record, _) = self.record(action, &[Type::Int(IntType::I32)]);
        let function = self.failure_function(record, loss)?;
        let number = self.iconst(i64::from(record));
        // Only a record that goes through a perf event array needs the context.
        let context = if self.unit.target.ring_buffer {
            self.iconst(0)
        } else {
            self.f.context
        };
        let args = vec![context, number, result];
        self.f.b.def(Op::CallLocal { function, args });
        Ok(())
    }

    /// A function of context, record and result.
    fn failure_function(&mut self, record: u32, loss: Option<Loss>) -> Result<FuncId> {
        if let Some((_, id)) = self.failures.iter().find(|(l, _)| *l == loss) {
            return Ok(*id);
        }
        let outer = self.begin_function("failed", Signature::Subprogram(3), 3);
        if let Some(loss) = loss {
            self.count_loss(loss)?;
        }
        let (number, result) = (self.f.b.param(1), self.f.b.param(2));
        let size = self.unit.record_size(record);
        self.send_numbered(
            size,
            |_| number,
            |l, fields| {
                l.store(fields, Size::B4, result);
                Ok(())
            },
        )?;
        let done = self.iconst(0);
        self.f.b.ret(done);
        let id = self.end_function(outer);
        self.failures.push((loss, id));
        Ok(id)
    }

    /// Tells of a helper's failure where the run asked to know.
    pub(super) fn report_failure(&mut self, helper: u32, result: Value) -> Result<()> {
        if !self.unit.target.report_failures {
            return Ok(());
        }
        let zero = self.iconst(0);
        self.when(Test(JmpOp::Slt, result, zero), |l| {
            l.helper_failed(helper, result, FailureSeverity::Verbose, None)
        })
    }

    /// Counts something that was lost.
    pub(super) fn count_loss(&mut self, loss: Loss) -> Result<()> {
        let map = self.unit.losses_map();
        let mark = self.mark();
        let key = self.temporary(8);
        let zero = self.iconst(0);
        self.store(key, Size::B8, zero);
        let key = self.address(key);
        let found = self.lookup(map, key);
        self.release(mark);
        self.when(Test(JmpOp::Ne, found, zero), |l| {
            let counter = Place::value(found, Memory::Own).at(i64::from(loss as u32) * 8);
            let old = l.load_raw(counter, Size::B8, false);
            let new = l.binary_imm(AluOp::Add, old, 1);
            l.store(counter, Size::B8, new);
            Ok(())
        })
    }
}
