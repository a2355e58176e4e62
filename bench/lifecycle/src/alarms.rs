//! Thousands of hours in virtual time in which both ends live: nobody may be given up.

use std::{fmt::Write as _, thread, time::Duration};

use anyhow::Result;
use everwire::Keepalive;
use everwire_testkit::{FalseAlarm, SlowPath, Walked};

/// A walk, and what it came to.
pub(crate) struct Walk {
    policy: &'static str,
    path: SlowPath,
    pub(crate) result: Result<Walked, FalseAlarm>,
}

/// Walks for so many hours with each policy, over four paths; as many at a time as there are
/// processors.
pub(crate) fn walk(hours: u32, seed: u64) -> Vec<Walk> {
    let policies = [
        ("standard, 25 s/20 s", Keepalive::standard()),
        ("fast, 2 s/2 s", Keepalive::fast()),
        ("custom, 1 s/1 s", Keepalive::new(Duration::from_secs(1), Duration::from_secs(1))),
    ];
    // On the last one, users probe: there and back within the least deadline of a probe, 1 s.
    let paths = [(43, None), (43, Some(64 << 10)), (20, Some(32 << 10)), (2, Some(64 << 10))];
    let mut waiting = Vec::new();
    for (policy, keepalive) in policies {
        for (slowness, room) in paths {
            let seed = seed.wrapping_add(waiting.len() as u64);
            waiting.push((policy, SlowPath { policy: keepalive, slowness, room, seed }));
        }
    }
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::Mutex::new(waiting.into_iter().enumerate());
    let mut walks = thread::scope(|scope| {
        let walk = || {
            let mut walks = Vec::new();
            loop {
                let Some((n, (policy, path))) = next.lock().expect("nobody panics").next() else {
                    return walks;
                };
                let result = path.walk(hours.div_ceil(paths.len() as u32));
                walks.push((n, Walk { policy, path, result }));
            }
        };
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(walk)).collect();
        let walks =
            threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic"));
        walks.collect::<Vec<_>>()
    });
    walks.sort_by_key(|(n, _)| *n);
    walks.into_iter().map(|(_, walk)| walk).collect()
}

/// Prints what was seen.
pub(crate) fn table(walks: &[Walk]) -> String {
    let mut table = String::from(
        "| policy | one way takes up to | on its way at most | seed | hours | pings | stalls | probes | false alarms |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let (mut hours, mut alarms) = (0, 0);
    for Walk { policy, path, result } in walks {
        let one_way = path.policy.timeout * path.slowness / 100;
        let room = path.room.map_or("no limit".into(), |room| format!("{} KiB", room >> 10));
        write!(table, "| {policy} | {one_way:?} | {room} | {} ", path.seed)
            .expect("a string takes everything");
        match result {
            Ok(walked) => {
                let Walked { lasted, pings, stalls, probes, .. } = walked;
                hours += lasted.as_secs() / 3600;
                let lasted = lasted.as_secs() / 3600;
                writeln!(table, "| {lasted} | {pings} | {stalls} | {probes} | 0 |")
            }
            Err(alarm) => {
                alarms += 1;
                writeln!(table, "| | | | | {alarm} |")
            }
        }
        .expect("a string takes everything");
    }
    writeln!(table, "| all | | | | {hours} | | | | {alarms} |").expect("a string takes everything");
    table
}
