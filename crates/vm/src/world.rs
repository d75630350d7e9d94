//! What programs can ask of the world outside: the task that the event belongs to, its memory, time, stacks.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, DynamicClockId};

use crate::Errno;

/// Memory that programs reach through helpers only, never by themselves.
pub trait Memory {
    /// Fills `into` with the current task's memory from `address` on.
    fn read_user(&self, address: u64, into: &mut [u8]) -> Result<(), Errno>;

    /// Fills `into` with memory of the kernel. There is none in user space.
    fn read_kernel(&self, _address: u64, _into: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::FAULT)
    }

    /// Changes the current task's memory.
    fn write_user(&self, _address: u64, _from: &[u8]) -> Result<(), Errno> {
        Err(Errno::PERM)
    }
}

/// The task that an event belongs to.
pub trait Task {
    /// Process (`tgid`) in the high half, thread (`pid`) in the low half.
    fn pid_tgid(&self) -> u64;

    /// Group in the high half, user in the low half.
    fn uid_gid(&self) -> u64;

    /// The thread's name, zero behind it.
    fn comm(&self) -> [u8; 16];

    /// Something that tells tasks apart, as the address of a `task_struct` does.
    fn address(&self) -> u64 {
        self.pid_tgid()
    }

    /// Thread and process id as the pid namespace with this device and inode knows them.
    fn namespace_ids(&self, _device: u64, _inode: u64) -> Result<(u32, u32), Errno> {
        let ids = self.pid_tgid();
        Ok((ids as u32, (ids >> 32) as u32))
    }

    /// The id of its cgroup in the second hierarchy; 0 where it is not known.
    fn cgroup_id(&self) -> u64 {
        0
    }

    /// The same of the ancestor on a level, 0 being the root.
    fn ancestor_cgroup_id(&self, _level: i32) -> u64 {
        0
    }

    /// Sends a signal to the process, or to the thread.
    fn send_signal(&self, _signal: u32, _thread: bool) -> Result<(), Errno> {
        Err(Errno::PERM)
    }
}

/// The clocks that helpers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Monotonic,
    Boot,
    /// Monotonic, to the last tick only.
    Coarse,
    Tai,
}

/// Everything outside of the machine that a run may touch.
pub trait World: Memory + Task {
    /// Nanoseconds of a clock.
    fn now(&self, clock: Clock) -> u64 {
        system_time(clock)
    }

    /// The processor that the event happened on, below the number that the maps were made for.
    fn cpu(&self) -> u32 {
        0
    }

    /// The memory node of that processor.
    fn numa_node(&self) -> u32 {
        0
    }

    /// A random number.
    fn random(&self) -> u32 {
        random()
    }

    /// Writes the return addresses of the stack, innermost first, and gives how many there are.
    /// `user` asks for the stack of the task, else the kernel's.
    fn stack(&self, _user: bool, _frames: &mut [u64]) -> Result<usize, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// The cookie that was given when the probe was attached.
    fn attach_cookie(&self) -> u64 {
        0
    }

    /// Address of the function that the probe is on.
    fn function_address(&self) -> u64 {
        0
    }

    /// Arguments of the function that the probe is on, then, in [`World::function_result`], what it returned.
    fn function_arguments(&self) -> &[u64] {
        &[]
    }

    /// What the function that the probe is on returned.
    fn function_result(&self) -> Option<u64> {
        None
    }

    /// Takes one line of `bpf_trace_printk`.
    fn trace(&self, _text: &[u8]) {}
}

/// Time by the system's clocks.
pub fn system_time(clock: Clock) -> u64 {
    let id = match clock {
        Clock::Monotonic => DynamicClockId::Known(ClockId::Monotonic),
        Clock::Boot => DynamicClockId::Boottime,
        Clock::Coarse => DynamicClockId::Known(ClockId::MonotonicCoarse),
        Clock::Tai => DynamicClockId::Tai,
    };
    // Only a kernel older than the clock refuses.
    let Ok(time) = rustix::time::clock_gettime_dynamic(id) else {
        return 0;
    };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// The next number of this thread's generator (xorshift64*, good enough for sampling).
fn random() -> u32 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(1, |d| d.as_nanos() as u64)
                | 1,
        );
    }
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    })
}

/// A world without tasks: ids are zero, all reads fault, time is the system's. For tests and benchmarks.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyWorld;

impl Memory for EmptyWorld {
    fn read_user(&self, _address: u64, _into: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::FAULT)
    }
}

impl Task for EmptyWorld {
    fn pid_tgid(&self) -> u64 {
        0
    }

    fn uid_gid(&self) -> u64 {
        0
    }

    fn comm(&self) -> [u8; 16] {
        [0; 16]
    }
}

impl World for EmptyWorld {}
