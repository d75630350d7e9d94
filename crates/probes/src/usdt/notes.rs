//! Notes of `.note.stapsdt`: the probes of a file
//! (<https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>).

use crate::world::UsdtNote;

const NAME: &[u8] = b"stapsdt\0";
/// `NT_STAPSDT`
const KIND: u32 = 3;

/// The probes of a note section. `word` is the length of an address in bytes, `base` the address of `.stapsdt.base` now.
/// Notes that make no sense are left out.
pub(crate) fn notes(mut section: &[u8], word: usize, base: Option<u64>) -> Vec<UsdtNote> {
    let mut found = Vec::new();
    while let Some((name, kind, descriptor, rest)) = next(section) {
        section = rest;
        if name == NAME && kind == KIND {
            found.extend(note(descriptor, word, base));
        }
    }
    found
}

type Record<'a> = (&'a [u8], u32, &'a [u8], &'a [u8]);

/// Name, kind and descriptor of the first note, and what follows it.
fn next(section: &[u8]) -> Option<Record<'_>> {
    let half =
        |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(*section.get(at..)?.first_chunk()?)) };
    let (name_len, len, kind) = (half(0)? as usize, half(4)? as usize, half(8)?);
    let name_end = 12usize.checked_add(name_len)?;
    let start = name_end.checked_next_multiple_of(4)?;
    let end = start.checked_add(len)?;
    let name = section.get(12..name_end)?;
    let descriptor = section.get(start..end)?;
    let rest = end.checked_next_multiple_of(4)?;
    Some((
        name,
        kind,
        descriptor,
        section.get(rest..).unwrap_or_default(),
    ))
}

fn note(descriptor: &[u8], word: usize, base: Option<u64>) -> Option<UsdtNote> {
    let address = |index: usize| -> Option<u64> {
        let bytes = descriptor.get(index * word..)?;
        Some(match word {
            4 => u64::from(u32::from_ne_bytes(*bytes.first_chunk()?)),
            _ => u64::from_ne_bytes(*bytes.first_chunk()?),
        })
    };
    let mut texts = descriptor.get(3 * word..)?.split(|byte| *byte == 0);
    let mut text = || std::str::from_utf8(texts.next()?).ok();
    let (provider, name, arguments) = (text()?, text()?, text().unwrap_or_default());
    if name.is_empty() {
        return None;
    }
    // Prelink moves sections and leaves notes as they are.
    let moved = match base {
        Some(base) => base.wrapping_sub(address(1)?),
        None => 0,
    };
    let semaphore = match address(2)? {
        0 => 0,
        semaphore => semaphore.wrapping_add(moved),
    };
    Some(UsdtNote {
        provider: provider.to_owned(),
        name: name.to_owned(),
        address: address(0)?.wrapping_add(moved),
        semaphore,
        arguments: arguments.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(addresses: [u64; 3], texts: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [8, 24 + texts.len() as u32, KIND] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(NAME);
        for address in addresses {
            bytes.extend(address.to_ne_bytes());
        }
        bytes.extend(texts);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn reads_notes() {
        let mut bytes = section([0x1000, 0x2000, 0], b"libc\0setjmp\08@%rdi -4@%esi\0");
        bytes.extend(section([0x1100, 0x2000, 0x3000], b"app\0go\0\0"));
        let found = notes(&bytes, 8, Some(0x2010));
        assert_eq!(
            found,
            [
                UsdtNote {
                    provider: "libc".into(),
                    name: "setjmp".into(),
                    address: 0x1010,
                    semaphore: 0,
                    arguments: "8@%rdi -4@%esi".into(),
                },
                UsdtNote {
                    provider: "app".into(),
                    name: "go".into(),
                    address: 0x1110,
                    semaphore: 0x3010,
                    arguments: String::new(),
                },
            ]
        );
        assert_eq!(notes(&bytes, 8, None)[0].address, 0x1000);
    }

    #[test]
    fn survives_nonsense() {
        let bytes = section([1, 2, 3], b"a\0b\0c\0");
        for end in 0..bytes.len() {
            let _ = notes(&bytes[..end], 8, None);
        }
        assert_eq!(notes(&[0xff; 64], 8, None), []);
        assert_eq!(notes(&section([1, 2, 3], b"a\0\0"), 8, None), []);
    }
}
