//! Buffers that are lent to connections only while they have bytes in hand.

use std::cell::RefCell;

/// Size of a read buffer. Measured: 1 MiB messages cost 7 % more with 64 or 256 KiB.
pub(crate) const READ_SIZE: usize = 128 << 10;

/// Write buffers that grew beyond this are not kept.
const KEEP_UP_TO: usize = 256 << 10;

/// How many buffers of each kind a thread keeps.
const KEEP: usize = 4;

#[derive(Default)]
struct Pool {
    read: Vec<Vec<u8>>,
    write: Vec<Vec<u8>>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// Lends a read buffer of [`READ_SIZE`] bytes, whatever is in it.
#[inline]
pub(crate) fn take_read() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| pool.read.pop()).unwrap_or_else(|| vec![0; READ_SIZE])
}

/// Takes a read buffer back.
#[inline]
pub(crate) fn put_read(buffer: Vec<u8>) {
    debug_assert_eq!(buffer.len(), READ_SIZE);
    POOL.with_borrow_mut(|pool| {
        if pool.read.len() < KEEP {
            pool.read.push(buffer);
        }
    });
}

/// Lends an empty write buffer.
#[inline]
pub(crate) fn take_write() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| pool.write.pop()).unwrap_or_else(|| Vec::with_capacity(16 << 10))
}

/// Takes an empty write buffer back.
#[inline]
pub(crate) fn put_write(buffer: Vec<u8>) {
    if buffer.capacity() <= KEEP_UP_TO {
        POOL.with_borrow_mut(|pool| {
            if pool.write.len() < KEEP {
                pool.write.push(buffer);
            }
        });
    }
}
