//! The command of `-c`: a process that is there, with its number, before it runs.

use std::ffi::{CStr, CString, OsStr};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use crate::sys::check;

/// What the child does when it may go on.
const RUN: u8 = 1;
const RUN_TRACED: u8 = 2;

/// A command, from before it runs to its end. One that has not ended is killed when this is dropped.
///
/// All of it belongs to the thread that called [`Child::spawn`]: ptrace(2) knows threads, and the child gets `SIGTERM` when that thread ends.
///
/// ```
/// use std::path::Path;
///
/// let mut child = beetrace_kernel::Child::spawn(Path::new("/bin/true"), &["true"], false)?;
/// assert!(child.pid() > 0);
/// child.release()?;
/// assert!(child.wait()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    /// Readable when it has ended; none before Linux 5.3.
    pidfd: Option<OwnedFd>,
    state: State,
    status: Option<ExitStatus>,
}

#[derive(Debug)]
enum State {
    /// Waits for a byte before it becomes the command; an error number comes back where that fails.
    Waiting {
        command: io::PipeWriter,
        failure: io::PipeReader,
    },
    /// Stopped on the first instruction of the command, under ptrace.
    Stopped,
    Running,
}

impl Child {
    /// Makes a process that will become `program` with these arguments, the first of which is its own name; it waits until it is released.
    /// With `quiet` its standard streams are `/dev/null`.
    pub fn spawn<S: AsRef<OsStr>>(
        program: &Path,
        arguments: &[S],
        quiet: bool,
    ) -> io::Result<Child> {
        let program = c_string(program.as_os_str())?;
        let arguments = arguments
            .iter()
            .map(|argument| c_string(argument.as_ref()))
            .collect::<io::Result<Vec<CString>>>()?;
        let environment = std::env::vars_os()
            .map(|(mut name, value)| {
                name.push("=");
                name.push(value);
                CString::new(name.into_vec()).map_err(io::Error::from)
            })
            .collect::<io::Result<Vec<CString>>>()?;
        let (command_reader, command) = io::pipe()?;
        let (failure, failure_writer) = io::pipe()?;
        let argument_pointers = pointers(&arguments);
        let environment_pointers = pointers(&environment);
        let plan = Plan {
            program: &program,
            arguments: &argument_pointers,
            environment: &environment_pointers,
            command: command_reader.as_raw_fd(),
            failure: failure_writer.as_raw_fd(),
            parent: std::process::id() as libc::pid_t,
            quiet,
        };
        // SAFETY: the child calls async-signal-safe functions only, and on memory that was made before.
        let pid = check(unsafe { libc::fork() }.into())? as libc::pid_t;
        if pid == 0 {
            become_command(&plan);
        }
        // SAFETY: no memory is involved; a descriptor that comes back is new.
        let pidfd = unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32;
            (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
        };
        Ok(Child {
            pid,
            pidfd,
            state: State::Waiting { command, failure },
            status: None,
        })
    }

    pub fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// A file that becomes readable when the command has ended.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Lets it become the command and stops it there: its files are mapped, nothing of it has run.
    pub fn load(&mut self) -> io::Result<()> {
        if !matches!(self.state, State::Waiting { .. }) {
            return Ok(());
        }
        self.go(RUN_TRACED)?;
        let mut status = 0;
        // SAFETY: the status lives through the call.
        check(unsafe { libc::waitpid(self.pid, &mut status, 0) }.into())?;
        if libc::WIFSTOPPED(status) {
            self.state = State::Stopped;
            return Ok(());
        }
        self.status = Some(ExitStatus::from_raw(status));
        Err(io::Error::other("the command ended before it began"))
    }

    /// Lets it run, from wherever it waits. The error is why the program could not be started.
    pub fn release(&mut self) -> io::Result<()> {
        match self.state {
            State::Waiting { .. } => self.go(RUN)?,
            State::Stopped => {
                // SAFETY: no memory is involved: no signal is passed on.
                check(unsafe { libc::ptrace(libc::PTRACE_DETACH, self.pid, 0, 0) })?;
            }
            State::Running => {}
        }
        self.state = State::Running;
        Ok(())
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.reap(libc::WNOHANG)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.reap(0)? {
                return Ok(status);
            }
        }
    }

    /// Asks it to end (`SIGTERM`), if it has not.
    pub fn terminate(&mut self) -> io::Result<()> {
        if self.status.is_some() {
            return Ok(());
        }
        self.kill(libc::SIGTERM)?;
        if matches!(self.state, State::Stopped) {
            self.release()?;
        }
        Ok(())
    }

    fn kill(&self, signal: i32) -> io::Result<()> {
        // SAFETY: no memory is involved, and the number is the child's until it is waited for.
        check(unsafe { libc::kill(self.pid, signal) }.into()).map(drop)
    }

    /// Gives the child its command and waits until it has become the program, or could not.
    fn go(&mut self, how: u8) -> io::Result<()> {
        let State::Waiting { command, failure } = &mut self.state else {
            return Ok(());
        };
        command.write_all(&[how])?;
        // The pipe closes when the program replaces the child. A traced one closes it, too, before it stops.
        let mut answer = [0; 4];
        match failure.read_exact(&mut answer) {
            Ok(()) => {
                self.reap(0)?;
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(answer)))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn reap(&mut self, flags: i32) -> io::Result<Option<ExitStatus>> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        let mut status = 0;
        // SAFETY: the status lives through the call.
        match check(unsafe { libc::waitpid(self.pid, &mut status, flags) }.into()) {
            Ok(0) => Ok(None),
            Ok(_) if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) => {
                self.status = Some(ExitStatus::from_raw(status));
                Ok(self.status)
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() && self.kill(libc::SIGKILL).is_ok() {
            // Ends soon: nothing outlives that signal.
            while let Ok(None) = self.reap(0) {}
        }
    }
}

/// What the child needs, made before the fork.
struct Plan<'a> {
    program: &'a CStr,
    /// Ended by null, as `execve` wants them.
    arguments: &'a [*const libc::c_char],
    environment: &'a [*const libc::c_char],
    command: i32,
    failure: i32,
    parent: libc::pid_t,
    quiet: bool,
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::from)
}

/// The child's side.
fn become_command(plan: &Plan) -> ! {
    // SAFETY: all these functions are async-signal-safe, and the memory they use was made before the fork.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        // The parent may have ended before that line.
        if libc::getppid() != plan.parent {
            libc::_exit(1);
        }
        let mut how = 0_u8;
        let read = libc::read(plan.command, (&raw mut how).cast(), 1);
        if read != 1 {
            libc::_exit(1);
        }
        if plan.quiet {
            let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            for stream in 0..3 {
                libc::dup2(null, stream);
            }
            if null > 2 {
                libc::close(null);
            }
        }
        // The standard library ignores SIGPIPE, which a command would inherit.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if how == RUN_TRACED {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        }
        libc::execve(
            plan.program.as_ptr(),
            plan.arguments.as_ptr(),
            plan.environment.as_ptr(),
        );
        let error = *libc::__errno_location();
        libc::write(plan.failure, (&raw const error).cast(), size_of::<i32>());
        libc::_exit(127)
    }
}
