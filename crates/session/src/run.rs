//! A run from load to the last map printed.

use std::io::Write;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use beetrace_engine::{Engine, Error, LoadOptions, ProgramId, RunResult};
use beetrace_object::{Event, MapRole, MissingProbes, Object, Parameter};

use crate::child::Child;
use crate::clock;
use crate::maps::PrintOptions;
use crate::output::{Buffering, Form, Output};
use crate::packets::Captures;
use crate::records::{self, Deferred, MessageOptions, Outcome};
use crate::resolve::Resolve;
use crate::signals::Signals;
use crate::suite::{self, TestResult};

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Trace,
    /// `--test`
    Test,
    /// `--bench`
    Bench,
    /// `--dry-run`: ends once all is attached.
    DryRun,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub mode: Mode,
    pub quiet: bool,
    pub messages: MessageOptions,
    pub load: LoadOptions,
    /// Printed to the standard output once all probes are attached, for a program that waits for that.
    pub ready_line: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What the script asked for with `exit(code)`, or 1 where a test failed.
    pub code: u8,
    /// How the command of `-c` ended.
    pub child: Option<String>,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Engine(#[from] Error),
    #[error(
        "Unable to attach probe: {name}. If this is expected, set the 'missing_probes' config variable to 'warn'."
    )]
    Attach { name: String, source: Error },
    #[error("cannot write results: {0}")]
    Output(std::io::Error),
    #[error("cannot start the command: {0}")]
    Child(std::io::Error),
    #[error("{0}")]
    NothingToDo(&'static str),
}

/// The parts of a run.
pub struct Session<'s> {
    pub object: &'s Object,
    pub engine: &'s mut dyn Engine,
    pub resolve: &'s mut dyn Resolve,
    pub output: Output,
    pub signals: Signals,
    pub child: Option<Box<dyn Child>>,
    pub options: Options,
}

/// What goes on while records are drained.
struct State {
    exit: Option<u8>,
    captures: Captures,
    /// By record kind: whether its fields hold stacks, which only the engine can read.
    has_stacks: Vec<bool>,
}

/// How long records that wait are still handled once a person has ended the run.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long one wait lasts at the most: losses are told of while they happen.
const LOSS_CHECK: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Loads, attaches, and runs to the end.
    pub fn run(mut self) -> Result<Finished, RunError> {
        let mut load = self.options.load.clone();
        load.parameters
            .push((Parameter::StartTime, clock::boot_time()));
        load.parameters
            .push((Parameter::TaiOffset, clock::tai_offset()));
        self.engine.load(self.object, &load)?;
        let has_stacks = self
            .object
            .records
            .iter()
            .map(|r| r.layouts().any(records::holds_stack))
            .collect();
        let mut state = State {
            exit: None,
            captures: Captures::default(),
            has_stacks,
        };

        let result = self.stages(&mut state);
        if let Some(child) = &mut self.child {
            child.terminate();
        }
        self.engine.detach();
        let code = result?;
        self.output.flush();
        match self.output.take_failure() {
            Some(e) => Err(RunError::Output(e)),
            None => Ok(Finished {
                code,
                child: self.child.as_mut().and_then(|c| c.outcome()),
            }),
        }
    }

    fn stages(&mut self, state: &mut State) -> Result<u8, RunError> {
        for (program, _) in self.programs(|e| matches!(e, Event::Begin)) {
            self.engine.run(program, 1)?;
        }
        match self.options.mode {
            Mode::Test => {
                let code = self.tests(state)?;
                return self.end_of_suite(state, code);
            }
            Mode::Bench => {
                let code = self.benches(state)?;
                return self.end_of_suite(state, code);
            }
            Mode::Trace | Mode::DryRun => {}
        }
        let attached = self.attach()?;
        if self.options.mode == Mode::DryRun {
            return Ok(0);
        }
        self.trace(state, attached)?;
        if let Some(child) = &mut self.child {
            child.terminate();
        }
        self.engine.detach();
        if state.exit.is_some() {
            // What was said behind the `exit` is not heard.
            while self
                .engine
                .poll(Some(Duration::ZERO), &[], &mut |_| true)?
                .records
                > 0
            {}
        } else if self.signals.ended() {
            self.last_words(state)?;
        }
        let code = state.exit.take().unwrap_or(0);
        for (program, _) in self.programs(|e| matches!(e, Event::End)) {
            self.engine.run(program, 1)?;
        }
        self.drain(state)?;
        let code = state.exit.take().unwrap_or(code);
        let losses = self.engine.losses()?;
        self.output.losses(&losses);
        self.print_maps()?;
        Ok(code)
    }

    /// Programs with a probe of that kind, in the order of the script, with the index of the probe.
    fn programs(&self, wanted: impl Fn(&Event) -> bool) -> Vec<(ProgramId, usize)> {
        let mut found = Vec::new();
        for (i, program) in self.object.programs.iter().enumerate() {
            for (k, probe) in program.probes.iter().enumerate() {
                if wanted(&probe.event) {
                    found.push((ProgramId(i as u32), k));
                }
            }
        }
        found
    }

    /// Attaches all that the kernel calls, and says how many probes there are. Gives the number of those attached.
    fn attach(&mut self) -> Result<usize, RunError> {
        let external = self.programs(is_external);
        let mut attached = 0;
        for ((program, probe), result) in external.iter().zip(self.engine.attach_all(&external)) {
            match (result, self.object.config.missing_probes) {
                (Ok(()), _) => attached += 1,
                (Err(source), MissingProbes::Error) => {
                    let name = self.probe_name(*program, *probe);
                    return Err(RunError::Attach { name, source });
                }
                (Err(e), MissingProbes::Warn) => {
                    let name = self.probe_name(*program, *probe);
                    self.output.note(&format!(
                        "WARNING: Unable to attach probe: {name}. Skipping.\n  {e}\n"
                    ));
                }
                (Err(_), MissingProbes::Ignore) => {}
            }
        }
        let mut internal = 0;
        for program in &self.object.programs {
            for probe in &program.probes {
                match probe.event {
                    Event::SelfSignal { signal } => {
                        self.signals.listen(signal).map_err(RunError::Output)?;
                        internal += 1;
                    }
                    Event::Begin | Event::End => internal += 1,
                    _ => {}
                }
            }
        }
        if attached + internal == 0 {
            return Err(RunError::NothingToDo(self.nothing_attached()));
        }
        if !self.options.quiet {
            self.output.attached(attached + internal);
        }
        if let Some(line) = &self.options.ready_line {
            println!("{line}");
            std::io::stdout().flush().map_err(RunError::Output)?;
        }
        Ok(attached)
    }

    fn probe_name(&self, program: ProgramId, probe: usize) -> String {
        self.engine
            .probe_name(self.object, program, probe)
            .map_or_else(String::new, |p| p.name.clone())
    }

    fn nothing_attached(&self) -> &'static str {
        let any = |wanted: fn(&Event) -> bool| {
            self.object
                .programs
                .iter()
                .flat_map(|p| &p.probes)
                .any(|p| wanted(&p.event))
        };
        if any(|e| matches!(e, Event::Test { .. })) {
            "No probes attached; use --test to run test probes."
        } else if any(|e| matches!(e, Event::Bench { .. })) {
            "No probes attached; use --bench to run benchmark probes."
        } else {
            "Attachment failed for all probes."
        }
    }

    /// Records until something ends the run.
    fn trace(&mut self, state: &mut State, attached: usize) -> Result<(), RunError> {
        if let Some(child) = &mut self.child {
            child.release().map_err(RunError::Child)?;
        }
        for (program, _) in self.programs(|e| matches!(e, Event::Iter { .. })) {
            self.iterate(program, state)?;
        }
        let listens = !self
            .programs(|e| matches!(e, Event::SelfSignal { .. }))
            .is_empty();
        let only_iterators = attached == self.programs(|e| matches!(e, Event::Iter { .. })).len();
        let commands = self.child.as_ref().is_some_and(|c| c.is_command());
        if only_iterators && !listens && !commands {
            // Nothing will ever fire: what `begin` and iterators said is all there is.
            return self.drain(state);
        }
        let mut told = 0;
        while state.exit.is_none() && !self.signals.ended() && !self.output.has_failed() {
            let child = self.child.as_ref().map(|c| c.fd());
            let mut fds = self.resolve.fds();
            fds.extend(self.signals.fds().chain(child));
            self.round(Some(LOSS_CHECK), &fds, state)?;
            self.resolve.catch_up();
            for signal in self.signals.take() {
                let wanted =
                    |e: &Event| matches!(e, Event::SelfSignal { signal: s } if *s == signal);
                for (program, _) in self.programs(wanted) {
                    self.engine.run(program, 1)?;
                }
            }
            if self.child.as_mut().is_some_and(|c| c.outcome().is_some()) {
                break;
            }
            told = self.report_losses(told)?;
        }
        // What was said before the end still counts, unless `exit` or a person ended it.
        if state.exit.is_none() && !self.signals.ended() {
            self.engine.detach();
            self.drain(state)?;
        }
        Ok(())
    }

    /// Reads an iterator to its end.
    fn iterate(&mut self, program: ProgramId, state: &mut State) -> Result<(), RunError> {
        let Some(mut text) = self.engine.iterator(program)? else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        loop {
            let n = text.read(&mut buffer).map_err(|source| Error::Io {
                action: "reading the iterator".into(),
                source,
            })?;
            self.drain(state)?;
            if n == 0 {
                return Ok(());
            }
            let chunk = &buffer[..n];
            self.output.printf(|out| out.extend_from_slice(chunk));
        }
    }

    /// What was said before a person ended the run, for as long as the person may be kept waiting; the rest is lost.
    fn last_words(&mut self, state: &mut State) -> Result<(), RunError> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end
            && state.exit.is_none()
            && self.round(Some(Duration::ZERO), &[], state)? > 0
        {}
        let mut lost = 0;
        loop {
            let polled = self.engine.poll(Some(Duration::ZERO), &[], &mut |_| true)?;
            if polled.records == 0 {
                break;
            }
            lost += polled.records;
        }
        if lost > 0 {
            self.output.lost(lost);
        }
        Ok(())
    }

    /// All records that are there now.
    fn drain(&mut self, state: &mut State) -> Result<(), RunError> {
        while self.round(Some(Duration::ZERO), &[], state)? > 0 && state.exit.is_none() {}
        Ok(())
    }

    /// One wait, and what it brought. Records that need the engine end the draining for as long as they take.
    fn round(
        &mut self,
        timeout: Option<Duration>,
        fds: &[RawFd],
        state: &mut State,
    ) -> Result<u64, RunError> {
        let mut count = 0;
        let mut timeout = timeout;
        loop {
            let mut stopped: Option<Stop> = None;
            let (object, output, resolve) = (self.object, &mut self.output, &mut *self.resolve);
            let signals = &self.signals;
            let (messages, has_stacks, captures) = (
                self.options.messages,
                &state.has_stacks,
                &mut state.captures,
            );
            let polled = self.engine.poll(timeout, fds, &mut |record| {
                if has_stacks.get(crate::value::read_uint(record, 0, 4) as usize) == Some(&true) {
                    stopped = Some(Stop::Stacks(record.to_vec()));
                    return false;
                }
                if captures.write(object, record, output) {
                    return true;
                }
                match records::handle(object, record, output, resolve, messages) {
                    // Records that come without end must not hide that the end was asked for.
                    Outcome::Nothing => return !signals.ended(),
                    Outcome::Exit(code) => stopped = Some(Stop::Exit(code)),
                    Outcome::Deferred(d) => stopped = Some(Stop::Deferred(d)),
                }
                false
            })?;
            count += polled.records;
            match stopped {
                None => break,
                Some(Stop::Exit(code)) => {
                    state.exit = Some(code);
                    break;
                }
                Some(Stop::Deferred(deferred)) => {
                    records::after(
                        &deferred,
                        self.object,
                        self.engine,
                        &mut self.output,
                        self.resolve,
                    )?;
                }
                Some(Stop::Stacks(record)) => {
                    if let Some(exit) = self.with_stacks(&record)? {
                        state.exit = Some(exit);
                        break;
                    }
                }
            }
            // More may wait behind it.
            timeout = Some(Duration::ZERO);
        }
        self.output.end_of_round();
        Ok(count)
    }

    /// Handles a record that holds stacks, after reading their frames.
    fn with_stacks(&mut self, record: &[u8]) -> Result<Option<u8>, RunError> {
        records::fetch_record_stacks(self.object, record, self.engine, self.resolve)?;
        match records::handle(
            self.object,
            record,
            &mut self.output,
            self.resolve,
            self.options.messages,
        ) {
            Outcome::Nothing => {}
            Outcome::Exit(code) => return Ok(Some(code)),
            Outcome::Deferred(d) => {
                records::after(&d, self.object, self.engine, &mut self.output, self.resolve)?;
            }
        }
        Ok(None)
    }

    /// Tells of records lost since `told`.
    fn report_losses(&mut self, told: u64) -> Result<u64, RunError> {
        let losses = self.engine.losses()?;
        if losses.records > told {
            self.output.lost(losses.records - told);
        }
        Ok(losses.records.max(told))
    }

    fn print_maps(&mut self) -> Result<(), RunError> {
        self.output.raw_text("\n\n");
        if !self.object.config.print_maps_on_exit {
            return Ok(());
        }
        let users = self
            .object
            .maps
            .iter()
            .enumerate()
            .filter(|(_, m)| matches!(m.role, MapRole::User(_)));
        let mut maps: Vec<(&str, u32)> = users.map(|(i, m)| (m.name.as_str(), i as u32)).collect();
        maps.sort_unstable();
        for (_, map) in maps {
            let options = PrintOptions::default();
            records::print_map(
                self.object,
                self.engine,
                map,
                options,
                false,
                &mut self.output,
                self.resolve,
            )?;
        }
        Ok(())
    }

    fn tests(&mut self, state: &mut State) -> Result<u8, RunError> {
        let tests = self.named(|e| match e {
            Event::Test { name } => Some(name),
            _ => None,
        });
        let mut results = Vec::new();
        suite::begin_tests(&mut self.output, tests.len());
        for (program, name) in tests {
            let captured = Captured::default();
            let quiet = Output::new(
                Form::Text,
                Buffering::None,
                Box::new(captured.clone()),
                Box::new(captured.clone()),
            );
            let main = std::mem::replace(&mut self.output, quiet);
            let run = self.engine.run(program, 1).map_err(RunError::from);
            let drained = self.drain(state);
            let test = std::mem::replace(&mut self.output, main);
            let RunResult { value, duration } = run?;
            drained?;
            let exit = state.exit.take().unwrap_or(0);
            let passed = value as u32 == 0 && exit == 0 && test.error_count() == 0;
            let result = TestResult {
                passed,
                duration,
                output: captured.text(),
            };
            suite::report_test(&mut self.output, &name, &result);
            results.push((name, passed));
        }
        suite::end_tests(&mut self.output, &results);
        Ok(u8::from(results.iter().any(|r| !r.1)))
    }

    fn benches(&mut self, state: &mut State) -> Result<u8, RunError> {
        let benches = self.named(|e| match e {
            Event::Bench { name } => Some(name),
            _ => None,
        });
        let names: Vec<String> = benches.iter().map(|b| b.1.clone()).collect();
        let mut code = 0;
        suite::begin_benches(&mut self.output, &names);
        for (program, name) in benches {
            let captured = Captured::default();
            let quiet = Output::new(
                Form::Text,
                Buffering::Full,
                Box::new(captured.clone()),
                Box::new(captured),
            );
            let main = std::mem::replace(&mut self.output, quiet);
            let measured = self.measure(program, state);
            let bench = std::mem::replace(&mut self.output, main);
            let Some((mean, iterations)) = measured? else {
                continue;
            };
            if state.exit.take().unwrap_or(0) != 0 || bench.error_count() > 0 {
                self.output
                    .note(&format!("ERROR: Benchmark '{name}' failed.\n"));
                code = 1;
                continue;
            }
            suite::report_bench(&mut self.output, &names, &name, mean, iterations);
        }
        Ok(code)
    }

    /// Runs a benchmark more and more often, until it takes a millisecond. `None` where it skips itself by returning a value.
    fn measure(
        &mut self,
        program: ProgramId,
        state: &mut State,
    ) -> Result<Option<(Duration, u32)>, RunError> {
        const ENOUGH: Duration = Duration::from_millis(1);
        let mut iterations: u32 = 1;
        loop {
            let began = Instant::now();
            let result = self.engine.run(program, iterations)?;
            let wall = began.elapsed();
            self.drain(state)?;
            if state.exit.unwrap_or(0) == 0 && result.value as u32 != 0 {
                return Ok(None);
            }
            let total = result.duration.saturating_mul(iterations);
            if total >= ENOUGH || wall >= ENOUGH * 100 || iterations > 1 << 24 {
                return Ok(Some((result.duration, iterations)));
            }
            iterations *= if total < ENOUGH / 100 { 10 } else { 2 };
        }
    }

    /// What `end` has to say after tests and benchmarks, whose maps are their own matter.
    fn end_of_suite(&mut self, state: &mut State, code: u8) -> Result<u8, RunError> {
        for (program, _) in self.programs(|e| matches!(e, Event::End)) {
            self.engine.run(program, 1)?;
        }
        self.drain(state)?;
        self.output.raw_text("\n\n");
        Ok(code)
    }

    fn named<'e>(
        &'e self,
        name: impl Fn(&'e Event) -> Option<&'e String>,
    ) -> Vec<(ProgramId, String)> {
        let programs = self.object.programs.iter().enumerate();
        let probes = programs.flat_map(|(i, p)| {
            p.probes
                .iter()
                .map(move |probe| (ProgramId(i as u32), probe))
        });
        probes
            .filter_map(|(id, probe)| name(&probe.event).map(|n| (id, n.clone())))
            .collect()
    }
}

/// Why draining paused.
enum Stop {
    Exit(u8),
    Deferred(Deferred),
    Stacks(Vec<u8>),
}

/// Whether the kernel calls the program, not the session.
fn is_external(event: &Event) -> bool {
    !matches!(
        event,
        Event::Begin
            | Event::End
            | Event::SelfSignal { .. }
            | Event::Test { .. }
            | Event::Bench { .. }
    )
}

/// Output kept in memory.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        self.0
            .lock()
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Ok(mut buffer) = self.0.lock() {
            buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
