//! What `--info` says of the kernel.

use std::fmt;

use beetrace_isa::helper;
use beetrace_object::ProgramKind;

use crate::features::{Feature, Features};

/// A heading with its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub title: &'static str,
    /// What, and the answer: `yes`, `no` or a number.
    pub items: Vec<(&'static str, String)>,
}

/// Two columns, the left of 35 characters, as bpftrace prints them.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for pair in self.items.chunks(2) {
            match pair {
                [(left, l), (right, r)] => {
                    let left = format!("  {left}: {l}");
                    writeln!(f, "{left:<35}{right}: {r}")?;
                }
                [(left, l)] => writeln!(f, "  {left}: {l}")?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Asks the kernel for all that scripts may depend on. Takes some milliseconds.
pub fn info(features: &Features) -> Vec<Section> {
    let has = |feature| {
        let answer = if features.has(feature) { "yes" } else { "no" };
        answer.to_owned()
    };
    let in_kprobe = |id| {
        has(Feature::Helper {
            program: ProgramKind::Kprobe as u32,
            helper: id,
        })
    };
    let in_tracing = |id| {
        has(Feature::Helper {
            program: ProgramKind::Tracing as u32,
            helper: id,
        })
    };
    let limit = features
        .instruction_limit()
        .map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
    vec![
        Section {
            title: "Kernel helpers",
            items: vec![
                ("dpath", has(Feature::DPath)),
                ("get_tai_ns", in_kprobe(helper::KTIME_GET_TAI_NS)),
                ("get_func_ip", in_kprobe(helper::GET_FUNC_IP)),
                (
                    "lookup_percpu_elem",
                    in_kprobe(helper::MAP_LOOKUP_PERCPU_ELEM),
                ),
                ("loop", in_kprobe(helper::LOOP)),
                ("probe_read_kernel", in_kprobe(helper::PROBE_READ_KERNEL)),
                ("send_signal", in_kprobe(helper::SEND_SIGNAL)),
                ("skboutput", in_tracing(helper::SKB_OUTPUT)),
                ("jiffies64", in_kprobe(helper::JIFFIES64)),
                ("get_boot_ns", in_kprobe(helper::KTIME_GET_BOOT_NS)),
            ],
        },
        Section {
            title: "Kernel features",
            items: vec![
                ("Instruction limit", limit),
                ("btf", has(Feature::Btf)),
                ("module btf", has(Feature::ModuleBtf)),
                ("map batch", has(Feature::MapBatch)),
                ("uprobe refcount", has(Feature::UprobeRefCount)),
                ("perf event link", has(Feature::PerfEventLink)),
            ],
        },
        Section {
            title: "Map types",
            items: vec![("ringbuf", has(Feature::RingBuffer))],
        },
        Section {
            title: "Probe types",
            items: vec![
                ("kprobe", has(Feature::Kprobe)),
                ("uprobe", has(Feature::Uprobe)),
                ("kprobe_multi", has(Feature::KprobeMulti)),
                ("uprobe_multi", has(Feature::UprobeMulti)),
                ("kprobe_session", has(Feature::KprobeSession)),
                ("iter", has(Feature::Iterator("task"))),
                ("fentry", has(Feature::Fentry)),
            ],
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_two_columns() {
        let section = Section {
            title: "Kernel helpers",
            items: vec![
                ("dpath", "no".into()),
                ("get_tai_ns", "yes".into()),
                ("loop", "yes".into()),
            ],
        };
        assert_eq!(
            section.to_string(),
            "Kernel helpers\n  dpath: no                        get_tai_ns: yes\n  loop: yes\n"
        );
    }
}
