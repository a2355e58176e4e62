//! The deadlines of an event loop's connections, in ticks.

use std::time::Instant;

use crate::clock;

/// How many ticks ahead deadlines are told apart; what lies beyond is looked at again then.
const TICKS: u64 = 256;

/// A timing wheel: keys in buckets, one bucket for each [tick](clock::TICK). A key is never taken
/// out; whoever finds it asks whether it is still meant.
#[derive(Debug)]
pub(super) struct Wheel {
    buckets: Vec<Vec<u32>>,
    /// All ticks up to this one are done.
    done: u64,
    /// No bucket before this one has anything in it.
    next: Option<u64>,
}

impl Wheel {
    pub(super) fn new(now: Instant) -> Self {
        Self { buckets: vec![Vec::new(); TICKS as usize], done: clock::ticks(now), next: None }
    }

    /// Puts a key where it is found once `deadline` has come, or before. Returns in which tick;
    /// `None` if `armed`, where it lies already, is no later.
    pub(super) fn arm(&mut self, key: u32, deadline: Instant, armed: Option<u64>) -> Option<u64> {
        let tick = clock::ticks_up(deadline).clamp(self.done + 1, self.done + TICKS - 1);
        // One tick late costs less than arming twice.
        if armed.is_some_and(|armed| armed <= tick + 1) {
            return None;
        }
        self.buckets[(tick % TICKS) as usize].push(key);
        self.next = Some(self.next.map_or(tick, |next| next.min(tick)));
        Some(tick)
    }

    /// Returns when there is something to take at the earliest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.map(clock::at_tick)
    }

    /// Takes the keys of the first tick that has come by `now`, with the tick.
    pub(super) fn take_due(&mut self, now: Instant, due: &mut Vec<u32>) -> Option<u64> {
        let now = clock::ticks(now);
        let tick = self.next.filter(|tick| *tick <= now)?;
        // Its room goes with it: kept in every bucket, the largest tick would cost 256 times.
        *due = std::mem::take(&mut self.buckets[(tick % TICKS) as usize]);
        self.done = tick;
        let ahead = (tick + 1..tick + TICKS).find(|tick| !self.bucket(*tick).is_empty());
        self.next = ahead;
        if ahead.is_none() {
            self.done = now;
        }
        Some(tick)
    }

    fn bucket(&self, tick: u64) -> &Vec<u32> {
        &self.buckets[(tick % TICKS) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ticks(wheel: &mut Wheel, until: Instant) -> Vec<(u64, Vec<u32>)> {
        let mut taken = Vec::new();
        let mut due = Vec::new();
        while let Some(tick) = wheel.take_due(until, &mut due) {
            taken.push((tick, std::mem::take(&mut due)));
        }
        taken
    }

    #[test]
    fn a_key_is_found_when_its_deadline_has_come_and_not_before() {
        let now = clock::now();
        let mut wheel = Wheel::new(now);
        let deadline = now + Duration::from_secs(5);
        let tick = wheel.arm(7, deadline, None).expect("nothing was armed");
        assert_eq!(ticks(&mut wheel, deadline - clock::TICK), []);
        assert_eq!(wheel.next(), Some(clock::at_tick(tick)));
        assert!(clock::at_tick(tick) >= deadline);
        assert_eq!(ticks(&mut wheel, deadline + clock::TICK), [(tick, vec![7])]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn what_is_armed_moves_only_to_an_earlier_tick() {
        let now = clock::now();
        let mut wheel = Wheel::new(now);
        let armed = wheel.arm(1, now + Duration::from_secs(20), None);
        assert_eq!(wheel.arm(1, now + Duration::from_secs(30), armed), None);
        assert!(wheel.arm(1, now + Duration::from_secs(10), armed) < armed);
    }

    #[test]
    fn a_deadline_beyond_the_wheel_is_looked_at_again_on_the_way() {
        let now = clock::now();
        let mut wheel = Wheel::new(now);
        let far = now + Duration::from_secs(600);
        let (mut rounds, mut armed) = (0, wheel.arm(3, far, None));
        while let Some(tick) = armed.filter(|tick| clock::at_tick(*tick) < far) {
            assert_eq!(ticks(&mut wheel, clock::at_tick(tick)), [(tick, vec![3])]);
            armed = wheel.arm(3, far, None);
            rounds += 1;
        }
        assert_eq!(rounds, 9, "600 s are nine turns of 63.75 s and a rest");
    }

    #[test]
    fn a_deadline_that_has_passed_is_due_in_the_next_tick() {
        let now = clock::now();
        let mut wheel = Wheel::new(now);
        wheel.arm(1, now - Duration::from_secs(1), None);
        assert_eq!(ticks(&mut wheel, now + clock::TICK).len(), 1);
    }
}
