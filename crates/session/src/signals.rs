//! Signals of beetrace itself: SIGINT and SIGTERM end the run, a second one ends it at once; others run `self:signal` probes.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// Handlers in place. They stay for the life of the process.
#[derive(Debug)]
pub struct Signals {
    end: Arc<AtomicBool>,
    /// A byte arrives here with every end signal.
    end_pipe: UnixStream,
    others: Vec<(i32, UnixStream)>,
}

impl Signals {
    /// To be called before anything that takes long, so that an end asked for early is not lost.
    pub fn install() -> io::Result<Signals> {
        let end = Arc::new(AtomicBool::new(false));
        let (end_pipe, write) = UnixStream::pair()?;
        end_pipe.set_nonblocking(true)?;
        for signal in [SIGINT, SIGTERM] {
            // The first signal finds the flag unset and sets it; the second finds it set.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&end))?;
            flag::register(signal, Arc::clone(&end))?;
            pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Signals {
            end,
            end_pipe,
            others: Vec::new(),
        })
    }

    /// Counts another signal from now on.
    pub fn listen(&mut self, signal: i32) -> io::Result<()> {
        if self.others.iter().all(|(s, _)| *s != signal) {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            pipe::register(signal, write)?;
            self.others.push((signal, read));
        }
        Ok(())
    }

    /// Whether an end was asked for.
    pub fn ended(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Files that become readable when a signal arrives.
    pub fn fds(&self) -> impl Iterator<Item = RawFd> {
        std::iter::once(self.end_pipe.as_raw_fd())
            .chain(self.others.iter().map(|(_, s)| s.as_raw_fd()))
    }

    /// The other signals that arrived since the last call, each as often as it did.
    pub fn take(&mut self) -> Vec<i32> {
        let mut arrived = Vec::new();
        for (signal, stream) in &mut self.others {
            let mut bytes = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut bytes) {
                arrived.extend(std::iter::repeat_n(*signal, n));
            }
        }
        arrived
    }
}
