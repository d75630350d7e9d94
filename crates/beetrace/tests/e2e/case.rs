//! The text form of a case, read into a [`Case`].

/// What is done, in order, once the probes are attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Runs a program to its end.
    Run(String),
    /// Lets the program started by `before` do one more round, and waits for the line that ends it.
    Tell,
    /// Waits until a text is on the tracer's standard output.
    Wait(String),
    /// Sends a signal to the tracer.
    Signal(String),
}

/// A range of kernel series, both ends included: `6.1..`, `..6.12`, `6.1..6.12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels {
    pub from: (u32, u32),
    pub to: (u32, u32),
}

/// How the tracer is expected to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// `file/name`.
    pub name: String,
    /// Line of the name in its file.
    pub line: usize,
    /// A command that starts the tracer, in its place.
    pub under: Option<String>,
    /// Options before the script.
    pub args: String,
    /// What stands behind the script.
    pub params: String,
    pub env: Vec<(String, String)>,
    pub needs: Vec<String>,
    pub kernels: Kernels,
    /// A program that is started first; it says `ready` and is ended last.
    pub before: Option<String>,
    pub steps: Vec<Step>,
    pub exit: Exit,
    pub timeout_seconds: u64,
    /// Why bpftrace does something else here, if it does.
    pub differs: Option<String>,
    pub script: Option<String>,
    pub stdin: Option<String>,
    /// Files put into the folder in which the tracer is started: name and text.
    pub files: Vec<(String, String)>,
    pub stdout: Option<String>,
    /// Standard output is compared to the last byte.
    pub raw: bool,
    pub stderr: Option<String>,
    /// Files that the tracer writes: name and text.
    pub written: Vec<(String, String)>,
}

impl Case {
    fn new(name: String, line: usize) -> Case {
        Case {
            name,
            line,
            under: None,
            args: String::new(),
            params: String::new(),
            env: Vec::new(),
            needs: vec!["bpf".to_string()],
            kernels: Kernels {
                from: (0, 0),
                to: (u32::MAX, u32::MAX),
            },
            before: None,
            steps: Vec::new(),
            exit: Exit::Code(0),
            timeout_seconds: 30,
            differs: None,
            script: None,
            stdin: None,
            files: Vec::new(),
            stdout: None,
            raw: false,
            stderr: None,
            written: Vec::new(),
        }
    }

    fn field(&mut self, key: &str, value: &str) -> Result<(), String> {
        let owned = value.to_string();
        match key {
            "under" => self.under = Some(owned),
            "args" => self.args = owned,
            "params" => self.params = owned,
            "env" => {
                let pair = value
                    .split_once('=')
                    .ok_or("env wants NAME=VALUE, one a line")?;
                self.env.push((pair.0.to_string(), pair.1.to_string()));
            }
            "needs" => {
                self.needs = value
                    .split([' ', ','])
                    .filter(|s| !s.is_empty() && *s != "nothing")
                    .map(str::to_string)
                    .collect();
            }
            "kernels" => self.kernels = kernels(value)?,
            "before" => self.before = Some(owned),
            "run" => self.steps.push(Step::Run(owned)),
            "tell" => self.steps.push(Step::Tell),
            "wait" => self.steps.push(Step::Wait(owned)),
            "signal" => self.steps.push(Step::Signal(owned)),
            "exit" => self.exit = exit(value)?,
            "timeout" => {
                self.timeout_seconds = value.parse().map_err(|_| "timeout wants seconds")?;
            }
            "differs" => self.differs = Some(owned),
            _ => return Err(format!("unknown field `{key}`")),
        }
        Ok(())
    }

    fn section(&mut self, head: &str, text: String) -> Result<(), String> {
        let (kind, name) = head.split_once(' ').unwrap_or((head, ""));
        match (kind, name) {
            ("script", "") => self.script = Some(text),
            ("stdin", "") => self.stdin = Some(text),
            ("stdout", "") => self.stdout = Some(text),
            ("stdout", "raw") => {
                self.stdout = Some(text);
                self.raw = true;
            }
            ("stderr", "") => self.stderr = Some(text),
            ("file", name) if !name.is_empty() => self.files.push((name.to_string(), text)),
            ("written", name) if !name.is_empty() => self.written.push((name.to_string(), text)),
            _ => return Err(format!("unknown section `{head}`")),
        }
        Ok(())
    }
}

/// Reads all cases of a file; `group` is the first part of their names. Errors name the line.
pub fn parse(group: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut section: Option<(String, String)> = None;
    let end = |cases: &mut Vec<Case>, section: &mut Option<(String, String)>| match section.take() {
        Some((head, text)) => cases
            .last_mut()
            .map_or(Ok(()), |c| c.section(&head, trim(&text))),
        None => Ok(()),
    };
    for (number, line) in text.lines().enumerate().map(|(i, l)| (i + 1, l)) {
        let at = |problem: String| format!("{group}.case:{number}: {problem}");
        if let Some(name) = line.strip_prefix("=== ") {
            end(&mut cases, &mut section).map_err(at)?;
            let name = format!("{group}/{}", name.trim());
            if cases.iter().any(|c| c.name == name) {
                return Err(at(format!("a second case `{name}`")));
            }
            cases.push(Case::new(name, number));
        } else if let Some(head) = line.strip_prefix("--- ") {
            end(&mut cases, &mut section).map_err(at)?;
            section = Some((head.trim().to_string(), String::new()));
        } else if let Some((_, text)) = &mut section {
            text.push_str(line);
            text.push('\n');
        } else if let Some(case) = cases.last_mut()
            && !line.trim().is_empty()
            && !line.starts_with('#')
        {
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            case.field(key.trim(), value.trim()).map_err(at)?;
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            return Err(at("text before the first case".to_string()));
        }
    }
    end(&mut cases, &mut section).map_err(|e| format!("{group}.case: {e}"))?;
    Ok(cases)
}

/// Without the empty lines that part a section from what follows.
fn trim(text: &str) -> String {
    let text = text.trim_end_matches('\n');
    if text.is_empty() {
        String::new()
    } else {
        format!("{text}\n")
    }
}

fn series(text: &str, missing: (u32, u32)) -> Option<(u32, u32)> {
    if text.is_empty() {
        return Some(missing);
    }
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn kernels(text: &str) -> Result<Kernels, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    match (series(from, (0, 0)), series(to, (u32::MAX, u32::MAX))) {
        (Some(from), Some(to)) => Ok(Kernels { from, to }),
        _ => Err(format!(
            "kernels wants `6.1..`, `..6.12` or `6.1..6.12`, not `{text}`"
        )),
    }
}

fn exit(text: &str) -> Result<Exit, String> {
    let wrong = || format!("exit wants a code or `signal N`, not `{text}`");
    match text.strip_prefix("signal ") {
        Some(number) => number.parse().map(Exit::Signal),
        None => text.parse().map(Exit::Code),
    }
    .map_err(|_| wrong())
}
