//! Listing what can be traced, as `-l` and `-lv` show it.

mod names;
mod params;
mod types;

use crate::attach_point::{AttachPoint, Target};
use crate::demangle::Language;
use crate::fentry::FentryTarget;
use crate::provider::{Listed, Provider};
use crate::special::SIGNALS;
use crate::uprobe::Function;
use crate::wildcard::{Pattern, has_wildcard};
use crate::world::World;

/// How to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `-lv`: with arguments of probes and definitions of types.
    pub verbose: bool,
    /// `-p`
    pub pid: Option<u32>,
}

/// What there is, and what to warn of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub lines: Vec<String>,
    pub warnings: Vec<String>,
}

/// Lists what a search means: patterns of probes and of types, parted by commas. An empty one means everything.
pub fn search(search: &str, world: &dyn World, options: &ListOptions) -> Listing {
    let mut lister = Lister::new(world, options);
    if search.contains('.') && !search.contains([':', '*']) {
        lister.listing.warnings.push(format!(
            "It appears that '{search}' is a filename but the file does not exist. Treating '{search}' as a search pattern."
        ));
    }
    for pattern in search.split(',') {
        let words: Vec<&str> = pattern.split_whitespace().collect();
        let pattern = words.join(" ");
        match words.first() {
            Some(&("struct" | "union" | "enum")) => {
                lister
                    .listing
                    .lines
                    .extend(types::list(&pattern, world, options.verbose));
            }
            None => lister.probes("*:*"),
            Some(_) if pattern.contains(':') => lister.probes(&pattern),
            Some(_) => lister.probes(&format!("*:{pattern}")),
        }
    }
    lister.listing
}

/// Lists what the attach points of a script mean.
pub fn script(points: &[AttachPoint], world: &dyn World, options: &ListOptions) -> Listing {
    let mut lister = Lister::new(world, options);
    for point in points {
        if let Some((target, pattern, language)) = query(point) {
            lister.provider(point.provider, &target, &pattern, language);
        }
    }
    lister.listing
}

/// Where to look and for what.
fn query(point: &AttachPoint) -> Option<(String, String, Option<Language>)> {
    let joined = |target: &str, name: &str| match target {
        "" => name.to_owned(),
        target => format!("{target}:{name}"),
    };
    let (target, pattern, language) = match &point.target {
        Target::None | Target::Signal { .. } | Target::Watchpoint(_) => return None,
        Target::Named(name) => (name.clone(), format!("{name}:"), None),
        Target::Timer(timer) => (String::new(), format!("{}:", timer.unit.name()), None),
        Target::Counter(counter) => (String::new(), format!("{}:", counter.event), None),
        Target::Tracepoint { category, name } => (category.clone(), joined(category, name), None),
        Target::RawTracepoint { module, name } => (module.clone(), joined(module, name), None),
        Target::Iter(iter) => (String::new(), iter.kind.clone(), None),
        Target::Kprobe(kprobe) => (
            kprobe.module.clone(),
            joined(&kprobe.module, &kprobe.function),
            None,
        ),
        Target::Fentry(FentryTarget::Function { module, function }) => {
            let module = if module.is_empty() { "*" } else { module };
            (module.to_owned(), joined(module, function), None)
        }
        Target::Fentry(FentryTarget::Program { .. }) => return None,
        Target::Uprobe(place) => match &place.function {
            Function::Named { name, .. } => (place.binary.clone(), name.clone(), place.language),
            Function::Address(_) | Function::Line { .. } => return None,
        },
        Target::Usdt(usdt) => {
            let namespace = if usdt.namespace.is_empty() {
                "*"
            } else {
                &usdt.namespace
            };
            (
                usdt.binary.clone(),
                format!("{namespace}:{}", usdt.name),
                None,
            )
        }
    };
    Some((target, pattern, language))
}

/// One thing that can be traced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// All but the provider.
    name: String,
    params: Vec<String>,
}

struct Lister<'a> {
    world: &'a dyn World,
    options: &'a ListOptions,
    listing: Listing,
}

impl<'a> Lister<'a> {
    fn new(world: &'a dyn World, options: &'a ListOptions) -> Self {
        Lister {
            world,
            options,
            listing: Listing::default(),
        }
    }

    /// Lists the probes of a pattern that names its provider, perhaps by a wildcard.
    fn probes(&mut self, pattern: &str) {
        let (front, rest) = pattern.split_once(':').unwrap_or((pattern, "*"));
        // Only what is between the first two colons is a target.
        let target = rest.split_once(':').map(|(target, _)| target);
        for provider in self.providers(front, target) {
            match (provider, target) {
                (Provider::SelfProbe, _) => {
                    let pattern = Pattern::new(rest);
                    for (name, _) in SIGNALS {
                        let name = format!("signal:{name}");
                        if pattern.matches(&name) {
                            self.listing.lines.push(format!("{provider}:{name}"));
                        }
                    }
                }
                (Provider::Uprobe | Provider::Uretprobe | Provider::Usdt, Some(target)) => {
                    let behind = &rest[target.len() + 1..];
                    match behind.split_once(':') {
                        Some((word, name)) if Language::find(word).is_some() => {
                            let name = name.trim_matches('"');
                            self.provider(provider, target, name, Language::find(word));
                        }
                        _ => self.provider(provider, target, behind, None),
                    }
                }
                (Provider::Uprobe | Provider::Uretprobe | Provider::Usdt, None) => {
                    // `uprobe:/bin/bash` can only mean all of it.
                    let (target, name) = match rest.contains('/') {
                        true => (rest, "*"),
                        false => ("*", rest),
                    };
                    self.provider(provider, target, name, None);
                }
                (Provider::Kprobe | Provider::Kretprobe, None) => {
                    self.provider(provider, "", rest, None);
                }
                (
                    Provider::Tracepoint
                    | Provider::RawTracepoint
                    | Provider::Fentry
                    | Provider::Fexit,
                    None,
                ) => self.provider(provider, "*", &format!("*:{rest}"), None),
                (_, target) => self.provider(provider, target.unwrap_or(""), rest, None),
            }
        }
    }

    /// Sorted by name.
    fn providers(&self, front: &str, target: Option<&str>) -> Vec<Provider> {
        if !has_wildcard(front) {
            return Provider::find(front).into_iter().collect();
        }
        let pattern = Pattern::new(front);
        let mut found = Provider::matching(&pattern, Listed::Kernel);
        let in_file = target.is_some_and(|target| {
            !target.is_empty()
                && !has_wildcard(target)
                && !self
                    .world
                    .find_binaries(target)
                    .unwrap_or_default()
                    .is_empty()
        });
        if in_file || self.options.pid.is_some() {
            found.extend(Provider::matching(&pattern, Listed::User));
            found.sort_by_key(|provider| provider.name());
        }
        found
    }

    fn provider(
        &mut self,
        provider: Provider,
        target: &str,
        pattern: &str,
        language: Option<Language>,
    ) {
        let entries = match names::find(
            provider,
            target,
            pattern,
            language,
            self.world,
            self.options,
        ) {
            Ok(entries) => entries,
            Err(error) => {
                if !self.listing.warnings.contains(&error.message) {
                    self.listing.warnings.push(error.message);
                }
                return;
            }
        };
        for entry in entries {
            self.listing
                .lines
                .push(format!("{provider}:{}", entry.name));
            let params = entry.params.iter().map(|param| format!("    {param}"));
            self.listing.lines.extend(params);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, PID};

    fn lines(pattern: &str, verbose: bool) -> String {
        let options = ListOptions { verbose, pid: None };
        search(pattern, &Fixture::new(), &options).lines.join("\n")
    }

    #[test]
    fn lists_by_provider() {
        for (pattern, expected) in [
            (
                "interval:*",
                "interval:hz:\ninterval:ms:\ninterval:s:\ninterval:us:",
            ),
            ("self:*", "self:signal:SIGUSR1"),
            (
                "software:cpu*:",
                "software:cpu-clock:\nsoftware:cpu-migrations:\nsoftware:cpu:",
            ),
            (
                "t:sched:*",
                "tracepoint:sched:sched_process_exec\ntracepoint:sched:sched_switch",
            ),
            ("tracepoint:*switch", "tracepoint:sched:sched_switch"),
            ("rt:*", "rawtracepoint:vmlinux:sched_switch"),
            ("kprobe:vfs_r*", "kprobe:vfs_read\nkprobe:vfs_readv"),
            (
                "kretprobe:nft:*",
                "kretprobe:nft:nft_trace\nkretprobe:nft:twice",
            ),
            ("fentry:vfs_o*", "fentry:vmlinux:vfs_open"),
            ("iter:*", "iter:task\niter:task_file"),
            (
                "uprobe:/bin/app:work*",
                "uprobe:/bin/app:work_one\nuprobe:/bin/app:work_two",
            ),
            ("uretprobe:libapp:*", "uretprobe:/lib/libapp.so.1:work"),
            (
                "uprobe:/bin/app:cpp:ns*",
                "uprobe:/bin/app:cpp:\"ns::run(char)\"\nuprobe:/bin/app:cpp:\"ns::run(int)\"",
            ),
            (
                "usdt:/bin/app:*",
                "usdt:/bin/app:other:start2\nusdt:/bin/app:trace:moved\nusdt:/bin/app:trace:start",
            ),
            ("usdt:/bin/app:other:*", "usdt:/bin/app:other:start2"),
            (
                "*ware:c*s:",
                "\
hardware:cache-misses:
hardware:cache-references:
hardware:cpu-cycles:
hardware:cycles:
software:context-switches:
software:cpu-migrations:
software:cs:",
            ),
            ("begin", ""),
            ("watchpoint:*", ""),
            ("nonsense:*", ""),
        ] {
            assert_eq!(lines(pattern, false), expected, "{pattern}");
        }
    }

    #[test]
    fn lists_arguments() {
        for (pattern, expected) in [
            (
                "tracepoint:syscalls:sys_enter_openat",
                "\
tracepoint:syscalls:sys_enter_openat
    int __syscall_nr
    int dfd
    const char * filename
    int flags
    umode_t mode",
            ),
            (
                "tracepoint:sched:*exec",
                "\
tracepoint:sched:sched_process_exec
    __data_loc char[] filename
    pid_t pid
    pid_t old_pid",
            ),
            (
                "kprobe:vfs_read",
                "\
kprobe:vfs_read
    struct file * arg0
    char * arg1
    size_t arg2",
            ),
            (
                "kretprobe:vfs_read",
                "kretprobe:vfs_read\n    ssize_t retval",
            ),
            ("kretprobe:twice", "kretprobe:twice\n    void"),
            (
                "fentry:vfs_open",
                "\
fentry:vmlinux:vfs_open
    struct path * path
    struct file * file",
            ),
            (
                "fexit:vmlinux:vfs_open",
                "\
fexit:vmlinux:vfs_open
    struct path * path
    struct file * file
    int retval",
            ),
            (
                "rawtracepoint:sched_switch",
                "\
rawtracepoint:vmlinux:sched_switch
    bool preempt
    struct task_struct * prev
    struct task_struct * next",
            ),
            (
                "iter:task_file",
                "\
iter:task_file
    struct task_struct * task
    unsigned int fd
    struct file * file",
            ),
        ] {
            assert_eq!(lines(pattern, true), expected, "{pattern}");
        }
    }

    #[test]
    fn lists_types() {
        assert_eq!(
            lines("struct *file", false),
            "struct bpf_iter__task_file\nstruct file"
        );
        assert_eq!(lines("enum  color", false), "enum color");
        assert_eq!(
            lines("struct qstr,kprobe:vfs_open", true),
            "\
vmlinux: struct qstr {
	unsigned int len;
	char *name;
};

kprobe:vfs_open
    struct path * arg0
    struct file * arg1"
        );
    }

    #[test]
    fn an_empty_search_means_the_kernel() {
        let all = lines("", false);
        for line in [
            "software:cpu:",
            "hardware:cycles:",
            "tracepoint:sched:sched_switch",
            "rawtracepoint:vmlinux:sched_switch",
            "iter:task",
            "kprobe:vfs_read",
            "fentry:vmlinux:vfs_read",
        ] {
            assert!(all.lines().any(|found| found == line), "{line}");
        }
        assert!(!all.contains("uprobe"), "{all}");
        assert!(!all.contains("interval"), "{all}");
        assert!(!all.contains("rcu_"), "{all}");
        assert_eq!(
            lines("*switch*", false),
            "\
rawtracepoint:vmlinux:sched_switch
software:context-switches:
tracepoint:sched:sched_switch"
        );
    }

    #[test]
    fn a_process_has_probes_of_its_own() {
        let options = ListOptions {
            verbose: false,
            pid: Some(PID),
        };
        let all = search("", &Fixture::new(), &options).lines;
        assert!(
            all.contains(&"uprobe:/proc/42/root/bin/app:main".to_owned()),
            "{all:?}"
        );
        assert!(all.contains(&"usdt:/proc/42/root/bin/app:trace:start".to_owned()));
        let found = search("usdt:*:other:*", &Fixture::new(), &options).lines;
        assert_eq!(found, ["usdt:/proc/42/root/bin/app:other:start2"]);
        let found = search("uprobe:work*", &Fixture::new(), &options).lines;
        assert_eq!(
            found,
            [
                "uprobe:/proc/42/root/bin/app:work_one",
                "uprobe:/proc/42/root/bin/app:work_two"
            ]
        );
    }

    #[test]
    fn a_file_name_is_noticed() {
        let listing = search("none.bt", &Fixture::new(), &ListOptions::default());
        assert_eq!(
            listing.warnings,
            [
                "It appears that 'none.bt' is a filename but the file does not exist. Treating 'none.bt' as a search pattern."
            ]
        );
        assert_eq!(listing.lines, [""; 0]);
    }

    #[test]
    fn lists_the_probes_of_a_script() {
        let points: Vec<AttachPoint> = [
            "begin",
            "interval:s:1",
            "hardware:cache-misses:10",
            "test:foo",
            "tracepoint:sched:sched_sw*",
            "software:cpu:1",
            "watchpoint:0x10:8:w",
            "fentry:vfs_open",
            "kprobe:vfs_read",
            "uretprobe:/bin/app:work*",
            "usdt:/bin/app:start2",
            "iter:task",
        ]
        .iter()
        .map(|text| AttachPoint::parse(text).unwrap())
        .collect();
        let listing = script(&points, &Fixture::new(), &ListOptions::default());
        assert_eq!(
            listing.lines,
            [
                "interval:s:",
                "hardware:cache-misses:",
                "test:foo:",
                "tracepoint:sched:sched_switch",
                "software:cpu:",
                "fentry:vmlinux:vfs_open",
                "kprobe:vfs_read",
                "uretprobe:/bin/app:work_one",
                "uretprobe:/bin/app:work_two",
                "usdt:/bin/app:other:start2",
                "iter:task",
            ]
        );
    }
}
