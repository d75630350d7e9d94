//! The [`Engine`] trait and the vocabulary that both engines share.
//!
//! An engine loads an [`Object`], attaches its programs, gives back the records that they send, and reads and changes
//! maps. It knows no language and prints nothing.
//!
//! The life of a run: [`Engine::load`] once; [`Engine::run`] for `begin` probes; [`Engine::attach`] for each program of
//! the rest; [`Engine::poll`] until the session has enough; [`Engine::detach`]; [`Engine::run`] for `end` probes;
//! a last [`Engine::poll`] that drains; [`Engine::losses`].

use std::os::fd::RawFd;
use std::time::Duration;

use beetrace_object::{Object, ProbeSpec, SourceSpan};

/// Index of a program in [`Object::programs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(pub u32);

/// Index of a map in [`Object::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapId(pub u32);

/// Why an engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The verifier said no. `log` is its own text.
    #[error("the verifier rejected `{program}`: {reason}")]
    Rejected {
        program: String,
        reason: String,
        /// Where in the script the rejected instruction comes from.
        span: Option<SourceSpan>,
        log: String,
    },
    /// A probe could not be attached.
    #[error("cannot attach {probe}: {reason}")]
    Attach {
        probe: String,
        reason: String,
        help: Option<String>,
    },
    /// This process may not. `capability` is what it lacks, e.g. `CAP_BPF`.
    #[error("{action} needs {capability}")]
    Permission {
        action: String,
        capability: &'static str,
    },
    /// The engine, or the kernel below it, has no such thing.
    #[error("{what} is not supported: {reason}")]
    Unsupported { what: String, reason: String },
    #[error("{action}: {source}")]
    Io {
        action: String,
        source: std::io::Error,
    },
}

/// What the session asks of a load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Values for the object's parameters, by kind.
    pub parameters: Vec<(beetrace_object::Parameter, u64)>,
    /// Keep the verifier's log of every program, also of those that pass.
    pub verifier_log: bool,
}

/// What came of one run of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunResult {
    /// What the program returned.
    pub value: u64,
    /// Mean time of one run.
    pub duration: Duration,
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Records given to the sink.
    pub records: u64,
    /// Another file of the caller's became readable.
    pub other: bool,
}

/// One key of a map with its values: one, or one a possible processor, each padded to eight bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// What was lost in a run. All zero is a run that lost nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Records that found no room.
    pub records: u64,
    /// Map updates that failed.
    pub map_updates: u64,
    /// Stacks that could not be kept.
    pub stacks: u64,
    /// Events that came while a program was already running or the kernel could not call it, by probe.
    pub missed: Vec<(String, u64)>,
}

/// Runs programs.
pub trait Engine {
    /// Creates the maps and loads the programs. Nothing runs yet.
    fn load(&mut self, object: &Object, options: &LoadOptions) -> Result<(), Error>;

    /// Attaches one program to one of its probes (`probe` is an index into its `probes`).
    fn attach(&mut self, program: ProgramId, probe: usize) -> Result<(), Error>;

    /// Attaches many at once where the engine can do that faster; the results are in the order of `probes`.
    fn attach_all(&mut self, probes: &[(ProgramId, usize)]) -> Vec<Result<(), Error>> {
        probes
            .iter()
            .map(|&(program, probe)| self.attach(program, probe))
            .collect()
    }

    /// Detaches all. After it returns no program runs any more, except by [`Engine::run`].
    fn detach(&mut self);

    /// Runs a program of kind `Syscall` `repeat` times, now, in this thread.
    fn run(&mut self, program: ProgramId, repeat: u32) -> Result<RunResult, Error>;

    /// Waits up to `timeout` (forever for `None`) for records, or for one of `others` to become readable, and gives every record that
    /// is there to `sink`, in order, each from its header on. The sink ends the round by answering `false`.
    fn poll(
        &mut self,
        timeout: Option<Duration>,
        others: &[RawFd],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Polled, Error>;

    /// All entries of a map, in no order.
    fn entries(&mut self, map: MapId) -> Result<Vec<Entry>, Error>;

    /// One value, or `None` where there is no such key.
    fn lookup(&mut self, map: MapId, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Removes all keys; of a map without keys, the value becomes unset.
    fn clear(&mut self, map: MapId) -> Result<(), Error>;

    /// Sets all values to zero and keeps the keys.
    fn zero(&mut self, map: MapId) -> Result<(), Error>;

    /// What has been lost so far.
    fn losses(&mut self) -> Result<Losses, Error>;

    /// Number of possible processors: how many values a per-CPU entry has.
    fn cpus(&self) -> usize;

    /// The output of an iterator probe, to be read until its end; `None` for other probes.
    fn iterator(&mut self, program: ProgramId) -> Result<Option<Box<dyn std::io::Read>>, Error>;

    /// Takes a watchpoint away.
    fn unwatch(&mut self, address: u64) -> Result<(), Error>;

    /// The verifier's logs by program name, where [`LoadOptions::verifier_log`] asked for them.
    fn verifier_logs(&self) -> Vec<(String, String)>;

    /// The probe's name for messages.
    fn probe_name<'o>(
        &self,
        object: &'o Object,
        program: ProgramId,
        probe: usize,
    ) -> Option<&'o ProbeSpec> {
        object.programs.get(program.0 as usize)?.probes.get(probe)
    }
}
