//! The kinds of probes and their names.

use std::fmt;

use crate::wildcard::Pattern;

/// A kind of probe, as the first part of an attach point names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    Begin,
    End,
    SelfProbe,
    Test,
    Bench,
    Interval,
    Profile,
    Software,
    Hardware,
    Tracepoint,
    RawTracepoint,
    Uprobe,
    Uretprobe,
    Usdt,
    Iter,
    Watchpoint,
    Kprobe,
    Kretprobe,
    Fentry,
    Fexit,
}

/// What `-l` without a provider shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Among the kernel's probes.
    Kernel,
    /// Among those of a binary or a process.
    User,
    /// Only when asked for by name.
    ByName,
}

struct Entry {
    provider: Provider,
    name: &'static str,
    aliases: &'static [&'static str],
    listed: Listed,
}

const fn entry(
    provider: Provider,
    name: &'static str,
    aliases: &'static [&'static str],
    listed: Listed,
) -> Entry {
    Entry {
        provider,
        name,
        aliases,
        listed,
    }
}

const PROVIDERS: &[Entry] = &[
    entry(Provider::Begin, "begin", &[], Listed::ByName),
    entry(Provider::End, "end", &[], Listed::ByName),
    entry(Provider::SelfProbe, "self", &[], Listed::ByName),
    entry(Provider::Test, "test", &[], Listed::ByName),
    entry(Provider::Bench, "bench", &[], Listed::ByName),
    entry(Provider::Interval, "interval", &["i"], Listed::ByName),
    entry(Provider::Profile, "profile", &["p"], Listed::ByName),
    entry(Provider::Software, "software", &["s"], Listed::Kernel),
    entry(Provider::Hardware, "hardware", &["h"], Listed::Kernel),
    entry(Provider::Tracepoint, "tracepoint", &["t"], Listed::Kernel),
    entry(
        Provider::RawTracepoint,
        "rawtracepoint",
        &["rt"],
        Listed::Kernel,
    ),
    entry(Provider::Uprobe, "uprobe", &["u"], Listed::User),
    entry(Provider::Uretprobe, "uretprobe", &["ur"], Listed::ByName),
    entry(Provider::Usdt, "usdt", &["U"], Listed::User),
    entry(Provider::Iter, "iter", &["it"], Listed::Kernel),
    entry(Provider::Watchpoint, "watchpoint", &["w"], Listed::ByName),
    entry(Provider::Kprobe, "kprobe", &["k"], Listed::Kernel),
    entry(Provider::Kretprobe, "kretprobe", &["kr"], Listed::ByName),
    entry(Provider::Fentry, "fentry", &["f", "kfunc"], Listed::Kernel),
    entry(
        Provider::Fexit,
        "fexit",
        &["fr", "kretfunc"],
        Listed::ByName,
    ),
];

impl Provider {
    /// By its name in any case, or by a short name as written.
    pub fn find(name: &str) -> Option<Provider> {
        let lower = name.to_ascii_lowercase();
        PROVIDERS
            .iter()
            .find(|entry| entry.name == lower || entry.aliases.contains(&name))
            .map(|entry| entry.provider)
    }

    /// The full name, in lower case.
    pub fn name(self) -> &'static str {
        PROVIDERS
            .iter()
            .find(|entry| entry.provider == self)
            .map_or("", |entry| entry.name)
    }

    /// Other names, the short one first.
    pub fn aliases(self) -> &'static [&'static str] {
        PROVIDERS
            .iter()
            .find(|entry| entry.provider == self)
            .map_or(&[], |entry| entry.aliases)
    }

    pub fn listed(self) -> Listed {
        PROVIDERS
            .iter()
            .find(|entry| entry.provider == self)
            .map_or(Listed::ByName, |entry| entry.listed)
    }

    /// All providers, in the order of the manual.
    pub fn all() -> impl Iterator<Item = Provider> {
        PROVIDERS.iter().map(|entry| entry.provider)
    }

    /// Those that a pattern names and that are listed so, sorted by name.
    pub(crate) fn matching(pattern: &Pattern, listed: Listed) -> Vec<Provider> {
        let mut found: Vec<Provider> = Provider::all()
            .filter(|provider| provider.listed() == listed && pattern.matches(provider.name()))
            .collect();
        found.sort_by_key(|provider| provider.name());
        found
    }

    /// Whether it fires when a function returns.
    pub fn is_return(self) -> bool {
        matches!(
            self,
            Provider::Uretprobe | Provider::Kretprobe | Provider::Fexit
        )
    }

    /// The provider that a misspelt name most likely means.
    pub fn suggest(name: &str) -> Option<Provider> {
        let lower = name.to_ascii_lowercase();
        PROVIDERS
            .iter()
            .flat_map(|entry| {
                std::iter::once(entry.name)
                    .chain(entry.aliases.iter().copied().filter(|a| a.len() > 2))
                    .map(|known| (distance(&lower, known), entry.provider))
            })
            .filter(|(distance, provider)| *distance <= provider.name().len().min(6) / 3)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, provider)| provider)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many letters must be added, removed, changed or swapped with the next to get from one word to the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let change = rows[i][j] + usize::from(ca != cb);
            let mut best = change.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_long_and_short_names() {
        for (name, provider) in [
            ("kprobe", Provider::Kprobe),
            ("k", Provider::Kprobe),
            ("kr", Provider::Kretprobe),
            ("u", Provider::Uprobe),
            ("U", Provider::Usdt),
            ("BEGIN", Provider::Begin),
            ("Interval", Provider::Interval),
            ("kfunc", Provider::Fentry),
            ("kretfunc", Provider::Fexit),
            ("it", Provider::Iter),
            ("w", Provider::Watchpoint),
        ] {
            assert_eq!(Provider::find(name), Some(provider), "{name}");
        }
        for name in ["", "K", "aw", "asyncwatchpoint", "kprobes"] {
            assert_eq!(Provider::find(name), None, "{name}");
        }
    }

    #[test]
    fn suggests_the_nearest() {
        for (name, provider) in [
            ("kprob", Some(Provider::Kprobe)),
            ("kporbe", Some(Provider::Kprobe)),
            ("tracepont", Some(Provider::Tracepoint)),
            ("asyncwatchpoint", None),
            ("usd", Some(Provider::Usdt)),
            ("xyz", None),
        ] {
            assert_eq!(Provider::suggest(name), provider, "{name}");
        }
    }
}
