//! What compressed messages may cost: bombs, and what connections keep.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use everwire_proto::{
    Cause, CloseCode, Config, DeflateConfig, DeflateMode, Delivery, Opcode, ProtocolError, Role,
    State,
};
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

const MODES: [DeflateMode; 2] = [DeflateMode::Shared, DeflateMode::Dedicated];
const LIMIT: u64 = 1 << 20;

fn end(role: Role, mode: DeflateMode, delivery: Delivery) -> Solo {
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::new(mode));
    config.delivery = delivery;
    Solo::new(role, config)
}

fn server(mode: DeflateMode, delivery: Delivery) -> Solo {
    end(Role::Server, mode, delivery)
}

/// Feeds compressed messages of this payload, a kilobyte at a time, to both roles in every mode, until
/// the connection fails; asserts how, and that it never held more than `most` beyond the message.
#[track_caller]
fn check_bomb(payload: &[u8], cause: &Cause, code: CloseCode, most: isize) {
    let ways = [Delivery::Whole, Delivery::Pieces];
    let roles = [(Role::Server, Role::Client), (Role::Client, Role::Server)];
    for ((role, peer), mode) in roles.into_iter().flat_map(|r| MODES.map(|m| (r, m))) {
        let frame = Frame::binary(payload).reserved(4).bytes(peer);
        for delivery in ways {
            let mut end = end(role, mode, delivery);
            let (peak, _, ()) = memory(|| {
                for part in frame.chunks(1024) {
                    let mut part = part.to_vec();
                    end.connection.handle_input(end.now, &mut part).for_each(drop);
                }
            });
            assert_eq!(end.connection.state(), State::Finishing, "{role:?} {mode:?} {delivery:?}");
            let closure = end.finish();
            assert_eq!(&closure.cause, cause, "{role:?} {mode:?} {delivery:?}");
            assert_eq!(closure.sent.map(|frame| frame.code), Some(code));
            // While a vector grows, both the old and the new one are there.
            let message = if delivery == Delivery::Whole { 2 * LIMIT as isize } else { 0 };
            assert!(peak < message + most, "{peak} {role:?} {mode:?} {delivery:?}");
        }
    }
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

fn too_big(size: u64) -> Cause {
    Cause::MessageTooBig { limit: LIMIT, size }
}

/// What a codec needs, and 100 KiB of grace.
const CODEC: isize = 150 << 10;

#[test]
fn a_bomb_is_1009_before_it_is_memory() {
    // What is there of it, about 1 KiB, would be 1 MiB and the whole frame 1 GiB.
    let bomb = bomb(1 << 30);
    assert!(bomb.len() < 1_100_000, "{}", bomb.len());
    check_bomb(&bomb, &too_big(LIMIT + 1), CloseCode::MESSAGE_TOO_BIG, CODEC);
    // Fewer bytes on the wire than there are megabytes in it.
    let short = &bomb[..1100];
    check_bomb(short, &too_big(LIMIT + 1), CloseCode::MESSAGE_TOO_BIG, CODEC);
}

#[test]
fn stored_blocks_that_never_end_are_1009() {
    // Each is as long as they get, and another follows.
    let mut block = vec![0x00, 0xff, 0xff, 0x00, 0x00];
    block.resize(5 + 0xffff, b'x');
    let blocks = block.repeat(17);
    check_bomb(&blocks, &too_big(LIMIT + 1), CloseCode::MESSAGE_TOO_BIG, CODEC);
}

#[test]
fn blocks_of_nothing_that_never_end_are_1009_by_what_comes_on_the_wire() {
    let stored = [0x00, 0x00, 0x00, 0xff, 0xff];
    let last = [0x03, 0x00];
    for nothing in [&stored[..], &last] {
        let nothing = nothing.repeat(2_000_000 / nothing.len());
        let size = nothing.len() as u64;
        check_bomb(&nothing, &too_big(size), CloseCode::MESSAGE_TOO_BIG, CODEC);
        check_fragments(&nothing);
    }
}

/// Feeds fragments without end, none of which is too large by itself.
#[track_caller]
fn check_fragments(payload: &[u8]) {
    for mode in MODES {
        let mut server = server(mode, Delivery::Whole);
        let mut first = Some(Frame::binary([]).reserved(4).more());
        let (peak, _, ()) = memory(|| {
            for part in payload.chunks(1000) {
                let part = Frame::continuation(part).more();
                server.receive(first.take().into_iter().chain([part]));
            }
        });
        let closure = server.finish();
        let size = (LIMIT + LIMIT / 8 + 1024).div_ceil(1000) * 1000;
        assert_eq!(closure.cause, too_big(size));
        assert_eq!(closure.sent.map(|frame| frame.code), Some(CloseCode::MESSAGE_TOO_BIG));
        assert!(peak < CODEC, "{peak}");
    }
}

#[test]
fn streams_that_end_and_begin_again_within_a_message_are_bounded_like_one() {
    // Each is final and inflates to a kilobyte.
    let mut final_block = vec![0; 2000];
    let mut deflate = Deflate::new(9, false, 12);
    deflate.compress(&[7; 1024], &mut final_block, DeflateFlush::Finish).unwrap();
    final_block.truncate(deflate.total_out() as usize);
    let bomb = final_block.repeat(1100);
    check_bomb(&bomb, &too_big(LIMIT + 1), CloseCode::MESSAGE_TOO_BIG, CODEC);
}

#[test]
fn a_lie_about_the_window_makes_nothing_grow() {
    // Every message refers to what was sent 8 KiB before, and 4 KiB were agreed upon.
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..8192).map(|_| next()).collect();
    let mut liar = Deflate::new(6, false, 15);
    let mut message = |payload: &[u8]| {
        let (mut out, from) = (vec![0; payload.len() + 1000], liar.total_out());
        liar.compress(payload, &mut out, DeflateFlush::SyncFlush).unwrap();
        out.truncate((liar.total_out() - from) as usize - 4);
        Frame::binary(out).reserved(4)
    };
    let frames = [message(&noise), message(&noise[..64])];
    let mut server = server(DeflateMode::Dedicated, Delivery::Whole);
    let (peak, _, ()) = memory(|| {
        server.receive(frames);
    });
    let closure = server.finish();
    assert_eq!(closure.cause, Cause::InvalidDeflate);
    let code = closure.sent.map(|frame| frame.code);
    assert_eq!(code, Some(CloseCode::INVALID_FRAME_PAYLOAD_DATA));
    assert!(peak < CODEC, "{peak}");
}

/// Feeds a frame that is marked as compressed where that is not allowed, and that says it is almost as
/// long as a message may be; asserts that it fails at once, and that nothing was reserved for it.
#[track_caller]
fn check_mark(mut end: Solo, frames: &[Frame], cause: &Cause) {
    let peer = if end.connection.role() == Role::Server { Role::Client } else { Role::Server };
    let mut bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(peer)).collect();
    let (peak, _, ()) = memory(|| {
        end.connection.handle_input(end.now, &mut bytes).for_each(drop);
    });
    let closure = end.finish();
    assert_eq!(&closure.cause, cause);
    assert_eq!(closure.sent.map(|frame| frame.code), Some(CloseCode::PROTOCOL_ERROR));
    assert!(peak < CODEC, "{peak}");
}

#[test]
fn the_mark_where_it_may_not_be_is_1002_and_reserves_nothing() {
    let long = |frame: Frame| frame.reserved(4).declare(LIMIT - 1);
    let unexpected = |opcode| Cause::Protocol(ProtocolError::UnexpectedRsv1(opcode));
    let not_agreed = Cause::Protocol(ProtocolError::ReservedBits);
    for role in [Role::Server, Role::Client] {
        check_mark(Solo::new(role, Config::default()), &[long(Frame::binary("a"))], &not_agreed);
        for mode in MODES {
            let fragments = [Frame::binary("a").more(), long(Frame::continuation("b"))];
            let cause = unexpected(Opcode::Continuation);
            check_mark(end(role, mode, Delivery::Whole), &fragments, &cause);
            let ping = [Frame::ping("a").reserved(4)];
            check_mark(end(role, mode, Delivery::Whole), &ping, &unexpected(Opcode::Ping));
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

#[test]
fn a_dedicated_connection_whose_peer_names_no_window_keeps_36_kib_at_most() {
    let idle = measure_with(DeflateMode::Dedicated, 20, |server| {
        let mut params = server.connection.deflate_params().unwrap();
        params.recv_window_bits = 15;
        server.connection.set_deflate(params, everwire_testkit::lend_codecs);
    });
    assert!(idle.iter().skip(1).all(|held| *held < 36 << 10), "{idle:?}");
}

/// Returns what each of `n` connections holds after it has received and sent a message, beyond
/// what it held when it was new.
fn measure(mode: DeflateMode, n: usize) -> Vec<isize> {
    measure_with(mode, n, |_| {})
}

fn measure_with(mode: DeflateMode, n: usize, prepare: impl Fn(&mut Solo)) -> Vec<isize> {
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
    servers.iter_mut().for_each(prepare);
    servers.iter_mut().map(|server| memory(|| exchange(server)).1).collect()
}
