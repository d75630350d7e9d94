//! `skboutput`: packets into pcap files.
//!
//! Format: the classic pcap file of libpcap (pcap-savefile(5)), link type RAW IP.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use beetrace_object::{Action, Clock, Object, RECORD_HEADER};

use crate::clock::WallClock;
use crate::output::Output;
use crate::value::read_uint;

/// Magic number of a file with times in nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
/// `LINKTYPE_RAW`: packets begin with their IP header.
const LINK_RAW: u32 = 101;
const SNAP_LENGTH: u32 = 65535;

/// The capture files of a run, opened when the first packet comes.
#[derive(Debug, Default)]
pub struct Captures {
    files: HashMap<String, Option<BufWriter<File>>>,
}

impl Captures {
    /// Writes the packet of a record; answers whether the record was one.
    pub fn write(&mut self, object: &Object, record: &[u8], output: &mut Output) -> bool {
        let kind = object.records.get(read_uint(record, 0, 4) as usize);
        let Some(Action::Packet { path }) = kind.map(|k| &k.action) else {
            return false;
        };
        let fields = record.get(RECORD_HEADER as usize..).unwrap_or(&[]);
        let nanos = read_uint(fields, 0, 8);
        let len = read_uint(fields, 8, 4) as usize;
        let packet = fields.get(12..).unwrap_or(&[]);
        let packet = &packet[..len.min(packet.len())];
        let file = self
            .files
            .entry(path.clone())
            .or_insert_with(|| match create(path) {
                Ok(file) => Some(file),
                Err(e) => {
                    output.note(&format!("ERROR: cannot write packets to {path}: {e}\n"));
                    None
                }
            });
        if let Some(open) = file
            && let Err(e) = append(open, nanos, packet)
        {
            output.note(&format!("ERROR: cannot write packets to {path}: {e}\n"));
            *file = None;
        }
        true
    }
}

fn create(path: &str) -> io::Result<BufWriter<File>> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&MAGIC.to_ne_bytes())?;
    file.write_all(&2u16.to_ne_bytes())?;
    file.write_all(&4u16.to_ne_bytes())?;
    for word in [0, 0, SNAP_LENGTH, LINK_RAW] {
        file.write_all(&word.to_ne_bytes())?;
    }
    Ok(file)
}

fn append(file: &mut BufWriter<File>, nanos: u64, packet: &[u8]) -> io::Result<()> {
    const SECOND: u64 = 1_000_000_000;
    let wall = WallClock::new().nanos(nanos, Clock::Boot);
    let len = packet.len() as u32;
    for word in [(wall / SECOND) as u32, (wall % SECOND) as u32, len, len] {
        file.write_all(&word.to_ne_bytes())?;
    }
    file.write_all(packet)?;
    file.flush()
}
