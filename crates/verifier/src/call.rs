//! Calls of functions of the program, and the ends of functions.

use beetrace_isa::{Reg as RegName, helper};

use crate::code::target;
use crate::context::return_range;
use crate::dag::Node;
use crate::explore::{Flow, MAX_FRAMES, Verifier};
use crate::program::{ArgumentType, FunctionLinkage};
use crate::reject::{Check, RejectKind, reject, unsupported};
use crate::scalar::Scalar;
use crate::state::{Callback, Frame, Kind, Reg, State};

impl Verifier<'_> {
    pub(crate) fn call_local(&mut self, state: &mut State, rel: i32) -> Check<Flow> {
        let function = target(state.pc, rel.into()).and_then(|s| self.code.function_starting(s));
        let Some(function) = function else {
            return reject(RejectKind::ControlFlow, "there is no function to call here");
        };
        let linkage = self.code.functions.get(function).map(|f| f.linkage.clone());
        if let Some(FunctionLinkage::Global { arguments, returns }) = linkage {
            return self.call_global(state, function, &arguments, returns);
        }
        let start = self.code.functions.get(function).map_or(0, |f| f.start);
        let callsite = state.pc;
        self.enter(state, function, callsite)?;
        let caller = state.frames.len() - 2;
        let mut arguments = [Reg::UNINIT; 5];
        if let Some(frame) = state.frames.get_mut(caller) {
            arguments.copy_from_slice(&frame.regs[1..6]);
            for reg in frame.regs.iter_mut().take(6) {
                *reg = Reg::UNINIT;
            }
        }
        state.frame_mut().regs[1..6].copy_from_slice(&arguments);
        state.pc = start;
        Ok(Flow::Continue)
    }

    /// Adds a frame for the function.
    pub(crate) fn enter(&mut self, state: &mut State, function: usize, callsite: usize) -> Check {
        if state.frames.len() >= MAX_FRAMES {
            return reject(
                RejectKind::CallDepth,
                format!("calls are more than {MAX_FRAMES} deep"),
            );
        }
        let number = state.frames.len();
        state.frames.push(Frame::new(number, function, callsite));
        Ok(())
    }

    /// A function that is verified on its own: only its arguments are checked.
    fn call_global(
        &mut self,
        state: &mut State,
        function: usize,
        arguments: &[ArgumentType],
        returns: bool,
    ) -> Check<Flow> {
        let name = self
            .code
            .functions
            .get(function)
            .map_or_else(String::new, |f| f.name.clone());
        if state.lock.is_some() {
            return reject(
                RejectKind::Lock,
                format!("global function `{name}` is called while a lock is held"),
            )
            .map_err(|stop| {
                stop.help("make the function static, or release the lock before the call")
            });
        }
        for (argument, reg) in arguments.iter().zip(RegName::ALL.iter().skip(1)) {
            self.check_global_argument(state, *reg, argument)?;
        }
        if let Some(called) = self.called.get_mut(function) {
            *called = true;
        }
        if self.code.changes_packet.get(function) == Some(&true) {
            self.forget_packet(state);
        }
        let frame = state.frame_mut();
        for reg in frame.regs.iter_mut().take(6) {
            *reg = Reg::UNINIT;
        }
        if returns {
            frame.regs[0] = Reg::unknown();
        }
        state.pc += 1;
        Ok(Flow::Continue)
    }

    fn check_global_argument(
        &mut self,
        state: &mut State,
        name: RegName,
        argument: &ArgumentType,
    ) -> Check {
        let reg = *self.read(state, name)?;
        match argument {
            ArgumentType::Scalar if reg.is_scalar() => Ok(()),
            ArgumentType::Context if reg.kind == Kind::Context && reg.off == 0 && !reg.nullable => {
                Ok(())
            }
            ArgumentType::Memory { nonnull: false, .. } if reg.is_zero() => {
                self.need(&reg);
                Ok(())
            }
            ArgumentType::Memory { size, nonnull } if reg.is_pointer() => {
                let mut checked = reg;
                if !nonnull {
                    checked.nullable = false;
                }
                self.check_memory(state, name, &checked, *size, false, false)?;
                self.check_memory(state, name, &checked, *size, true, false)
            }
            ArgumentType::Unsupported(what) => unsupported(format!("an argument of type {what}")),
            _ => reject(
                RejectKind::Argument,
                format!(
                    "{name} is {}, which this function cannot be given",
                    reg.kind.title()
                ),
            ),
        }
    }

    /// Pointers into the packet lose their meaning.
    pub(crate) fn forget_packet(&mut self, state: &mut State) {
        state.each_reg(|reg| {
            if reg.kind.is_packet() || reg.kind == Kind::PacketEnd {
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
    }

    pub(crate) fn exit(&mut self, state: &mut State) -> Check<Flow> {
        if state.frames.len() > 1 {
            return self.leave(state);
        }
        self.read_result(state)?;
        self.check_left(state)?;
        let result = *state.reg(RegName::R0);
        if self.root != 0 {
            if result.kind != Kind::Uninit && !result.is_scalar() {
                return reject(
                    RejectKind::ReturnValue,
                    "a global function returns a pointer instead of a number",
                );
            }
            return Ok(Flow::End);
        }
        if let Some((min, max)) = return_range(self.kind()) {
            if !result.is_scalar() {
                return reject(
                    RejectKind::ReturnValue,
                    format!(
                        "the program returns {} instead of a number",
                        result.kind.title()
                    ),
                );
            }
            self.need(&result);
            if result.num.s64.min < min || result.num.s64.max > max {
                return reject(
                    RejectKind::ReturnValue,
                    format!("the program must return {min} to {max}"),
                )
                .map_err(|stop| stop.fact(format!("r0 is {}", result.num)));
            }
        }
        Ok(Flow::End)
    }

    /// The result, which a function without one need not have.
    fn read_result(&self, state: &State) -> Check {
        let function = self.code.functions.get(self.root).map(|f| &f.linkage);
        if self.root != 0
            && matches!(
                function,
                Some(FunctionLinkage::Global { returns: false, .. })
            )
        {
            return Ok(());
        }
        self.read(state, RegName::R0)
            .map(|_| ())
            .map_err(|stop| stop.help("set r0 on every path before the function ends"))
    }

    /// Nothing is left behind at the end of the program.
    pub(crate) fn check_left(&self, state: &State) -> Check {
        if let Some(lock) = &state.lock {
            return reject(
                RejectKind::Lock,
                format!("the lock taken {} is still held", self.place(lock.origin)),
            );
        }
        match state.references.first() {
            Some(r) => reject(
                RejectKind::Reference,
                format!(
                    "what was acquired {} is not given back",
                    self.place(r.origin)
                ),
            ),
            None => Ok(()),
        }
    }

    /// Returns from a subprogram or a callback to its caller.
    fn leave(&mut self, state: &mut State) -> Check<Flow> {
        let result = *state.reg(RegName::R0);
        if matches!(result.kind, Kind::Stack(_)) {
            return reject(
                RejectKind::Access,
                "a pointer to the stack is returned to the caller, where that stack is gone",
            );
        }
        let Some(frame) = state.frames.pop() else {
            return Ok(Flow::End);
        };
        let Some(callback) = frame.callback else {
            *state.reg_mut(RegName::R0) = result;
            state.pc = frame.callsite + 1;
            return Ok(Flow::Continue);
        };
        if !result.is_scalar() {
            return reject(RejectKind::ReturnValue, "a callback must return a number");
        }
        self.need(&result);
        if result.num.u64.max > callback.max_result {
            return reject(
                RejectKind::ReturnValue,
                format!(
                    "a callback of this helper must return 0 to {}",
                    callback.max_result
                ),
            )
            .map_err(|stop| stop.fact(format!("r0 is {}", result.num)));
        }
        if state.references.len() > callback.references {
            return reject(RejectKind::Reference, "a callback keeps what it acquired");
        }
        // The helper may call again: go on at the call itself.
        state.pc = frame.callsite;
        state.resumed = true;
        self.widen(state);
        Ok(Flow::Continue)
    }

    /// Follows the callback of a helper once, on a path of its own.
    pub(crate) fn call_back(&mut self, state: &mut State, id: u32, function_reg: RegName) -> Check {
        let Kind::Function(start) = state.reg(function_reg).kind else {
            return reject(RejectKind::Argument, "there is no callback to call");
        };
        let Some(function) = self.code.function_starting(start as usize) else {
            return reject(RejectKind::ControlFlow, "there is no callback to call");
        };
        let callsite = state.pc;
        let regs = state.frame().regs;
        let rounds = state.frame().callback_depth;
        if id == helper::LOOP {
            self.need(&regs[1]);
            if u64::from(rounds) >= regs[1].num.u64.max {
                state.frame_mut().callback_depth = 0;
                return Ok(());
            }
        }
        let mut inside = state.clone();
        inside.frame_mut().callback_depth = rounds.saturating_add(1);
        self.enter(&mut inside, function, callsite)?;
        let references = inside.references.len();
        let frame = inside.frame_mut();
        frame.callback = Some(Callback {
            helper: id,
            max_result: 1,
            references,
        });
        if id == helper::LOOP {
            frame.regs[1] = Reg::scalar(Scalar::UNKNOWN, Node::ROOT);
            frame.regs[2] = regs[3];
        } else if let Kind::Map(map) = regs[1].kind {
            frame.regs[1] = regs[1];
            frame.regs[2] = Reg::pointer(Kind::MapKey(map));
            let mut value = Reg::pointer(Kind::MapValue(map));
            if self.map(map)?.spin_lock.is_some() {
                value.id = self.new_id(callsite);
                inside.frame_mut().regs[3] = value;
            } else {
                frame.regs[3] = value;
            }
            inside.frame_mut().regs[4] = regs[3];
        }
        inside.pc = start as usize;
        self.push_pending(inside)?;
        state.frame_mut().callback_depth = 0;
        Ok(())
    }
}
