//! What the person who runs a script says beside the script.

use std::path::PathBuf;

/// Options of one compilation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `$1`, `$2`, … as given on the command line.
    pub positional: Vec<String>,
    /// `--name=value` behind the double dash, in order; `None` for a bare `--name`.
    pub named: Vec<(String, Option<String>)>,
    /// `BPFTRACE_*` variables of the environment, in full.
    pub environment: Vec<(String, String)>,
    /// `--unsafe`: allows `system`, `signal`, `override` and the like.
    pub allow_unsafe: bool,
    /// Whether there is a command to trace (`-c`).
    pub has_child: bool,
    /// `-p`
    pub pid: Option<u32>,
    /// `-I`: where headers are looked for.
    pub include_dirs: Vec<PathBuf>,
    /// `--include`: headers to take in before the script.
    pub includes: Vec<PathBuf>,
}
