//! Which probes of a program can share one link.

use beetrace_object::{Event, ProbeSpec};

use crate::attach::{self, Sites};

/// Probes that are attached together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Indices into the program's probes.
    pub(crate) probes: Vec<usize>,
    /// One link for many places, where the kernel has such links.
    pub(crate) multi: bool,
}

/// Whether the kernel calls the program that was attached last first, where several are at one place
/// (`consumer_add` in kernel/events/uprobes.c).
pub(crate) fn is_last_first(event: &Event) -> bool {
    matches!(event, Event::Uprobe(_) | Event::Usdt(_))
}

/// The order in which programs are attached, so that they run in the order given: those that the kernel calls last first
/// are turned round.
pub(crate) fn in_order(programs: Vec<usize>, is_last_first: impl Fn(usize) -> bool) -> Vec<usize> {
    let (turned, mut all): (Vec<_>, Vec<_>) = programs.into_iter().partition(|p| is_last_first(*p));
    all.extend(turned.into_iter().rev());
    all
}

/// Puts the `wanted` probes of a program into groups, in the order of their first.
pub(crate) fn groups(probes: &[ProbeSpec], wanted: impl Iterator<Item = usize>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for index in wanted {
        let Some(probe) = probes.get(index) else {
            groups.push(alone(index, false));
            continue;
        };
        let is_groupable =
            Sites::of(&probe.event).is_some() || attach::can_group_kprobe(&probe.event);
        let fitting = groups.iter_mut().find(|group| {
            is_groupable
                && group
                    .probes
                    .first()
                    .and_then(|first| probes.get(*first))
                    .is_some_and(|first| go_together(&first.event, &probe.event))
        });
        match fitting {
            Some(group) => {
                group.probes.push(index);
                group.multi = true;
            }
            None => {
                // Such a link is taken away five times as fast as a perf event; but before Linux 6.10 those of one process
                // saw a single thread of it.
                let multi = Sites::of(&probe.event)
                    .is_some_and(|sites| sites.pid == 0 || sites.targets.len() > 1);
                groups.push(alone(index, multi));
            }
        }
    }
    groups
}

fn alone(index: usize, multi: bool) -> Group {
    Group {
        probes: vec![index],
        multi,
    }
}

fn go_together(a: &Event, b: &Event) -> bool {
    match (a, b) {
        (
            Event::Kprobe {
                is_return: a_return,
                ..
            },
            Event::Kprobe {
                is_return: b_return,
                ..
            },
        ) => a_return == b_return && attach::can_group_kprobe(a) && attach::can_group_kprobe(b),
        _ => match (Sites::of(a), Sites::of(b)) {
            (Some(a), Some(b)) => a.goes_with(&b),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use beetrace_object::{Uprobe, UprobeTarget};

    use super::*;

    fn uprobe(path: &str, offsets: &[u64], is_return: bool) -> ProbeSpec {
        let targets = offsets
            .iter()
            .map(|offset| UprobeTarget {
                symbol: String::new(),
                offset: *offset,
                ref_ctr_offset: 0,
            })
            .collect();
        ProbeSpec {
            name: format!("uprobe:{path}"),
            event: Event::Uprobe(Uprobe {
                path: path.into(),
                targets,
                is_return,
                pid: None,
            }),
        }
    }

    fn kprobe(symbol: &str, offset: u64) -> ProbeSpec {
        ProbeSpec {
            name: format!("kprobe:{symbol}"),
            event: Event::Kprobe {
                symbol: symbol.into(),
                offset,
                address: None,
                is_return: false,
            },
        }
    }

    #[test]
    fn programs_at_user_places_are_attached_backwards() {
        let order = in_order(vec![0, 1, 2, 3, 4], |p| p % 2 == 0);
        assert_eq!(order, [1, 3, 4, 2, 0]);
    }

    #[test]
    fn one_place_of_one_process_is_alone() {
        let mut probe = uprobe("/a", &[1], false);
        if let Event::Uprobe(uprobe) = &mut probe.event {
            uprobe.pid = Some(1);
        }
        let groups = groups(&[probe], 0..1);
        assert_eq!(groups, [alone(0, false)]);
    }

    #[test]
    fn places_of_one_file_share_a_link() {
        let probes = [
            uprobe("/a", &[1], false),
            uprobe("/b", &[1], false),
            uprobe("/a", &[2], false),
            uprobe("/a", &[3], true),
            uprobe("/c", &[1, 2], false),
            kprobe("f", 0),
            kprobe("f", 8),
            kprobe("g", 0),
        ];
        let found: Vec<(Vec<usize>, bool)> = groups(&probes, 0..probes.len())
            .into_iter()
            .map(|g| (g.probes, g.multi))
            .collect();
        assert_eq!(
            found,
            [
                (vec![0, 2], true),
                (vec![1], true),
                (vec![3], true),
                (vec![4], true),
                (vec![5, 7], true),
                (vec![6], false),
            ]
        );
    }
}
