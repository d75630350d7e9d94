//! A virtual machine from its start to its end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::image::Image;
use super::packages::Kernel;

pub(super) struct Guest {
    kernel: PathBuf,
    files: PathBuf,
    /// What the kernel itself says.
    console: PathBuf,
}

/// What the job said.
pub(super) struct Output {
    pub(super) lines: Vec<String>,
    /// What it ended with; `None` if the machine ended first, or was ended.
    pub(super) exit: Option<i32>,
    /// The last lines of the kernel, where the job did not end.
    pub(super) console: Vec<String>,
    pub(super) seconds: u64,
}

const STARTED: &str = "lab: started";
const ENDED: &str = "lab: ended with ";

impl Guest {
    pub(super) fn new(kernel: &Kernel, image: &Image, job: &str, folder: &Path) -> Result<Guest> {
        Ok(Guest {
            kernel: kernel.image.clone(),
            files: image.with(kernel, job, folder)?,
            console: folder.join(kernel.series.name).join("console.log"),
        })
    }

    fn command(&self) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        // Without `cmpxchg16b`: QEMU 7.2 leaves rubbish in the flags behind it, and the kernel's allocator crashes.
        qemu.args(["-M", "q35", "-cpu", "max,-cx16", "-smp", "2", "-m", "1536"])
            .args(["-accel", "tcg,thread=multi"])
            .args(["-display", "none", "-no-reboot", "-nodefaults"])
            .args(["-device", "virtio-rng-pci"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.files)
            .args([
                "-append",
                "console=ttyS0 loglevel=7 oops=panic panic=-1 nokaslr",
            ]);
        qemu
    }

    /// A shell for a person.
    pub(super) fn shell(&self) -> Result<()> {
        let status = self
            .command()
            .args(["-serial", "mon:stdio", "-serial", "null"])
            .status()
            .context("cannot run QEMU")?;
        ensure!(status.success(), "QEMU failed: {status}");
        Ok(())
    }

    /// Runs the job to its end, at most so long. Every line is shown as it comes.
    pub(super) fn run(&self, limit: Duration, show: &dyn Fn(&str)) -> Result<Output> {
        let start = Instant::now();
        let mut qemu = self
            .command()
            .arg("-serial")
            .arg(format!("file:{}", self.console.display()))
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run QEMU")?;
        let lines = lines_of(&mut qemu);
        let mut output = Output {
            lines: Vec::new(),
            exit: None,
            console: Vec::new(),
            seconds: 0,
        };
        loop {
            match lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
                Ok(line) if line == STARTED => {}
                Ok(line) => match line.strip_prefix(ENDED) {
                    Some(code) => output.exit = code.trim().parse().ok(),
                    None => {
                        show(&line);
                        output.lines.push(line);
                    }
                },
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    qemu.kill()?;
                    break;
                }
            }
        }
        qemu.wait()?;
        if output.exit.is_none() {
            let console = std::fs::read(&self.console).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let lines: Vec<&str> = console.lines().collect();
            let last = lines.len().saturating_sub(30);
            output.console = lines[last..].iter().map(|l| (*l).to_owned()).collect();
        }
        output.seconds = start.elapsed().as_secs();
        Ok(output)
    }
}

fn lines_of(qemu: &mut Child) -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(stdout) = qemu.stdout.take() {
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line);
                if sender.send(text.trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
    }
    receiver
}
