//! What the targets of both roles share.

use arbitrary::{Arbitrary, Result, Unstructured};
use everwire_proto::{
    Config, ControlRate, DeflateConfig, DeflateMode, Delivery, Keepalive, Role,
};
use everwire_testkit::{Op, check_splits_with, walk};
use std::time::Duration;

/// Walks through everything an engine may do, then feeds all input of the walk as one script,
/// split in several ways. See [`walk`] and [`check_splits_with`] for what is asserted.
pub fn connection(role: Role, data: &[u8]) {
    // Data that runs out ends the walk early, which is a walk too.
    let _ = try_connection(role, &mut Unstructured::new(data));
}

/// Does what [`connection`] does, with compression.
pub fn deflate_connection(data: &[u8]) {
    let [bits, data @ ..] = data else { return };
    let role = if bits & 1 == 0 { Role::Server } else { Role::Client };
    let mut deflate = DeflateConfig::new(mode(*bits));
    deflate.threshold = usize::from(*bits);
    let mut data = Unstructured::new(data);
    let Ok(mut config) = config(&mut data) else { return };
    config.deflate = Some(deflate);
    let _ = walk_and_split(role, &config, &mut data);
}

/// Takes the data apart into the payloads of compressed messages and receives them, split in several
/// ways.
pub fn deflate(data: &[u8]) {
    let [bits, limit, data @ ..] = data else { return };
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::new(mode(*bits)));
    config.limits.message = 1 << (limit % 17 + 4);
    if bits & 4 != 0 {
        config.delivery = Delivery::Pieces;
    }
    let mut script = Vec::new();
    // A message ends where its first byte says.
    let mut rest = data;
    while let [len, kind, tail @ ..] = rest {
        let (payload, tail) = tail.split_at(tail.len().min(usize::from(*len) * 8));
        rest = tail;
        let first = [0xC1, 0xC2, 0x42, 0x80][usize::from(kind % 4)];
        script.extend([first, 0xFE]);
        if payload.len() < 126 {
            script.pop();
            script.push(0x80 | payload.len() as u8);
        } else {
            script.extend((payload.len() as u16).to_be_bytes());
        }
        script.extend([0; 4]);
        script.extend_from_slice(payload);
    }
    if script.len() <= 8192 {
        check_splits_with(Role::Server, &config, &script, [1, 2]);
    }
}

fn mode(bits: u8) -> DeflateMode {
    if bits & 2 == 0 { DeflateMode::Shared } else { DeflateMode::Dedicated }
}

fn try_connection(role: Role, data: &mut Unstructured<'_>) -> Result<()> {
    let config = config(data)?;
    walk_and_split(role, &config, data)
}

fn walk_and_split(role: Role, config: &Config, data: &mut Unstructured<'_>) -> Result<()> {
    let mut ops = Vec::new();
    while !data.is_empty() && ops.len() < 200 {
        ops.push(op(role, data)?);
    }
    walk(role, config, &ops);
    let script: Vec<u8> = ops.into_iter().flat_map(input).collect();
    // Byte by byte is slow for long scripts; what they can show, shorter ones can.
    if script.len() <= 8192 {
        check_splits_with(role, config, &script, [1, 2]);
    }
    Ok(())
}

fn config(data: &mut Unstructured<'_>) -> Result<Config> {
    let bits = u8::arbitrary(data)?;
    let mut config = Config::default();
    if bits & 1 != 0 {
        config.delivery = Delivery::Pieces;
    }
    if bits & 2 != 0 {
        config.keepalive = None;
    } else if bits & 4 != 0 {
        config.keepalive = Some(Keepalive::new(Duration::from_secs(2), Duration::from_secs(1)));
    }
    config.limits.control_rate =
        (bits & 8 == 0).then_some(ControlRate::new(10, 5));
    if bits & 16 != 0 {
        config.limits.message = 300;
        config.limits.fragments = 4;
    }
    if bits & 32 != 0 {
        config.limits.send_queue = 1000;
    }
    if bits & 64 != 0 {
        config.idle_timeout = Some(Duration::from_secs(10));
        config.limits.message_time = Duration::from_secs(3);
    }
    if bits & 128 != 0 {
        config.close_timeout = Some(Duration::ZERO);
        config.linger = Some(Duration::ZERO);
    }
    Ok(config)
}

fn op(role: Role, data: &mut Unstructured<'_>) -> Result<Op> {
    Ok(match u8::arbitrary(data)? {
        0..80 => Op::Input { bytes: frame(role, data)?, take: take(data)? },
        80..120 => Op::Input { bytes: bytes(data)?, take: take(data)? },
        120..140 => Op::Direct { bytes: bytes(data)?, take: take(data)? },
        140..170 => {
            Op::Wait { millis: u32::from(u16::arbitrary(data)?), late: bool::arbitrary(data)? }
        }
        170..180 => Op::Write(u16::arbitrary(data)?),
        180..190 => Op::Flush,
        190..200 => Op::Send(u16::arbitrary(data)?),
        200..205 => Op::SendPrepared(u16::arbitrary(data)?),
        205..215 => Op::Stream(u8::arbitrary(data)?),
        215..225 => Op::Control(u8::arbitrary(data)?),
        225..229 => Op::Close(u16::arbitrary(data)?),
        229..234 => Op::Pause,
        234..240 => Op::Resume,
        240..243 => Op::Eof,
        243..245 => Op::IoError,
        245..247 => Op::Abort,
        247..249 => Op::Fail,
        249..251 => Op::WriteError,
        251 => Op::Path(u64::from(u8::arbitrary(data)?), u32::from(u8::arbitrary(data)?)),
        252 => Op::SetKeepalive(u8::arbitrary(data)?),
        bits => Op::Buffer(bits & 1 == 0),
    })
}

fn take(data: &mut Unstructured<'_>) -> Result<u8> {
    Ok(match u8::arbitrary(data)? {
        0..4 => 0,
        4..8 => 1,
        _ => u8::MAX,
    })
}

fn bytes(data: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = usize::from(u8::arbitrary(data)?);
    // Now and then enough for the paths that large frames take.
    if len == 255 {
        return Ok(vec![u8::arbitrary(data)?; 40_000]);
    }
    Ok(data.bytes(len.min(data.len()))?.to_vec())
}

/// Returns a frame whose mask is right for the peer, with any first byte and payload.
fn frame(role: Role, data: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let first = u8::arbitrary(data)?;
    let payload = bytes(data)?;
    let mask = if role == Role::Server { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ 0..126 => out.push(mask | len as u8),
        len => {
            out.push(mask | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    if mask != 0 {
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(&payload);
    Ok(out)
}

fn input(op: Op) -> Vec<u8> {
    match op {
        Op::Input { bytes, .. } | Op::Direct { bytes, .. } => bytes,
        _ => Vec::new(),
    }
}
