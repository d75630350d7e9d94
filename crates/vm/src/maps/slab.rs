//! Memory of a fixed number of equal elements, zero at first, that never moves.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::Errno;

/// A run of elements. Large ones cost memory only where they are touched, as the allocator takes zero pages then.
pub(crate) struct Slab {
    base: NonNull<u8>,
    layout: Layout,
    stride: usize,
    count: usize,
}

// SAFETY: the memory is plain bytes. Whoever reads and writes them keeps the order that the map's kind promises; that
// programs may change a value while another reads it is the contract of maps.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Slab {
    /// `count` elements of `size` bytes, each rounded up to eight.
    pub(crate) fn new(size: usize, count: usize) -> Result<Slab, Errno> {
        let stride = size.max(1).next_multiple_of(8);
        let bytes = stride.checked_mul(count.max(1)).ok_or(Errno::TOO_BIG)?;
        let layout = Layout::from_size_align(bytes, 16).map_err(|_| Errno::TOO_BIG)?;
        // SAFETY: the size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Errno::NOMEM)?;
        Ok(Slab {
            base,
            layout,
            stride,
            count,
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The address of a byte of an element.
    ///
    /// # Panics
    ///
    /// When it is not inside of the slab, which would be an error of the map's code.
    pub(crate) fn at(&self, index: usize, offset: usize) -> NonNull<u8> {
        assert!(index < self.count && offset < self.stride);
        // SAFETY: inside, as just checked.
        unsafe { self.base.add(index * self.stride + offset) }
    }

    /// Copies bytes into an element.
    pub(crate) fn write(&self, index: usize, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.stride);
        if !bytes.is_empty() {
            let to = self.at(index, offset);
            // SAFETY: both are valid for the length, and `bytes` may overlap when a program copies a value onto itself.
            unsafe { std::ptr::copy(bytes.as_ptr(), to.as_ptr(), bytes.len()) }
        }
    }

    /// Copies bytes out of an element.
    pub(crate) fn read(&self, index: usize, offset: usize, into: &mut [u8]) {
        assert!(offset + into.len() <= self.stride);
        if !into.is_empty() {
            let from = self.at(index, offset);
            // SAFETY: as in `write`.
            unsafe { std::ptr::copy(from.as_ptr(), into.as_mut_ptr(), into.len()) }
        }
    }

    /// Fills bytes of an element with zero.
    pub(crate) fn clear(&self, index: usize, offset: usize, len: usize) {
        assert!(offset + len <= self.stride);
        if len > 0 {
            // SAFETY: inside, as just checked.
            unsafe { self.at(index, offset).write_bytes(0, len) }
        }
    }

    /// Whether bytes of an element equal these.
    pub(crate) fn equals(&self, index: usize, offset: usize, bytes: &[u8]) -> bool {
        assert!(offset + bytes.len() <= self.stride);
        if bytes.is_empty() {
            return true;
        }
        let at = self.at(index, offset);
        // SAFETY: inside, as just checked. Keys do not change while their element is in use.
        let own = unsafe { std::slice::from_raw_parts(at.as_ptr(), bytes.len()) };
        own == bytes
    }

    /// Whether all these bytes lie in one element, at `from` or behind it.
    pub(crate) fn contains(&self, address: u64, size: u64, from: usize) -> bool {
        let Some(distance) = address.checked_sub(self.base.as_ptr() as u64) else {
            return false;
        };
        let stride = self.stride as u64;
        let (element, offset) = (distance / stride, distance % stride);
        element < self.count as u64 && offset >= from as u64 && size <= stride - offset
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_apart_and_zero() {
        let slab = Slab::new(5, 3).expect("small");
        slab.write(1, 0, b"hello");
        assert!(slab.equals(1, 0, b"hello") && slab.equals(2, 0, &[0; 5]));
        let address = slab.at(2, 0).as_ptr() as u64;
        assert!(slab.contains(address, 8, 0) && !slab.contains(address, 9, 0));
        assert!(!slab.contains(address, 4, 4) && slab.contains(address + 4, 4, 4));
        assert_eq!(slab.at(2, 0).as_ptr() as usize % 8, 0);
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        assert_eq!(Slab::new(usize::MAX / 4, 8).err(), Some(Errno::TOO_BIG));
    }
}
