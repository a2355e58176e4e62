//! Which sizes of messages to try, to find the largest that a server takes.

/// The smallest message, with which it is seen whether the server echoes.
const FIRST: u64 = 16;

/// The search: what was taken, what was not, what to try next.
///
/// It goes up by factors to the first refusal or the bound. Then it goes for a power of two, which
/// most limits are, and for the size behind it; what remains is halved.
#[derive(Clone, Debug)]
pub(super) struct SizeSearch {
    bound: u64,
    /// The largest that was taken; 0 for none.
    taken: u64,
    /// The smallest that was not taken.
    refused: Option<u64>,
}

impl SizeSearch {
    /// Looks for sizes of at most `bound` bytes.
    pub(super) fn new(bound: u64) -> Self {
        Self { bound, taken: 0, refused: None }
    }

    /// Returns the next size to try; `None` when the limit is known.
    pub(super) fn next(&self) -> Option<u64> {
        let Some(refused) = self.refused else {
            let up = if self.taken == 0 { FIRST } else { (self.taken * 8).max(1024) };
            return (self.taken < self.bound).then(|| up.min(self.bound));
        };
        if refused - self.taken <= 1 {
            return None;
        }
        if self.taken.is_power_of_two() && self.taken > FIRST {
            return Some(self.taken + 1);
        }
        // The largest power of two below what was refused, if it is above what was taken.
        let power = 1 << (63 - (refused - 1).leading_zeros());
        if power > self.taken && power >= FIRST {
            return Some(power);
        }
        Some(self.taken + (refused - self.taken) / 2)
    }

    /// Notes that the server took a message of this size.
    pub(super) fn take(&mut self, size: u64) {
        self.taken = self.taken.max(size);
    }

    /// Notes that it did not.
    pub(super) fn refuse(&mut self, size: u64) {
        self.refused = Some(self.refused.map_or(size, |refused| refused.min(size)));
    }

    /// Returns the largest size that was taken.
    pub(super) fn taken(&self) -> Option<u64> {
        (self.taken > 0).then_some(self.taken)
    }

    /// Returns the smallest size that was not taken.
    pub(super) fn refused(&self) -> Option<u64> {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the search against a server with this limit; returns it with how many were refused and
    /// how many tried.
    fn run(bound: u64, limit: u64) -> (SizeSearch, u32, u32) {
        let mut search = SizeSearch::new(bound);
        let (mut refused, mut tried) = (0, 0);
        while let Some(size) = search.next() {
            tried += 1;
            assert!(size >= 1 && size <= bound, "{size} is out of bounds");
            assert!(tried <= 40, "no end for {limit} of {bound}");
            if size <= limit {
                search.take(size);
            } else {
                refused += 1;
                search.refuse(size);
            }
        }
        (search, refused, tried)
    }

    #[test]
    fn every_limit_is_found_exactly() {
        let limits = [0, 1, 2, 15, 16, 17, 31, 125, 126, 1000, 1023, 4096, 65_535, 65_536, 65_537];
        let large = [100_000, 524_288, 1_000_000, (1 << 20) - 1];
        for limit in limits.into_iter().chain(large) {
            let (search, ..) = run(1 << 20, limit);
            assert_eq!(search.taken().unwrap_or(0), limit);
            assert_eq!(search.refused(), Some(limit + 1));
        }
    }

    #[test]
    fn nothing_beyond_the_bound_is_tried() {
        for bound in [1, 5, 16, 17, 1024, 1_000_000, 1 << 20] {
            let (search, refused, _) = run(bound, u64::MAX);
            assert_eq!((search.taken(), search.refused(), refused), (Some(bound), None, 0));
        }
    }

    #[test]
    fn a_power_of_two_costs_few_refusals() {
        for limit in [1 << 12, 1 << 14, 1 << 16, 1 << 18] {
            let (_, refused, tried) = run(1 << 20, limit);
            assert!(refused <= 4 && tried <= 10, "{limit}: {refused} of {tried}");
        }
    }
}
