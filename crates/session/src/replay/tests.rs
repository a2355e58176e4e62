//! What is kept is what was put in, however it came.

use super::*;

/// A few numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A message of some size, which tells it from others.
fn payload(number: u64, size: usize) -> Vec<u8> {
    (0..size).map(|i| (number as usize + i) as u8).collect()
}

fn kept(replay: &mut Replay, number: u64) -> Option<Vec<u8>> {
    replay.frame(number).map(|frame| frame.as_slice()[1..].to_vec())
}

#[test]
fn frames_of_our_own_and_shared_ones_come_back_in_any_order() {
    let (meter, mut numbers) = (Meter::default(), Numbers(7));
    let (mut replay, mut next) = (Replay::new(), 1);
    let mut model = std::collections::BTreeMap::new();
    for step in 0..40_000 {
        match numbers.below(16) {
            0..=6 => {
                let payload = payload(next, numbers.below(700) as usize);
                if numbers.below(4) == 0 {
                    replay.push(Prepared::metered(Kind::Binary, &payload, &meter), step);
                } else {
                    replay.push_own(Kind::Binary, &payload, &meter, step, numbers.below(2) == 0);
                }
                model.insert(next, payload);
                next += 1;
            }
            7..=11 => {
                let number = numbers.below(next + 2);
                let expected = model.get(&number).cloned();
                assert_eq!(kept(&mut replay, number), expected, "message {number}");
            }
            12 => {
                let from = replay.first() + numbers.below(20);
                let messages = replay.messages_from(from);
                let expected: Vec<_> =
                    model.range(from..).map(|(n, p)| (Some(*n), &p[..])).collect();
                let messages: Vec<_> =
                    messages.iter().map(|m| (m.number, &m.payload[..])).collect();
                assert_eq!(messages, expected);
            }
            13 => {
                let done = (replay.first() + numbers.below(30)).min(next) - 1;
                replay.free(done);
                model.retain(|number, _| *number > done);
            }
            14 => {
                let is_evicted = replay.evict(GapReason::EvictedBytes);
                assert_eq!(model.pop_first().is_some(), is_evicted);
            }
            _ => replay.shrink(),
        }
        assert_eq!(replay.entries(), model.len());
        assert_eq!(replay.bytes(), model.values().map(Vec::len).sum::<usize>());
        if step % 64 == 0 {
            replay.tell();
            assert_eq!(
                meter.bytes(),
                model.values().map(|payload| payload.len() + 1).sum::<usize>()
            );
        }
    }
    drop(replay);
    assert_eq!(meter.bytes(), 0);
}

#[test]
fn what_is_acknowledged_in_time_takes_little_memory() {
    let (meter, mut replay) = (Meter::default(), Replay::new());
    for number in 1..=10_000 {
        replay.push_own(Kind::Text, &payload(number, 100), &meter, 0, true);
        assert_eq!(kept(&mut replay, number).as_deref(), Some(&payload(number, 100)[..]));
        replay.free(number.saturating_sub(64));
    }
    let own = replay.kept.as_ref().and_then(|kept| kept.own.as_ref()).expect("64 are kept");
    assert!(own.frames.capacity() <= 4 * 65 * 101, "{}", own.frames.capacity());
    replay.free(10_000);
    replay.shrink();
    assert!(replay.kept.is_none());
    assert_eq!(meter.bytes(), 0);
}

#[test]
fn a_burst_that_is_acknowledged_but_for_its_end_leaves_little_memory() {
    let (meter, mut replay) = (Meter::default(), Replay::new());
    (1..=5_000)
        .for_each(|number| replay.push_own(Kind::Text, &payload(number, 100), &meter, 0, true));
    replay.free(4_999);
    let own = replay.kept.as_ref().and_then(|kept| kept.own.as_ref()).expect("one is kept");
    assert!(own.frames.capacity() <= 64 << 10, "{}", own.frames.capacity());
    assert_eq!(kept(&mut replay, 5_000).as_deref(), Some(&payload(5_000, 100)[..]));
}
