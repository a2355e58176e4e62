//! What goes wrong, and when.

use std::time::Duration;

use everwire_testkit::Rng;

/// How long things go wrong, in virtual time; what began before is mended after.
const SECONDS: usize = 45;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// What is sent between a client and the server is dropped.
    Partition(usize),
    /// What is sent to the client is dropped.
    Deafen(usize),
    /// What the client sends is dropped.
    Mute(usize),
    Repair(usize),
    /// What is sent waits.
    Hold(usize),
    Release(usize),
    Delay(usize, Duration),
    Kill(usize),
    Start(usize),
    KillServer,
    StartServer,
}

#[derive(Debug)]
pub(crate) struct Plan(Vec<(Duration, Action)>);

impl Plan {
    pub(crate) fn of(seed: u64, clients: usize) -> Self {
        let mut rng = Rng::new(seed);
        let mut steps = Vec::new();
        for client in 0..clients {
            let mut at = 0;
            while at < SECONDS * 1000 {
                at += 300 + rng.below(8000);
                let (action, lasts, mended) = match rng.below(7) {
                    0 => (Action::Partition(client), 20_000, Action::Repair(client)),
                    1 => (Action::Deafen(client), 10_000, Action::Repair(client)),
                    2 => (Action::Mute(client), 10_000, Action::Repair(client)),
                    3 => (Action::Hold(client), 15_000, Action::Release(client)),
                    4 => {
                        let latency = Duration::from_millis(rng.below(600) as u64);
                        let normal = Duration::from_millis(20);
                        (Action::Delay(client, latency), 10_000, Action::Delay(client, normal))
                    }
                    _ => (Action::Kill(client), 8000, Action::Start(client)),
                };
                steps.push((at, action));
                at += 100 + rng.below(lasts);
                steps.push((at, mended));
            }
        }
        // Every other seed lets the server live.
        if seed.is_multiple_of(2) {
            for nth in 0..1 + rng.below(2) {
                let at = 30_000 * nth + 5000 + rng.below(20_000);
                steps.push((at, Action::KillServer));
                steps.push((at + 100 + rng.below(4000), Action::StartServer));
            }
        }
        Self::in_order(steps)
    }

    /// Returns a plan in which what is sent later often comes earlier, on another connection.
    pub(crate) fn restless(seed: u64, clients: usize) -> Self {
        let mut rng = Rng::new(seed);
        let mut steps = Vec::new();
        // In some seeds clients are killed all the time, while their HELLO is under way; in others it is slow
        // for moments only, and what was said then comes when all is done.
        let (latencies, kills) = match rng.below(2) {
            0 => ([20, 60, 150, 300, 700], 2),
            _ => ([10, 10, 10, 10, 900], 20),
        };
        for client in 0..clients {
            let mut at = 0;
            while at < SECONDS * 1000 {
                at += 100 + rng.below(600);
                let latency = latencies[rng.below(5)];
                steps.push((at, Action::Delay(client, Duration::from_millis(latency))));
                if rng.below(kills) == 0 {
                    steps.push((at, Action::Kill(client)));
                    steps.push((at + 10, Action::Start(client)));
                }
            }
            steps.push((at + 10, Action::Delay(client, Duration::from_millis(20))));
        }
        Self::in_order(steps)
    }

    fn in_order(mut steps: Vec<(usize, Action)>) -> Self {
        steps.sort_by_key(|(at, _)| *at);
        let after = |(at, action)| (Duration::from_millis(at as u64), action);
        Self(steps.into_iter().map(after).collect())
    }

    pub(crate) fn steps(&self) -> &[(Duration, Action)] {
        &self.0
    }

    pub(crate) fn kills_server(&self) -> bool {
        self.0.iter().any(|(_, action)| matches!(action, Action::KillServer))
    }
}
