//! A herd: many clients that lost their server at the same moment, in virtual time.
//!
//! The clients are the real policy code, one `Reconnector` each. The server is a bucket of
//! admissions: so many a second, and a tenth of a second's worth at once. Who finds it empty is
//! refused at once, with 503 and a `Retry-After`.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt::Write,
    time::{Duration, Instant},
};

use everwire::Advice;
use everwire::reconnect::{Failure, ReconnectPolicy, Reconnector, Retry};

/// What clients are told, and when.
pub struct Scenario {
    pub name: &'static str,
    pub n_clients: u32,
    /// Admissions a second.
    pub rate: u32,
    /// The advice in the Close, if the server could still send one.
    pub notice: Option<Advice>,
    /// Whether a refusal carries a `Retry-After` that follows from the number of those refused.
    pub retry_after: bool,
    /// How long nobody listens.
    pub down: Duration,
    /// What the application sets as the spread of the first retry.
    pub first_spread: Option<Duration>,
    /// Whether the bounds hold for it.
    pub is_bound: bool,
}

/// What a run came to.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// When the last client was back.
    pub all_back: Duration,
    /// When 99 of 100 were.
    pub most_back: Duration,
    /// The most attempts within any second.
    pub worst_second: u32,
    pub attempts: u64,
}

impl Scenario {
    pub fn all(n_clients: u32, rate: u32) -> [Self; 6] {
        let ideal = Duration::from_secs_f64(f64::from(n_clients) / f64::from(rate));
        let spread = ideal.mul_f64(1.1);
        let advice = |secs| Advice::new(Duration::from_secs(secs), spread);
        let base = |name| Self {
            name,
            n_clients,
            rate,
            notice: None,
            retry_after: true,
            down: Duration::ZERO,
            first_spread: None,
            is_bound: false,
        };
        [
            Self { notice: Some(advice(0)), is_bound: true, ..base("restart, told to spread") },
            Self {
                notice: Some(advice(3)),
                down: Duration::from_secs(3),
                is_bound: true,
                ..base("restart of 3 s, told to spread after it")
            },
            Self {
                first_spread: Some(spread),
                is_bound: true,
                ..base("crash, first_spread set by the application")
            },
            base("crash, Retry-After"),
            Self { down: Duration::from_secs(20), ..base("crash of 20 s, Retry-After") },
            Self { retry_after: false, ..base("crash, no advice at all") },
        ]
    }

    /// Returns how long it would take if clients came exactly as fast as they are admitted.
    pub fn ideal(&self) -> Duration {
        self.down + Duration::from_secs_f64(f64::from(self.n_clients) / f64::from(self.rate))
    }

    /// Checks the bounds: all back within 1.2 times the ideal time, and never more than 1.1 times
    /// as many attempts within a second as are admitted.
    pub fn check(&self, outcome: &Outcome) -> Result<(), Exceeded> {
        let late = outcome.all_back > self.ideal().mul_f64(1.2);
        let crowded = f64::from(outcome.worst_second) >= f64::from(self.rate) * 1.1;
        if self.is_bound && (late || crowded) { Err(Exceeded) } else { Ok(()) }
    }

    /// Plays it; the same seed gives the same outcome.
    pub fn run(&self, seed: u64) -> Outcome {
        let start = Instant::now();
        let mut policy = ReconnectPolicy::default();
        policy.first_spread = self.first_spread.unwrap_or(policy.first_spread);
        let mut clients: Vec<_> = (0..self.n_clients)
            .map(|n| Reconnector::new(policy.clone(), start, generator(seed, n)))
            .collect();
        let mut due: BinaryHeap<_> = BinaryHeap::with_capacity(clients.len());
        let ended = Failure::new(self.notice.map_or(Retry::Now, retry));
        for (n, client) in clients.iter_mut().enumerate() {
            // All have been connected for a minute when the server goes.
            client.handle_timeout(start).expect("the first attempt is due at once");
            client.handle_opened(start, Duration::ZERO);
            client.handle_closed(start + MINUTE, ended);
            due.push(Reverse((client.poll_timeout().expect("it tries again"), n)));
        }
        let mut server = Server::new(self, start + MINUTE, generator(seed, u32::MAX));
        let mut arrivals = Vec::new();
        let mut back = Vec::with_capacity(clients.len());
        while let Some(Reverse((now, n))) = due.pop() {
            let client = &mut clients[n];
            client.handle_timeout(now).expect("it is due");
            arrivals.push(now - start - MINUTE);
            match server.admit(now, n) {
                Ok(()) => {
                    client.handle_opened(now, Duration::ZERO);
                    back.push(now - start - MINUTE);
                }
                Err(refusal) => {
                    client.handle_failed(now, Failure::new(refusal));
                    due.push(Reverse((client.poll_timeout().expect("it tries again"), n)));
                }
            }
        }
        Outcome {
            all_back: *back.last().expect("there are clients"),
            most_back: back[back.len() * 99 / 100],
            worst_second: worst_second(&arrivals),
            attempts: arrivals.len() as u64,
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// A bound does not hold.
#[derive(Debug)]
pub struct Exceeded;

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected all back within 1.2 of the ideal time, and less than 1.1 of the capacity in each second")
    }
}

impl std::error::Error for Exceeded {}

/// A server that admits so many a second.
struct Server<'a, R> {
    scenario: &'a Scenario,
    up_since: Instant,
    /// Admissions in hand, and when that was so.
    tokens: f64,
    at: Instant,
    /// Who was refused and is not back.
    refused: Vec<bool>,
    n_refused: u32,
    random: R,
}

impl<'a, R: FnMut(&mut [u8])> Server<'a, R> {
    fn new(scenario: &'a Scenario, start: Instant, random: R) -> Self {
        let up_since = start + scenario.down;
        let refused = vec![false; scenario.n_clients as usize];
        Self { scenario, up_since, tokens: 0.0, at: up_since, refused, n_refused: 0, random }
    }

    fn admit(&mut self, now: Instant, client: usize) -> Result<(), Retry> {
        if now < self.up_since {
            return Err(Retry::Now); // Nobody answers.
        }
        let rate = f64::from(self.scenario.rate);
        let new = (now - self.at).as_secs_f64() * rate;
        (self.tokens, self.at) = ((self.tokens + new).min(rate / 10.0).max(new.min(1.0)), now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            self.n_refused -= u32::from(std::mem::take(&mut self.refused[client]));
            return Ok(());
        }
        self.n_refused += u32::from(!std::mem::replace(&mut self.refused[client], true));
        Err(if self.scenario.retry_after { self.advice() } else { Retry::Now })
    }

    /// Spreads those who were refused over the time that their admission takes. A `Retry-After`
    /// is whole seconds, and clients spread by a tenth of it, at least a second, of their own.
    fn advice(&mut self) -> Retry {
        let backlog = f64::from(self.n_refused) / f64::from(self.scenario.rate) * 1.1;
        let mut bytes = [0; 4];
        (self.random)(&mut bytes);
        let share = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
        let after = Duration::from_secs((backlog * share) as u64 + 1);
        everwire::reconnect::retry_after(after)
    }
}

/// Returns the most arrivals within any second; `arrivals` are in order.
fn worst_second(arrivals: &[Duration]) -> u32 {
    let mut first = 0;
    let mut worst = 0;
    for (idx, at) in arrivals.iter().enumerate() {
        while *at - arrivals[first] >= Duration::from_secs(1) {
            first += 1;
        }
        worst = worst.max(idx - first + 1);
    }
    worst as u32
}

fn retry(advice: Advice) -> Retry {
    Retry::After { after: advice.after, spread: advice.spread }
}

/// Returns random bytes that follow from the seed and the client alone (SplitMix64).
fn generator(seed: u64, client: u32) -> impl FnMut(&mut [u8]) + Send + 'static {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (u64::from(client) << 20);
    move |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(8) {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Returns the outcomes as a table in Markdown.
pub fn table(rows: &[(Scenario, Outcome)]) -> String {
    let mut table = String::new();
    let Some((first, _)) = rows.first() else { return table };
    let _ = writeln!(
        table,
        "{} clients, {} admitted a second; bold rows are bound: all back within 1.2 × ideal, worst second below {}\n",
        first.n_clients,
        first.rate,
        u64::from(first.rate) * 11 / 10
    );
    table.push_str("| how it went | ideal | 99 % back | all back | of ideal | worst second | attempts each |\n");
    table.push_str("|---|---|---|---|---|---|---|\n");
    for (scenario, outcome) in rows {
        let (ideal, all) = (scenario.ideal().as_secs_f64(), outcome.all_back.as_secs_f64());
        let mark = if scenario.is_bound { "**" } else { "" };
        let _ = writeln!(
            table,
            "| {mark}{}{mark} | {ideal:.0} s | {:.1} s | {all:.1} s | {:.2} | {} | {:.2} |",
            scenario.name,
            outcome.most_back.as_secs_f64(),
            all / ideal,
            outcome.worst_second,
            outcome.attempts as f64 / f64::from(scenario.n_clients),
        );
    }
    table
}
