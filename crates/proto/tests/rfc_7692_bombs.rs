//! What compressed messages may cost: bombs, and what connections keep.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use everwire_proto::{Cause, CloseCode, Config, DeflateConfig, DeflateMode, Delivery, Role, State};
use everwire_testkit::{Frame, Seen, Solo};
use zlib_rs::{Deflate, DeflateFlush};

/// Counts the memory of each thread.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn note(change: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

#[allow(unsafe_code)]
// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn server(mode: DeflateMode, delivery: Delivery) -> Solo {
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::new(mode));
    config.delivery = delivery;
    Solo::new(Role::Server, config)
}

/// Returns how much memory `work` held at most, beyond what was held before, and holds after.
fn memory<T>(work: impl FnOnce() -> T) -> (isize, isize, T) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (PEAK.get() - before, HELD.get() - before, result)
}

fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + 1000];
    let mut deflate = Deflate::new(9, false, 12);
    deflate.compress(payload, &mut out, DeflateFlush::SyncFlush).unwrap();
    out.truncate(deflate.total_out() as usize - 4);
    out
}

/// 1 KiB for every MiB of zeros, in blocks that can be repeated.
fn bomb(len: usize) -> Vec<u8> {
    let mut block = deflate(&vec![0; 1 << 20]);
    block.extend([0, 0, 0xFF, 0xFF]);
    let mut bomb = block.repeat(len >> 20);
    bomb.truncate(bomb.len() - 4);
    bomb
}

#[test]
fn a_bomb_is_1009_before_it_is_memory() {
    // What is there of it, about 1 KiB, would be 1 MiB and the whole frame 1 GiB.
    let bomb = bomb(1 << 30);
    assert!(bomb.len() < 1_100_000, "{}", bomb.len());
    for mode in [DeflateMode::Shared, DeflateMode::Dedicated] {
        for delivery in [Delivery::Whole, Delivery::Pieces] {
            let frame = Frame::binary(&bomb).reserved(4).bytes(Role::Client);
            let mut server = server(mode, delivery);
            let limit = 1 << 20;
            let (peak, _, _) = memory(|| {
                for part in frame.chunks(1024) {
                    let mut part = part.to_vec();
                    let mut events = server.connection.handle_input(server.now, &mut part);
                    events.by_ref().for_each(drop);
                }
            });
            assert_eq!(server.connection.state(), State::Finishing);
            let closure = server.finish();
            assert_eq!(closure.cause, Cause::MessageTooBig { limit, size: limit + 1 });
            assert_eq!(closure.sent.map(|frame| frame.code), Some(CloseCode::MESSAGE_TOO_BIG));
            // While a vector grows, both the old and the new one are there.
            let most = if delivery == Delivery::Whole { 2 << 20 } else { 0 } + (150 << 10);
            assert!(peak < most, "{peak} {mode:?} {delivery:?}");
        }
    }
}

#[test]
fn a_message_of_exactly_the_limit_passes() {
    for mode in [DeflateMode::Shared, DeflateMode::Dedicated] {
        let mut server = server(mode, Delivery::Whole);
        server.receive([Frame::binary(deflate(&vec![9; 1 << 20])).reserved(4)]);
        assert!(server.events() == [Seen::Binary(vec![9; 1 << 20])]);
        server.receive([Frame::binary(deflate(&vec![9; (1 << 20) + 1])).reserved(4)]);
        let (limit, size) = (1 << 20, (1 << 20) + 1);
        assert_eq!(server.finish_cause(), Cause::MessageTooBig { limit, size });
    }
}

#[test]
fn an_idle_connection_keeps_nothing_where_codecs_are_shared() {
    let idle = measure(DeflateMode::Shared, 20);
    assert!(idle.iter().all(|held| *held == 0), "{idle:?}");
}

#[test]
fn a_dedicated_connection_keeps_the_peers_window_and_little_more() {
    let idle = measure(DeflateMode::Dedicated, 20);
    // The first ones fill the pool of the thread.
    assert!(idle.iter().skip(1).all(|held| *held < 7 << 10), "{idle:?}");
}

/// Returns what each of `n` connections holds after it has received and sent a message, beyond
/// what it held when it was new.
fn measure(mode: DeflateMode, n: usize) -> Vec<isize> {
    let payload: Vec<u8> =
        (0..60_000u32).map(|at| ((at / 3).wrapping_mul(at) % 1021) as u8).collect();
    let deflated = deflate(&payload);
    let mut warm = server(mode, Delivery::Whole);
    let exchange = |server: &mut Solo| {
        server.receive([Frame::binary(&deflated).reserved(4)]);
        assert!(server.events() == [Seen::Binary(payload.clone())]);
        server.connection.send(&payload[..]).unwrap();
        assert!(server.sent().len() == 1);
        server.connection.reclaim_buffer();
    };
    // Enough to have made all that a thread keeps.
    let mut others: Vec<_> = (0..64).map(|_| server(mode, Delivery::Whole)).collect();
    others.iter_mut().for_each(exchange);
    exchange(&mut warm);
    let mut servers: Vec<_> = (0..n).map(|_| server(mode, Delivery::Whole)).collect();
    servers.iter_mut().map(|server| memory(|| exchange(server)).1).collect()
}
