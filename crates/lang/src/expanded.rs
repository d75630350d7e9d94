//! The script between expansion and the checker: the tree with nothing left that only text can say.
//!
//! In an [`Expanded`] script there are no macro calls, imports, `#define`s, positional or named parameters
//! ([`ExprKind::Param`](crate::ast::ExprKind::Param) and `ParamCount` are literals by now), and no
//! wildcards in attach points: each probe lists what it matched. Macros are hygienic: a variable of a macro's body has a name
//! that no other variable in scope has (a `$name` as the user wrote it, then `#` and a number).
//!
//! What needs types stays: `sizeof`, `offsetof`, `typeof`, `typeinfo`, `comptime`, `is_ptr(x)` and its kin, `static_assert`, `fail`.
//! A call or a bare word that names no macro stays as well: the checker knows it as a built-in, or reports it.
//! So a macro of the standard library hides the checker's built-in of its name everywhere but in its own body.

use beetrace_object::{Config, StackMode};
use beetrace_probes::Match;

use crate::ast::{Block, CItem, Expr, MapDecl};
use crate::span::{Sources, Span};

#[derive(Debug, Default)]
pub struct Expanded {
    /// Only structs, enums and typedefs, in the order of the text.
    pub c_items: Vec<CItem>,
    pub maps: Vec<MapDecl>,
    /// In the order of the text.
    pub probes: Vec<ExpandedProbe>,
    pub settings: Settings,
    pub sources: Sources,
}

/// One probe of the script with all that it is attached to.
#[derive(Debug)]
pub struct ExpandedProbe {
    /// Never empty; in the order of the attach points, those of a wildcard sorted by name.
    pub matches: Vec<Match>,
    pub predicate: Option<Expr>,
    pub body: Block,
    /// The attach points as written, from the first to the last.
    pub span: Span,
}

/// The configuration, from the environment, the `config` block and the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What the run needs.
    pub config: Config,
    pub license: String,
    /// In bytes.
    pub max_strlen: u64,
    pub max_map_keys: u64,
    pub max_probes: u64,
    pub max_bpf_progs: u64,
    /// In bytes.
    pub on_stack_limit: u64,
    pub stack_mode: StackMode,
    pub unstable_tseries: Stability,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            config: Config::default(),
            license: "GPL".into(),
            max_strlen: 1024,
            max_map_keys: 4096,
            max_probes: 1024,
            max_bpf_progs: 1024,
            on_stack_limit: 32,
            stack_mode: StackMode::default(),
            unstable_tseries: Stability::default(),
        }
    }
}

/// What to do where a script uses a feature that may still change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stability {
    Error,
    #[default]
    Warn,
    Enable,
}
