//! The kernel's own symbols, from the list it publishes.

use std::fs::File;
use std::io::{self, Read};

const KALLSYMS: &str = "/proc/kallsyms";

/// Symbols by address. Names lie one behind the other in one text, so that the 150,000 symbols of a kernel cost 26 bytes
/// each and not an allocation each.
#[derive(Debug, Default)]
pub struct KernelSymbols {
    /// Address, and where the name begins in `names`; by rising address.
    symbols: Vec<(u64, u32)>,
    /// Every name is ended by a line break.
    names: Vec<u8>,
}

impl KernelSymbols {
    /// Reads what the kernel lists now. Empty where it keeps its addresses secret.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load() -> io::Result<KernelSymbols> {
        KernelSymbols::read(File::open(KALLSYMS)?)
    }

    /// Reads lines of `address type name [module]`. Data is left out, as are symbols without an address.
    fn read(mut from: impl Read) -> io::Result<KernelSymbols> {
        let mut found = KernelSymbols::default();
        let mut buffer = vec![0; 1 << 16];
        let mut have = 0;
        loop {
            let Some(space) = buffer.get_mut(have..).filter(|b| !b.is_empty()) else {
                // A line that fills the buffer is no symbol.
                have = 0;
                continue;
            };
            let n = from.read(space)?;
            if n == 0 {
                found.add(buffer.get(..have).unwrap_or_default());
                break;
            }
            let full = buffer.get(..have + n).unwrap_or_default();
            let end = full.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            for line in full[..end].split(|b| *b == b'\n') {
                found.add(line);
            }
            let total = have + n;
            buffer.copy_within(end..total, 0);
            have = total - end;
        }
        // Nearly sorted as it comes. Stable: of several names of an address, the kernel itself uses the first.
        found.symbols.sort_by_key(|s| s.0);
        found.symbols.dedup_by_key(|s| s.0);
        found.symbols.shrink_to_fit();
        found.names.shrink_to_fit();
        Ok(found)
    }

    fn add(&mut self, line: &[u8]) {
        let mut words = line.split(|b| matches!(b, b' ' | b'\t'));
        let (Some(address), Some([kind]), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let Some(address) = hex(address).filter(|a| *a != 0) else {
            return;
        };
        if matches!(kind, b'A' | b'a' | b'B' | b'b' | b'D' | b'd' | b'R' | b'r') {
            return;
        }
        if let Ok(start) = u32::try_from(self.names.len()) {
            self.symbols.push((address, start));
            self.names.extend_from_slice(name);
            self.names.push(b'\n');
        }
    }

    /// The symbol that an address lies in or behind, and how far behind its start.
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        let after = self.symbols.partition_point(|s| s.0 <= address);
        let (start, name) = self.symbols.get(after.checked_sub(1)?)?;
        let name = self.names.get(*name as usize..)?;
        let name = name.split(|b| *b == b'\n').next()?;
        Some((std::str::from_utf8(name).ok()?, address - start))
    }

    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "0000000000000000 A fixed_percpu_data\n\
        ffffffff81000000 T _stext\n\
        ffffffff81000000 T _text\n\
        ffffffff81000100 t helper.cold\n\
        ffffffff82000000 D some_data\n\
        ffffffffc0000000 t in_module\t[ext4]\n\
        ffffffff81000200 W weak_one";

    #[test]
    fn the_nearest_symbol_below() {
        let symbols = KernelSymbols::read(LIST.as_bytes()).unwrap();
        assert_eq!(symbols.find(0xffff_ffff_8100_0000), Some(("_stext", 0)));
        assert_eq!(
            symbols.find(0xffff_ffff_8100_0105),
            Some(("helper.cold", 5))
        );
        assert_eq!(symbols.find(0xffff_ffff_8200_0000).unwrap().0, "weak_one");
        assert_eq!(symbols.find(0xffff_ffff_c000_0001), Some(("in_module", 1)));
        assert_eq!(symbols.find(0x1000), None);
    }

    #[test]
    fn secret_addresses_give_no_symbols() {
        let symbols = KernelSymbols::read("0000000000000000 T _text\n".as_bytes()).unwrap();
        assert!(symbols.is_empty());
        assert_eq!(symbols.find(5), None);
    }

    #[test]
    fn lines_across_reads() {
        struct Trickle<'a>(&'a [u8]);
        impl Read for Trickle<'_> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(&mut buf[..7])
            }
        }
        let symbols = KernelSymbols::read(Trickle(LIST.as_bytes())).unwrap();
        assert_eq!(symbols.symbols.len(), 4);
    }
}
