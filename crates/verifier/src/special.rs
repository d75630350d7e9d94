//! Arguments with rules of their own: constant strings and spin locks.

use beetrace_isa::{Reg as RegName, helper};

use crate::explore::Verifier;
use crate::reject::{Check, RejectKind, reject};
use crate::state::{Kind, Lock, Reg, State};

impl Verifier<'_> {
    /// A constant, terminated string in a map that programs cannot change.
    pub(crate) fn check_string(&mut self, name: RegName, reg: &Reg) -> Check {
        let Kind::MapValue(map) = reg.kind else {
            return reject(
                RejectKind::Argument,
                format!(
                    "{name} must be a constant string, but is {}",
                    reg.kind.title()
                ),
            );
        };
        let def = self.map(map)?;
        let start = reg.num.as_const().map(|n| i64::from(reg.off) + n as i64);
        let bytes = def
            .frozen
            .as_ref()
            .zip(start)
            .and_then(|(bytes, start)| bytes.get(usize::try_from(start).ok()?..));
        match bytes {
            Some(bytes) if bytes.contains(&0) => Ok(()),
            _ => reject(
                RejectKind::Argument,
                format!("{name} must be a constant string in a read-only map, terminated by zero"),
            ),
        }
    }

    pub(crate) fn spin_lock(
        &mut self,
        state: &mut State,
        id: u32,
        name: RegName,
        reg: &Reg,
    ) -> Check {
        let Kind::MapValue(map) = reg.kind else {
            return reject(
                RejectKind::Argument,
                format!(
                    "{name} must be a lock in a map value, but is {}",
                    reg.kind.title()
                ),
            );
        };
        if reg.nullable {
            return reject(RejectKind::MayBeNull, format!("{name} may be null here"));
        }
        let def = self.map(map)?;
        let offset = reg.num.as_const().map(|n| i64::from(reg.off) + n as i64);
        match (def.spin_lock, offset) {
            (Some(at), Some(off)) if i64::from(at) == off && def.has_btf => {}
            (None, _) => {
                return reject(
                    RejectKind::Lock,
                    format!("the values of map `{}` have no lock", def.title()),
                );
            }
            _ => {
                return reject(
                    RejectKind::Lock,
                    format!("{name} does not point to the lock of the value"),
                );
            }
        }
        if id == helper::SPIN_LOCK {
            if let Some(held) = &state.lock {
                return reject(RejectKind::Lock, "a second lock is taken")
                    .map_err(|s| s.fact(format!("a lock was taken {}", self.place(held.origin))));
            }
            state.lock = Some(Lock {
                id: reg.id,
                map,
                origin: state.pc,
            });
            return Ok(());
        }
        match state.lock {
            None => reject(RejectKind::Lock, "a lock is released that is not held"),
            Some(lock) if lock.id != reg.id || lock.map != map => reject(
                RejectKind::Lock,
                "another lock than the one that is held is released",
            ),
            Some(_) => {
                state.lock = None;
                Ok(())
            }
        }
    }
}
