//! A world for tests, and programs run in all three ways.

use std::sync::Arc;
use std::sync::Mutex;

use beetrace_isa::assemble;
use beetrace_vm::maps::{Map, MapSpec, MapType};
use beetrace_vm::{Clock, Errno, Memory, Program, Run, Task, World};

/// A task with eight bytes of memory at address 0x1000.
#[derive(Default)]
pub(crate) struct Scene {
    pub(crate) trace: Mutex<Vec<String>>,
}

impl Memory for Scene {
    fn read_user(&self, address: u64, into: &mut [u8]) -> Result<(), Errno> {
        let start = address.checked_sub(0x1000).ok_or(Errno::FAULT)? as usize;
        let bytes = b"hello!\0x".get(start..start + into.len());
        into.copy_from_slice(bytes.ok_or(Errno::FAULT)?);
        Ok(())
    }
}

impl Task for Scene {
    fn pid_tgid(&self) -> u64 {
        7 << 32 | 8
    }

    fn uid_gid(&self) -> u64 {
        100 << 32 | 1000
    }

    fn comm(&self) -> [u8; 16] {
        *b"worker\0\0\0\0\0\0\0\0\0\0"
    }
}

impl World for Scene {
    fn now(&self, _clock: Clock) -> u64 {
        123
    }

    fn cpu(&self) -> u32 {
        1
    }

    fn function_arguments(&self) -> &[u64] {
        &[10, 20]
    }

    fn attach_cookie(&self) -> u64 {
        99
    }

    fn stack(&self, user: bool, frames: &mut [u64]) -> Result<usize, Errno> {
        if !user {
            return Err(Errno::OPNOTSUPP);
        }
        for (frame, value) in frames.iter_mut().zip([0x10, 0x20, 0x30]) {
            *frame = value;
        }
        Ok(frames.len().min(3))
    }

    fn trace(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        self.trace.lock().expect("not poisoned").push(text);
    }
}

pub(crate) fn map(kind: MapType, key: u32, value: u32, entries: u32) -> Arc<Map> {
    Map::new(MapSpec::new(kind, key, value, entries), 2).expect("made")
}

/// The program checked, interpreted and compiled. What is tested here is safe.
pub(crate) fn ways(text: &str, maps: &[Arc<Map>]) -> [Program; 3] {
    let insns = assemble(text).expect("assembles");
    let load = || Program::new(&insns, maps).expect("loads");
    // SAFETY: the texts of this file stay inside of their memory; checked mode runs each first.
    let verified = || unsafe { load().assume_verified() };
    [load(), verified(), verified().compile().expect("compiles")]
}

/// What `r0` is, the same in all ways.
#[track_caller]
pub(crate) fn result(text: &str, maps: &[Arc<Map>]) -> u64 {
    let scene = Scene::default();
    let results = ways(text, maps).map(|program| program.run(&mut Run::new(&scene), &mut []));
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
    results[0].clone().expect("runs")
}

/// Whether `r0` is the negated number of this error.
pub(crate) fn is(result: u64, errno: Errno) -> bool {
    result as i64 == -i64::from(errno.0)
}
