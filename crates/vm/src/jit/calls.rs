//! Calls: helpers, functions of the program, tail calls, and packet loads, which are calls too.

use std::mem::offset_of;

use beetrace_isa::{Reg, Size, helper};
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::CompileError;
use super::translate::{Translator, flags};
use crate::helpers;
use crate::run::Run;

/// Whether a tail call succeeded; what it gave is in [`Run::tail_result`].
extern "C" fn tail_call(
    run: &mut Run<'_>,
    context: u64,
    map: u64,
    index: u64,
    _: u64,
    _: u64,
) -> u64 {
    match run.tail_call(context, map, index) {
        Ok(value) => {
            run.tail_result = value;
            1
        }
        Err(errno) => {
            run.tail_result = errno.to_register();
            0
        }
    }
}

/// Whether the packet has the bytes; the value is in [`Run::tail_result`].
extern "C" fn load_packet(run: &mut Run<'_>, index: u64, size: u64, _: u64, _: u64, _: u64) -> u64 {
    let value = run.load_packet(index, size as usize);
    run.tail_result = value.unwrap_or(0);
    value.is_some().into()
}

impl Translator<'_, '_> {
    /// Calls a Rust function that has the signature of a helper.
    fn call_address(&mut self, function: helpers::Helper, args: [Value; 5]) -> Value {
        let callee = self.number(function as usize as u64);
        let [a, b, c, d, e] = args;
        let args = [self.run, a, b, c, d, e];
        let call = self.b.ins().call_indirect(self.helper, callee, &args);
        self.result(call)
    }

    fn result(&mut self, call: cranelift_codegen::ir::Inst) -> Value {
        match self.b.inst_results(call) {
            [value, ..] => *value,
            [] => self.number(0),
        }
    }

    fn arguments(&mut self) -> [Value; 5] {
        [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5].map(|reg| self.get(reg))
    }

    /// Gives whether the program goes on behind the call.
    pub(super) fn helper_call(&mut self, at: usize, id: u32) -> Result<bool, CompileError> {
        let args = self.arguments();
        if id == helper::TAIL_CALL {
            let done = self.call_address(tail_call, args);
            let value = self.call_result();
            self.return_if(done, true, value);
            self.set(Reg::R0, value);
            return Ok(true);
        }
        let function = helpers::find(id).ok_or(CompileError::Untranslated(at))?;
        let value = self.call_address(function, args);
        self.set(Reg::R0, value);
        Ok(true)
    }

    pub(super) fn local_call(&mut self, at: usize) -> Result<(), CompileError> {
        let function = self.function_ref(at)?;
        let [a, b, c, d, e] = self.arguments();
        let args = [self.run, a, b, c, d, e];
        let call = self.b.ins().call(function, &args);
        let value = self.result(call);
        self.set(Reg::R0, value);
        Ok(())
    }

    fn function_ref(&self, at: usize) -> Result<cranelift_codegen::ir::FuncRef, CompileError> {
        let functions = &self.program.functions;
        let index = functions.starts.binary_search(&functions.target(at)).ok();
        index
            .and_then(|i| self.functions.get(i).copied())
            .ok_or(CompileError::Untranslated(at))
    }

    pub(super) fn function_address(&mut self, at: usize) -> Result<Value, CompileError> {
        let function = self.function_ref(at)?;
        Ok(self.b.ins().func_addr(types::I64, function))
    }

    /// What a call left in the run's state.
    fn call_result(&mut self) -> Value {
        let offset = offset_of!(Run<'static>, tail_result) as i32;
        self.b.ins().load(types::I64, flags(), self.run, offset)
    }

    /// Returns from the function where `condition` is (or is not) zero.
    fn return_if(&mut self, condition: Value, holds: bool, value: Value) {
        let (leave, stay) = (self.b.create_block(), self.b.create_block());
        let (yes, no) = if holds { (leave, stay) } else { (stay, leave) };
        self.b.ins().brif(condition, yes, &[], no, &[]);
        self.b.switch_to_block(leave);
        self.b.ins().return_(&[value]);
        self.b.switch_to_block(stay);
    }

    /// A load behind the packet's end ends the program with 0.
    pub(super) fn load_packet(&mut self, size: Size, index: Option<Reg>, imm: i32) {
        let offset = self.number(i64::from(imm) as u64);
        let index = match index {
            Some(reg) => {
                let base = self.get(reg);
                self.b.ins().iadd(base, offset)
            }
            None => offset,
        };
        let bytes = self.number(size.bytes().into());
        let zero = self.number(0);
        let found = self.call_address(load_packet, [index, bytes, zero, zero, zero]);
        let value = self.call_result();
        self.return_if(found, false, zero);
        self.set(Reg::R0, value);
    }
}
