//! The last bytes of what was received, which the peer may refer to.

/// The last 2ⁿ bytes that went through an inflater, in a ring that grows as they come.
#[derive(Debug)]
pub(crate) struct Window {
    ring: Vec<u8>,
    /// Where the oldest byte lies, once the ring is full.
    at: usize,
    max: usize,
}

impl Window {
    pub(crate) fn new(bits: u8) -> Self {
        Self { ring: Vec::new(), at: 0, max: 1 << bits }
    }

    /// Returns whether it is as large as windows get.
    pub(crate) fn is_largest(&self) -> bool {
        self.max == 1 << 15
    }

    /// Adds bytes and forgets as many of the oldest as are too many.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(self.max)..];
        let free = (self.max - self.ring.len()).min(bytes.len());
        let (head, tail) = bytes.split_at(free);
        if self.ring.capacity() < self.ring.len() + head.len() {
            let wanted = (self.ring.len() + head.len()).next_power_of_two().min(self.max);
            self.ring.reserve_exact(wanted - self.ring.len());
        }
        self.ring.extend_from_slice(head);
        let upto_end = (self.max - self.at).min(tail.len());
        self.ring[self.at..self.at + upto_end].copy_from_slice(&tail[..upto_end]);
        let wrapped = tail.len() - upto_end;
        self.ring[..wrapped].copy_from_slice(&tail[upto_end..]);
        self.at = (self.at + tail.len()) % self.max;
    }

    /// Returns the bytes, oldest first.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        let (newer, older) = self.ring.split_at(self.at);
        [older, newer]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_the_last_bytes_whatever_the_steps(steps in proptest::collection::vec(0usize..700, 0..12)) {
            let mut window = Window::new(8);
            let (mut all, mut next) = (Vec::new(), 0u32);
            for step in steps {
                let bytes: Vec<u8> = (0..step).map(|_| { next += 1; (next * 31) as u8 }).collect();
                window.push(&bytes);
                all.extend_from_slice(&bytes);
                prop_assert_eq!(window.parts().concat(), &all[all.len().saturating_sub(256)..]);
                prop_assert!(window.ring.capacity() <= 256);
            }
        }
    }
}
