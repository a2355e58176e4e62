//! How many connections a server allows.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Counts connections, opening handshakes included.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
    per_address: Option<(usize, Mutex<HashMap<IpAddr, usize>>)>,
}

/// The place of one connection; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    /// Known only where that is limited; 8 bytes instead of 17 in every idle connection.
    address: Option<Box<IpAddr>>,
}

impl Slots {
    /// Without a limit of its own, a server with so many threads allows what the process has
    /// descriptors for.
    pub(crate) fn new(limit: Option<usize>, per_address: Option<usize>, threads: usize) -> Self {
        Self(Arc::new(Inner {
            limit: limit.unwrap_or_else(|| default_limit(threads)),
            used: AtomicUsize::new(0),
            per_address: per_address.map(|limit| (limit, Mutex::default())),
        }))
    }

    /// Returns how many places there are.
    pub(crate) fn limit(&self) -> usize {
        self.0.limit
    }

    /// Takes a place; `None` when there is none, in all or for this address.
    pub(crate) fn take(&self, address: Option<IpAddr>) -> Option<Slot> {
        if self.0.used.fetch_add(1, Ordering::Relaxed) >= self.0.limit {
            self.0.used.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut slot = Slot { slots: self.clone(), address: None };
        if let (Some((limit, table)), Some(address)) = (&self.0.per_address, address) {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            let used = table.entry(address).or_default();
            if *used >= *limit {
                drop(table);
                return None; // Dropping the slot gives the other place back.
            }
            *used += 1;
            slot.address = Some(Box::new(address));
        }
        Some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.0.used.fetch_sub(1, Ordering::Relaxed);
        if let (Some((_, table)), Some(address)) = (&self.slots.0.per_address, &self.address) {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(used) = table.get_mut(address) {
                *used -= 1;
                if *used == 0 {
                    table.remove(address);
                }
            }
        }
    }
}

/// Descriptors that a thread with a runtime and an event loop of its own takes.
const PER_THREAD: u64 = 8;

/// Descriptors that are kept for refusals, the admin port and files.
const RESERVE: u64 = 16;

/// Returns 90 % of the descriptors that the process may open, or less if so many are not free.
fn default_limit(threads: usize) -> usize {
    #[cfg(unix)]
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let descriptors: Option<u64> = None;
    descriptors.map_or(usize::MAX, |n| {
        let taken = open_descriptors() + PER_THREAD * threads as u64 + RESERVE;
        let limit = (n / 10 * 9).min(n.saturating_sub(taken)).max(1);
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Returns how many descriptors are open by now, as far as the system tells.
fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let slots = Slots::new(Some(2), Some(1), 1);
        let [a, b] = [1, 2].map(|n| Some(IpAddr::from([127, 0, 0, n])));
        let first = slots.take(a);
        assert!(first.is_some());
        assert!(slots.take(a).is_none(), "one per address");
        let second = slots.take(b);
        assert!(second.is_some());
        assert!(slots.take(None).is_none(), "two in all");
        drop(first);
        assert!(slots.take(a).is_some());
    }
}
