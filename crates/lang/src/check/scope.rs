//! Scratch variables: where they are known, and what they hold.

use std::collections::HashMap;

use crate::check::Checker;
use crate::check::locked::Asked;
use crate::check::promote::{promote, settle};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::typed::{self, VarId};
use crate::types::{Space, Type};

/// How a variable came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Declaration,
    Assignment,
    Loop,
}

impl Origin {
    fn label(self) -> &'static str {
        match self {
            Origin::Declaration => "This is the initial declaration.",
            Origin::Assignment => "This is the initial assignment.",
            Origin::Loop => "This is the loop variable.",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct VarState {
    pub(crate) name: String,
    pub(crate) ty: Option<Type>,
    /// Declared with a type that fixes its size: assignments never change it.
    pub(crate) fixed: bool,
    /// Of an integer: the memory that it is an address of.
    pub(crate) space: Space,
    pub(crate) origin: Origin,
    pub(crate) span: Span,
    /// In this run: whether something was assigned before this point of the text.
    pub(crate) assigned: bool,
}

/// All variables of the script. One is found again in the next run by the probe and the place in the tree that made it.
#[derive(Default)]
pub(crate) struct Vars {
    all: Vec<VarState>,
    by_place: HashMap<(usize, usize), usize>,
}

/// Index into [`Vars`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VarRef(usize);

impl Vars {
    pub(crate) fn get(&self, var: VarRef) -> &VarState {
        &self.all[var.0]
    }

    pub(crate) fn get_mut(&mut self, var: VarRef) -> &mut VarState {
        &mut self.all[var.0]
    }
}

/// The variables of one probe as the compiler will see them.
#[derive(Default)]
pub(crate) struct Slots {
    pub(crate) vars: Vec<typed::Var>,
    ids: HashMap<VarRef, VarId>,
}

impl Checker<'_> {
    pub(crate) fn push_scope(&mut self) {
        self.now.scopes.push(Vec::new());
    }

    pub(crate) fn pop_scope(&mut self) {
        let Some(scope) = self.now.scopes.pop() else {
            return;
        };
        for (name, var) in scope {
            let var = self.vars.get(var);
            if var.origin == Origin::Declaration && !var.assigned && !name.contains('#') {
                let span = var.span;
                self.warn(
                    "never-assigned",
                    span,
                    format!("Variable {name} was never assigned to."),
                );
            }
        }
    }

    pub(crate) fn find_var(&self, name: &str) -> Option<VarRef> {
        self.now
            .scopes
            .iter()
            .flatten()
            .find(|(n, _)| n == name)
            .map(|(_, var)| *var)
    }

    /// Makes a variable known in the innermost block. `place` is the address of the tree's node that makes it.
    pub(crate) fn declare(
        &mut self,
        place: usize,
        name: &str,
        origin: Origin,
        span: Span,
    ) -> VarRef {
        let key = (self.now.index, place);
        let var = match self.vars.by_place.get(&key) {
            Some(&index) => VarRef(index),
            None => {
                self.vars.all.push(VarState {
                    name: name.to_owned(),
                    ty: None,
                    fixed: false,
                    space: Space::None,
                    origin,
                    span,
                    assigned: false,
                });
                let index = self.vars.all.len() - 1;
                self.vars.by_place.insert(key, index);
                VarRef(index)
            }
        };
        self.vars.get_mut(var).assigned = origin != Origin::Declaration;
        if let Some(scope) = self.now.scopes.last_mut() {
            scope.push((name.to_owned(), var));
        }
        var
    }

    /// Reports a second declaration of a name that is in scope.
    pub(crate) fn check_shadowing(&mut self, name: &str, span: Span, is_loop: bool) -> bool {
        let Some(var) = self.find_var(name) else {
            return true;
        };
        let earlier = self.vars.get(var);
        let message = if is_loop {
            format!("Loop declaration shadows existing variable: {name}")
        } else {
            format!("Variable {name} was already declared. Variable shadowing is not allowed.")
        };
        let diagnostic = Diagnostic::error("shadowing", message)
            .at(span, "")
            .label(earlier.span, earlier.origin.label());
        self.report(diagnostic);
        false
    }

    /// The variable that the name means where it is read.
    pub(crate) fn lookup_var(&mut self, name: &str, span: Span) -> Option<VarRef> {
        let found = self.find_var(name);
        if found.is_none() {
            let known: Vec<String> = self
                .now
                .scopes
                .iter()
                .flatten()
                .map(|(n, _)| n.clone())
                .filter(|n| !n.contains('#'))
                .collect();
            let mut diagnostic = Diagnostic::error(
                "unknown-variable",
                format!("Undefined or undeclared variable: {name}"),
            )
            .at(span, "");
            if let Some(near) = crate::suggest::nearest(name, known.iter().map(String::as_str)) {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            }
            self.report(diagnostic);
        }
        found
    }

    /// Takes a value's type into the variable's. An error is reported where they do not go together.
    pub(crate) fn widen_var(&mut self, var: VarRef, ty: &Type, space: Space, span: Span) -> bool {
        let state = self.vars.get(var);
        if state.fixed {
            return true;
        }
        let ty = stored(ty);
        let (current, name) = (state.ty.clone(), state.name.clone());
        if !self.respects_lock(Asked::Var(var), &name, &ty, span) {
            return false;
        }
        let state = self.vars.get(var);
        let promoted = match &current {
            None => Some(super::coerce::first_type(&ty)),
            Some(current) => promote(current, &ty),
        };
        let Some(promoted) = promoted else {
            let (name, current) = (state.name.clone(), current.unwrap_or(Type::Void));
            let message = format!(
                "Type mismatch for {name}: trying to assign value of type '{}' when variable already has a type '{}'",
                self.type_name(&ty),
                self.type_name(&current)
            );
            self.error("type-mismatch", span, message);
            return false;
        };
        let state = self.vars.get_mut(var);
        let differs = current.as_ref() != Some(&promoted);
        if differs {
            state.ty = Some(promoted);
            self.changed = true;
        }
        if space != Space::None && state.space == Space::None {
            state.space = space;
            self.changed = true;
        }
        true
    }

    /// The number of a variable in the program that is being built.
    pub(crate) fn slot(&mut self, var: VarRef) -> VarId {
        if let Some(&id) = self.now.slots.ids.get(&var) {
            return id;
        }
        let state = self.vars.get(var);
        let id = VarId(self.now.slots.vars.len() as u32);
        self.now.slots.vars.push(typed::Var {
            name: state.name.clone(),
            ty: settle(state.ty.as_ref().unwrap_or(&Type::Void)),
        });
        self.now.slots.ids.insert(var, id);
        id
    }

    /// A variable of the checker's own.
    pub(crate) fn temporary(&mut self, ty: &Type) -> VarId {
        let id = VarId(self.now.slots.vars.len() as u32);
        self.now.slots.vars.push(typed::Var {
            name: String::new(),
            ty: settle(ty),
        });
        id
    }
}

/// The type of a value once it lies in memory of the program's own: structs lie there with it, and the verifier has
/// forgotten what it knew of pointers.
pub(crate) fn stored(ty: &Type) -> Type {
    match ty {
        Type::Struct(id, _) => Type::Struct(*id, Space::Bpf),
        Type::Pointer(to, Space::Btf) => Type::pointer((**to).clone(), Space::Kernel),
        Type::Tuple(elements) => Type::Tuple(elements.iter().map(stored).collect()),
        Type::Record(members) => Type::Record(
            members
                .iter()
                .map(|(n, t)| (n.clone(), stored(t)))
                .collect(),
        ),
        ty => ty.clone(),
    }
}
