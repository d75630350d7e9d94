//! Running one case.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::case::{Case, Exit, Step};
use crate::expect;

const READY: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    pub tracer: PathBuf,
    pub programs: PathBuf,
    /// A folder a case is made below.
    pub scratch: PathBuf,
}

/// Runs the case and compares; the error is for people.
pub fn run(case: &Case, places: &Places) -> Result<(), String> {
    let folder = places.scratch.join(file_name(&case.name));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    copy_programs(&places.programs, &folder.join("programs"))?;
    let deadline = Instant::now() + Duration::from_secs(case.timeout_seconds);
    let mut names = Names::new(&folder);
    let mut before = case
        .before
        .as_ref()
        .map(|command| Before::start(&names.fill(command), &mut names, deadline))
        .transpose()?;
    for (name, text) in &case.files {
        fs::write(folder.join(name), names.fill(text)).map_err(|e| format!("{name}: {e}"))?;
    }
    let mut tracer = Tracer::start(case, places, &folder, &names)?;
    let outcome = tracer
        .steps(case, &names, before.as_mut(), deadline)
        .and_then(|()| tracer.wait(deadline));
    drop(before);
    let status = outcome.map_err(|problem| tracer.report(&problem))?;
    compare(case, &names, &folder, &tracer, status).map_err(|problem| tracer.report(&problem))
}

/// Held while a program is copied and while a process starts: a process that starts in the middle of a copy would keep
/// the copy open for writing, and the copy could not be executed.
static STARTING: Mutex<()> = Mutex::new(());

fn start(command: &mut Command) -> std::io::Result<Child> {
    let _guard = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Gives a case its own copies: user probes go with the file, and would see the programs of other cases.
fn copy_programs(from: &Path, to: &Path) -> Result<(), String> {
    let _guard = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    copy().map_err(|e| format!("{}: {e}", to.display()))
}

fn compare(
    case: &Case,
    names: &Names,
    folder: &Path,
    tracer: &Tracer,
    status: ExitStatus,
) -> Result<(), String> {
    let ended = match status.signal() {
        Some(number) => Exit::Signal(number),
        None => Exit::Code(status.code().unwrap_or(-1)),
    };
    let is_json = format!(" {} ", case.args).contains(" -f json ");
    if let Some(stdout) = &case.stdout {
        let stdout = names.fill(stdout);
        if case.raw {
            if tracer.stdout != stdout {
                return Err(format!(
                    "standard output, to the byte: expected\n{stdout:?}\ngot\n{:?}",
                    tracer.stdout
                ));
            }
        } else {
            let said = tidy(&tracer.stdout, is_json);
            expect::lines(&stdout, &said).map_err(|e| format!("standard output {e}"))?;
        }
    }
    if is_json {
        expect::json(&tracer.stdout)?;
    }
    let stderr = case.stderr.as_deref().unwrap_or("! ERROR");
    expect::parts(&names.fill(stderr), &tracer.stderr)
        .map_err(|e| format!("standard error: {e}"))?;
    for (name, text) in &case.written {
        let written =
            fs::read_to_string(folder.join(name)).map_err(|e| format!("written {name}: {e}"))?;
        expect::lines(&names.fill(text), &tidy(&written, is_json))
            .map_err(|e| format!("written {name} {e}"))?;
    }
    if ended != case.exit {
        return Err(format!(
            "expected to end with {:?}, got {ended:?}",
            case.exit
        ));
    }
    Ok(())
}

/// Without what every run says, and without empty lines at either end.
fn tidy(text: &str, is_json: bool) -> String {
    let kept: Vec<&str> = text
        .lines()
        .filter(|l| !(is_json && l.starts_with("{\"type\": \"attached_probes\"")))
        .collect();
    let first = kept.iter().position(|l| !l.is_empty());
    let last = kept.iter().rposition(|l| !l.is_empty());
    match (first, last) {
        (Some(first), Some(last)) => kept[first..=last].join("\n"),
        _ => String::new(),
    }
}

/// Names in `${…}` that cases use.
struct Names(Vec<(String, String)>);

impl Names {
    fn new(folder: &Path) -> Names {
        let programs = folder.join("programs").display().to_string();
        let folder = folder.display().to_string();
        Names(vec![
            ("PROGRAMS".to_string(), programs),
            ("FOLDER".to_string(), folder),
        ])
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_string();
        for (name, value) in &self.0 {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        text
    }
}

/// The program of `before`, killed when dropped.
struct Before {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Before {
    /// Starts it and waits for its line `ready [NAME=VALUE]...`, whose names a case may use.
    fn start(command: &str, names: &mut Names, deadline: Instant) -> Result<Before, String> {
        let mut command_line = program(command, names)?;
        command_line
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = start(&mut command_line).map_err(|e| format!("{command}: {e}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{command}: no pipes"));
        };
        let mut before = Before {
            lines: lines_of(stdout),
            child,
            stdin,
        };
        let ready = before.line(deadline)?;
        let mut words = ready.split_whitespace();
        if words.next() != Some("ready") {
            return Err(format!("{command}: said `{ready}`, not `ready`"));
        }
        names
            .0
            .push(("PID".to_string(), before.child.id().to_string()));
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            names.0.push((name.to_string(), value.to_string()));
        }
        Ok(before)
    }

    fn line(&mut self, deadline: Instant) -> Result<String, String> {
        self.lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .map_err(|_| "the program of `before` said nothing".to_string())
    }

    fn tell(&mut self, deadline: Instant) -> Result<(), String> {
        self.stdin
            .write_all(b"\n")
            .map_err(|e| format!("the program of `before` does not listen: {e}"))?;
        self.line(deadline).map(drop)
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}

/// The tracer under test, killed with its group when dropped.
struct Tracer {
    child: Child,
    lines: Receiver<String>,
    errors: Option<thread::JoinHandle<String>>,
    stdout: String,
    stderr: String,
}

impl Tracer {
    fn start(case: &Case, places: &Places, folder: &Path, names: &Names) -> Result<Tracer, String> {
        let mut command = match &case.under {
            Some(under) => {
                let mut command = program(under, names)?;
                command.arg(&places.tracer);
                command
            }
            None => Command::new(&places.tracer),
        };
        command.args(words(&names.fill(&case.args))?);
        if let Some(script) = &case.script {
            command.args(["-e", names.fill(script).trim_end()]);
        }
        command.args(words(&names.fill(&case.params))?);
        command
            .current_dir(folder)
            .env("__BPFTRACE_NOTIFY_PROBES_ATTACHED", "1")
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .envs(case.env.iter().map(|(k, v)| (k, names.fill(v))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child =
            start(&mut command).map_err(|e| format!("{}: {e}", places.tracer.display()))?;
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("no pipes to the tracer".to_string());
        };
        if let Some(text) = &case.stdin {
            // A tracer that ends before it has read its input says why itself.
            let _ = stdin.write_all(names.fill(text).as_bytes());
        }
        drop(stdin);
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Tracer {
            lines: lines_of(stdout),
            child,
            errors: Some(errors),
            stdout: String::new(),
            stderr: String::new(),
        })
    }

    fn steps(
        &mut self,
        case: &Case,
        names: &Names,
        mut before: Option<&mut Before>,
        deadline: Instant,
    ) -> Result<(), String> {
        if !case.steps.is_empty() {
            self.until(deadline, |line, _| line == READY)?;
        }
        for step in &case.steps {
            match step {
                Step::Run(command) => {
                    let mut command_line = program(&names.fill(command), names)?;
                    command_line
                        .stdin(Stdio::null())
                        .stdout(Stdio::null())
                        .stderr(Stdio::null());
                    let mut child =
                        start(&mut command_line).map_err(|e| format!("{command}: {e}"))?;
                    let ended = wait(&mut child, deadline);
                    kill_group(&mut child);
                    ended.map_err(|e| format!("{command}: {e}"))?;
                }
                Step::Tell => match &mut before {
                    Some(before) => before.tell(deadline)?,
                    None => return Err("`tell` without `before`".to_string()),
                },
                Step::Wait(text) if self.stdout.contains(text.as_str()) => {}
                Step::Wait(text) => self
                    .until(deadline, |_, all| all.contains(text.as_str()))
                    .map_err(|e| format!("waiting for `{text}`: {e}"))?,
                Step::Signal(name) => {
                    let signal = signal(name)?;
                    kill_process(pid(&self.child), signal).map_err(|e| format!("kill: {e}"))?;
                }
            }
        }
        Ok(())
    }

    /// Reads standard output up to a line that `done` wants, given the line and all up to it.
    fn until(
        &mut self,
        deadline: Instant,
        done: impl Fn(&str, &str) -> bool,
    ) -> Result<(), String> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if line != format!("{READY}\n") {
                        self.stdout += &line;
                    }
                    if done(line.trim_end_matches('\n'), &self.stdout) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err("it takes too long".to_string()),
                Err(RecvTimeoutError::Disconnected) => return Err("it ended early".to_string()),
            }
        }
    }

    /// Waits for the end of the output and of the process.
    fn wait(&mut self, deadline: Instant) -> Result<ExitStatus, String> {
        match self.until(deadline, |_, _| false) {
            Err(problem) if problem == "it ended early" => {}
            Err(problem) => return Err(problem),
            Ok(()) => {}
        }
        let status = wait(&mut self.child, deadline)?;
        self.take_errors();
        Ok(status)
    }

    fn take_errors(&mut self) {
        if let Some(thread) = self.errors.take() {
            self.stderr = thread.join().unwrap_or_default();
        }
    }

    fn report(&mut self, problem: &str) -> String {
        kill_group(&mut self.child);
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) {
            self.stdout += &line;
        }
        self.take_errors();
        format!(
            "{problem}\n--- standard output ---\n{}\n--- standard error ---\n{}",
            self.stdout, self.stderr
        )
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Ends the group that a child leads, if the child is still ours to end.
fn kill_group(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        let _ = kill_process_group(pid(child), Signal::KILL);
        let _ = child.wait();
    }
}

fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() > deadline => return Err("it takes too long".to_string()),
            Ok(None) => thread::sleep(Duration::from_millis(2)),
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// Lines as they come, each with its line feed if it has one.
fn lines_of(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// A command line as a process in a group of its own; a first word without `/` is one of the programs of the cases if
/// there is one of this name.
fn program(command: &str, names: &Names) -> Result<Command, String> {
    let mut words = words(command)?.into_iter();
    let first = words.next().ok_or("an empty command")?;
    let ours = PathBuf::from(names.fill("${PROGRAMS}")).join(&first);
    let mut command = if !first.contains('/') && ours.exists() {
        Command::new(ours)
    } else {
        Command::new(first)
    };
    command.args(words).process_group(0);
    Ok(command)
}

/// Parts a command line at blanks; `'…'` and `"…"` keep them.
pub fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some(inside) => word.push(inside),
                        None => return Err(format!("no closing {c} in: {text}")),
                    }
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn signal(name: &str) -> Result<Signal, String> {
    Ok(match name {
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        "USR1" => Signal::USR1,
        _ => return Err(format!("unknown signal `{name}`")),
    })
}

fn file_name(case: &str) -> String {
    case.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}
