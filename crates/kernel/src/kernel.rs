//! The [`Engine`] of the kernel.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use beetrace_engine::{
    Engine, Entry, Error, LoadOptions, Losses, MapId, Polled, ProgramId, RunResult,
};
use beetrace_object::{Event, MapRole, Object, ProbeSpec};

use crate::attach::{self, Env, Sites};
use crate::caps;
use crate::gate::{self, Gate};
use crate::load::{self, Cpus, Records};
use crate::loss;
use crate::map::Map;
use crate::plan::{self, Group};
use crate::program::{Loader, Program, Variant};
use crate::reaper::{self, Reaper};
use crate::run;
use crate::sys::{errno, mem};
use crate::system;

/// A probe that is attached, or several that share a link.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) program: usize,
    pub(crate) probes: Vec<usize>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Runs programs in the Linux kernel.
///
/// What it has attached, loaded and created is gone when it is dropped, apart from iterators that are pinned.
#[derive(Debug)]
pub struct Kernel {
    // The order of the fields is that of their end: links before programs before maps.
    attachments: Vec<Attachment>,
    programs: Vec<Program>,
    records: Option<(usize, Records)>,
    maps: Vec<Map>,
    losses_map: Option<usize>,
    gate: Option<Gate>,
    /// Closes what was detached last.
    reaper: Option<Reaper>,
    /// What links that are gone had missed, by program.
    missed: Vec<(usize, u64)>,
    loader: Loader,
    env: Env,
    cpus: Cpus,
}

/// How long records gather while they come fast: too short for a person to see.
const GATHER: Duration = Duration::from_millis(1);

impl Default for Kernel {
    fn default() -> Kernel {
        Kernel::new()
    }
}

impl Kernel {
    /// Does nothing yet that needs a privilege.
    pub fn new() -> Kernel {
        let cpus = Cpus {
            possible: system::possible_cpus(),
            online: system::online_cpus(),
        };
        Kernel {
            attachments: Vec::new(),
            programs: Vec::new(),
            records: None,
            maps: Vec::new(),
            losses_map: None,
            gate: None,
            reaper: None,
            missed: Vec::new(),
            loader: Loader::default(),
            env: Env {
                online: cpus.online.clone(),
                pid: 0,
            },
            cpus,
        }
    }

    fn map(&self, id: MapId) -> Result<&Map, Error> {
        self.maps
            .get(id.0 as usize)
            .ok_or_else(|| no_such(format!("map {}", id.0)))
    }

    fn drain(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> (u64, bool) {
        match &mut self.records {
            Some((_, Records::Ring(ring))) => ring.drain(sink),
            Some((_, Records::Perf(buffer))) => buffer.drain(sink),
            None => (0, true),
        }
    }

    /// Descriptors that can be read when records come.
    fn record_fds(&self) -> Vec<RawFd> {
        match &self.records {
            Some((map, Records::Ring(_))) => self
                .maps
                .get(*map)
                .map(|map| map.as_fd().as_raw_fd())
                .into_iter()
                .collect(),
            Some((_, Records::Perf(buffer))) => buffer.fds().collect(),
            None => Vec::new(),
        }
    }

    /// Attaches what shares a link; where that fails, one after the other. The answers are in the order of the group.
    fn attach_group(&mut self, program: usize, group: &Group) -> Vec<Result<(), Error>> {
        if group.multi && self.attach_multi(program, &group.probes).is_ok() {
            return group.probes.iter().map(|_| Ok(())).collect();
        }
        group
            .probes
            .iter()
            .map(|probe| self.attach_one(program, *probe))
            .collect()
    }

    fn attach_one(&mut self, index: usize, probe: usize) -> Result<(), Error> {
        let no_probe = || no_such(format!("probe {probe} of program {index}"));
        let program = self.programs.get_mut(index).ok_or_else(no_probe)?;
        let spec = program.probes.get(probe).ok_or_else(no_probe)?;
        let variant = attach::variant(&spec.event, false);
        program.load(&variant, &mut self.loader)?;
        let (Some(fd), Some(spec)) = (program.fd(&variant), program.probes.get(probe)) else {
            return Err(no_probe());
        };
        let fds = attach::attach(&self.env, fd, spec, probe as u64)?;
        self.attachments.push(Attachment {
            program: index,
            probes: vec![probe],
            fds,
        });
        Ok(())
    }

    fn attach_multi(&mut self, index: usize, probes: &[usize]) -> Result<(), Error> {
        let no_probe = || no_such(format!("program {index}"));
        let program = self.programs.get_mut(index).ok_or_else(no_probe)?;
        let first = probes
            .first()
            .and_then(|p| program.probes.get(*p))
            .ok_or_else(no_probe)?;
        let variant = attach::variant(&first.event, true);
        program.load(&variant, &mut self.loader)?;
        let specs: Vec<(&ProbeSpec, u64)> = probes
            .iter()
            .filter_map(|p| Some((program.probes.get(*p)?, *p as u64)))
            .collect();
        let fd = program.fd(&variant).ok_or_else(no_probe)?;
        let (first, _) = specs.first().ok_or_else(no_probe)?;
        let fds = if let Event::Kprobe { is_return, .. } = first.event {
            let symbols: Vec<(&str, u64)> = specs
                .iter()
                .filter_map(|(spec, cookie)| match &spec.event {
                    Event::Kprobe { symbol, .. } => Some((symbol.as_str(), *cookie)),
                    _ => None,
                })
                .collect();
            attach::attach_kprobes(fd, &first.name, &symbols, is_return)?
        } else {
            let sites: Vec<(Sites, u64)> = specs
                .iter()
                .filter_map(|(spec, cookie)| Some((Sites::of(&spec.event)?, *cookie)))
                .collect();
            attach::attach_uprobes(fd, &first.name, &sites)?
        };
        self.attachments.push(Attachment {
            program: index,
            probes: probes.to_vec(),
            fds,
        });
        Ok(())
    }

    /// The variants that a program will need, so that a rejection comes at the load.
    fn variants(program: &Program) -> Vec<Variant> {
        let mut variants: Vec<Variant> = Vec::new();
        for group in plan::groups(&program.probes, 0..program.probes.len()) {
            for probe in group.probes.iter().filter_map(|p| program.probes.get(*p)) {
                let variant = attach::variant(&probe.event, group.multi);
                if !variants.contains(&variant) {
                    variants.push(variant);
                }
            }
        }
        if variants.is_empty() {
            variants.push(Variant::PLAIN);
        }
        variants
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.detach();
    }
}

impl Engine for Kernel {
    fn load(&mut self, object: &Object, options: &LoadOptions) -> Result<(), Error> {
        mem::raise_memlock();
        mem::raise_nofile();
        self.env.pid = load::target_pid(options);
        self.maps = load::maps(object, options, &self.cpus)?;
        self.losses_map = object
            .maps
            .iter()
            .position(|m| matches!(m.role, MapRole::Losses));
        let types = beetrace_object::btf_for_load(object);
        self.loader = load::loader(object, options, &types)?;
        if object.programs.iter().any(|p| gate::is_slow(&p.probes)) {
            let gate = Gate::new().map_err(|e| caps::bpf_error("creating a map".into(), e))?;
            self.gate = Some(gate);
        }
        self.programs = load::programs(object, &self.maps, &types, self.gate.as_ref())?;
        for program in &mut self.programs {
            for variant in Kernel::variants(program) {
                program.load(&variant, &mut self.loader)?;
            }
        }
        self.records = load::records(object, &self.maps, &self.cpus)?;
        Ok(())
    }

    fn attach(&mut self, program: ProgramId, probe: usize) -> Result<(), Error> {
        let mut results = self.attach_all(&[(program, probe)]);
        results.pop().unwrap_or(Ok(()))
    }

    fn attach_all(&mut self, probes: &[(ProgramId, usize)]) -> Vec<Result<(), Error>> {
        if let Some(reaper) = self.reaper.take() {
            // What was attached before must not run again.
            reaper.wait();
        }
        if let Some(gate) = &mut self.gate
            && let Err(error) = gate.open()
        {
            let failed = || changing("the gate", io::Error::from_raw_os_error(errno(&error)));
            return probes.iter().map(|_| Err(failed())).collect();
        }
        let mut results: Vec<Option<Result<(), Error>>> = probes.iter().map(|_| None).collect();
        let mut programs: Vec<usize> = Vec::new();
        for (program, _) in probes {
            let program = program.0 as usize;
            if !programs.contains(&program) {
                programs.push(program);
            }
        }
        let programs = plan::in_order(programs, |program| {
            let probes = self.programs.get(program).map_or(&[][..], |p| &p.probes);
            probes.iter().any(|p| plan::is_last_first(&p.event))
        });
        for program in programs {
            // Where in `probes` those of this program are.
            let mine: Vec<(usize, usize)> = probes
                .iter()
                .enumerate()
                .filter(|(_, (p, _))| p.0 as usize == program)
                .map(|(at, (_, probe))| (at, *probe))
                .collect();
            let specs = self.programs.get(program).map_or(&[][..], |p| &p.probes);
            for group in plan::groups(specs, mine.iter().map(|(_, probe)| *probe)) {
                let answers = self.attach_group(program, &group);
                for (probe, answer) in group.probes.iter().zip(answers) {
                    let free = mine.iter().find(|(at, p)| {
                        p == probe && results.get(*at).is_some_and(Option::is_none)
                    });
                    if let Some(slot) = free.and_then(|(at, _)| results.get_mut(*at)) {
                        *slot = Some(answer);
                    }
                }
            }
        }
        results.into_iter().map(|r| r.unwrap_or(Ok(()))).collect()
    }

    fn detach(&mut self) {
        self.missed
            .extend(loss::by_links(&self.programs, &self.attachments));
        let attachments = std::mem::take(&mut self.attachments);
        let is_gated = self.gate.as_mut().is_some_and(|gate| gate.close().is_ok());
        let is_slow = |attachment: &Attachment| {
            let program = self.programs.get(attachment.program);
            is_gated && program.is_some_and(|p| gate::is_slow(&p.probes))
        };
        let (slow, fast): (Vec<_>, Vec<_>) = attachments.into_iter().partition(is_slow);
        drop(fast);
        self.reaper = reaper::close_later(slow.into_iter().flat_map(|a| a.fds).collect());
    }

    fn run(&mut self, program: ProgramId, repeat: u32) -> Result<RunResult, Error> {
        let index = program.0 as usize;
        let program = self
            .programs
            .get_mut(index)
            .ok_or_else(|| no_such(format!("program {index}")))?;
        run::run(program, &mut self.loader, repeat.max(1))
    }

    fn poll(
        &mut self,
        timeout: Option<Duration>,
        others: &[RawFd],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Polled, Error> {
        let failed = |source| Error::Io {
            action: "waiting for records".into(),
            source,
        };
        if timeout != Some(Duration::ZERO)
            && let Some((_, Records::Ring(ring))) = &self.records
            && ring.may_gather()
        {
            std::thread::sleep(GATHER);
        }
        let (mut records, go_on) = self.drain(sink);
        let timeout = if records > 0 || !go_on {
            if others.is_empty() {
                return Ok(Polled {
                    records,
                    other: false,
                });
            }
            Some(Duration::ZERO)
        } else {
            timeout
        };
        let mut fds = others.to_vec();
        if records == 0 {
            fds.extend(self.record_fds());
        }
        let ready = mem::wait_readable(&fds, timeout).map_err(failed)?;
        if records == 0 && go_on {
            records = self.drain(sink).0;
        }
        Ok(Polled {
            records,
            other: ready.iter().take(others.len()).any(|r| *r),
        })
    }

    fn entries(&mut self, map: MapId) -> Result<Vec<Entry>, Error> {
        self.map(map)?.entries().map_err(|e| reading(map, e))
    }

    fn lookup(&mut self, map: MapId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.map(map)?.lookup(key).map_err(|e| reading(map, e))
    }

    fn clear(&mut self, map: MapId) -> Result<(), Error> {
        self.map(map)?
            .clear()
            .map_err(|e| changing(format_args!("map {}", map.0), e))
    }

    fn zero(&mut self, map: MapId) -> Result<(), Error> {
        self.map(map)?
            .zero()
            .map_err(|e| changing(format_args!("map {}", map.0), e))
    }

    fn losses(&mut self) -> Result<Losses, Error> {
        let map = self.losses_map.and_then(|index| self.maps.get(index));
        let mut losses = match map {
            Some(map) => loss::counted(map).map_err(|source| Error::Io {
                action: "reading what was lost".into(),
                source,
            })?,
            None => Losses::default(),
        };
        if let Some((_, Records::Perf(buffer))) = &self.records {
            losses.records += buffer.lost;
        }
        losses.missed = loss::missed(&self.programs, &self.attachments, &self.missed);
        Ok(losses)
    }

    fn cpus(&self) -> usize {
        self.cpus.possible.len()
    }

    fn iterator(&mut self, program: ProgramId) -> Result<Option<Box<dyn Read>>, Error> {
        let index = program.0 as usize;
        let Some(program) = self.programs.get(index) else {
            return Err(no_such(format!("program {index}")));
        };
        let is_read = |probe: &usize| {
            matches!(
                program.probes.get(*probe).map(|p| &p.event),
                Some(Event::Iter { pin: None, .. })
            )
        };
        let attached = self
            .attachments
            .iter()
            .find(|a| a.program == index && a.probes.iter().any(is_read));
        let Some(link) = attached.and_then(|a| a.fds.first()) else {
            return Ok(None);
        };
        attach::read_iterator(link.as_fd())
            .map(|file| Some(Box::new(file) as Box<dyn Read>))
            .map_err(|e| caps::bpf_error(format!("reading {}", program.probe_name()), e))
    }

    fn unwatch(&mut self, address: u64) -> Result<(), Error> {
        let programs = &self.programs;
        self.attachments.retain(|attachment| {
            let Some(program) = programs.get(attachment.program) else {
                return true;
            };
            !attachment.probes.iter().any(|probe| {
                matches!(
                    program.probes.get(*probe).map(|p| &p.event),
                    Some(Event::Watchpoint { address: watched, .. }) if *watched == address
                )
            })
        });
        Ok(())
    }

    fn verifier_logs(&self) -> Vec<(String, String)> {
        self.loader.logs.clone()
    }
}

fn no_such(what: String) -> Error {
    Error::Io {
        action: format!("looking for {what}"),
        source: io::ErrorKind::NotFound.into(),
    }
}

fn reading(map: MapId, source: io::Error) -> Error {
    caps::bpf_error(format!("reading map {}", map.0), source)
}

fn changing(what: impl std::fmt::Display, source: io::Error) -> Error {
    caps::bpf_error(format!("changing {what}"), source)
}
