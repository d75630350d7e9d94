//! Types that a `comptime` condition was decided by: what it chose may not change them afterwards.

use crate::check::promote::{promote, same};
use crate::check::scope::VarRef;
use crate::check::{Checker, Run};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::typed::MapId;
use crate::types::Type;

/// What was asked for its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    Var(VarRef),
    Key(MapId),
    Value(MapId),
}

impl Checker<'_> {
    /// Notes that a condition that is being decided looks at the type.
    pub(crate) fn ask(&mut self, what: Asked, ty: &Type) {
        if self.run == Run::Decide && self.deciding && self.strict_depth > 0 {
            self.locked.entry(what).or_insert_with(|| ty.clone());
        }
    }

    /// Whether a new type goes with what was decided; reports where it does not.
    pub(crate) fn respects_lock(
        &mut self,
        what: Asked,
        name: &str,
        new: &Type,
        span: Span,
    ) -> bool {
        let Some(locked) = self.locked.get(&what).cloned() else {
            return true;
        };
        if promote(&locked, new).is_some_and(|p| same(&p, &locked)) {
            return true;
        }
        let message = format!(
            "Type mismatch for {name}: this type has been locked because it was used in another part of the type graph that was already resolved (e.g. `sizeof`, `typeinfo`, etc.). The new type '{}' doesn't fit into the locked type '{}'",
            self.type_name(new),
            self.type_name(&locked)
        );
        self.report(Diagnostic::error("locked-type", message).at(span, ""));
        false
    }
}
