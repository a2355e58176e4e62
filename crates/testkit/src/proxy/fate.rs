//! What becomes of a connection: pure, drawn from a seed.

use std::{fmt, str::FromStr, time::Duration};

use crate::Rng;

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// Both ends see the end of the stream.
    Close,
    /// Both ends see a reset.
    Reset,
    /// The client sees a reset; the server sees nothing and is not read any more.
    Client,
    /// The server sees a reset; the client sees nothing and is not read any more.
    Server,
    /// Neither end sees anything, and neither is read any more.
    Hole,
    /// What the client sends is taken and vanishes; what the server sends still arrives.
    Up,
    /// What the server sends is taken and vanishes; what the client sends still arrives.
    Down,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    Up,
    /// From the server.
    Down,
}

/// What a proxy does to the connections that it carries. Plain data.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides what becomes of each connection.
    pub seed: u64,
    /// How many connections are cut before the proxy is calm; `None` for all.
    pub cuts: Option<u64>,
    /// How many bytes pass in one direction at most before a connection is cut.
    pub bytes: u64,
    /// How long a connection lives at most before it is cut.
    pub within: Duration,
    /// How long connections that are cut in silence are kept.
    pub hush: Duration,
    /// The kinds of cuts to choose from.
    pub kinds: Vec<Cut>,
}

/// What becomes of one connection: it is cut behind this byte, or at this age if that is sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The direction in which bytes are counted.
    pub way: Way,
    /// The bytes that still pass in that direction.
    pub after: u64,
    /// The longest that the connection lives.
    pub within: Duration,
    /// How it is cut.
    pub cut: Cut,
}

impl Cut {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Close, Self::Reset, Self::Client, Self::Server, Self::Hole, Self::Up, Self::Down];

    const fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Reset => "reset",
            Self::Client => "client",
            Self::Server => "server",
            Self::Hole => "hole",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            cuts: None,
            bytes: 20_000,
            within: Duration::from_secs(2),
            hush: Duration::from_secs(10),
            kinds: Cut::ALL.to_vec(),
        }
    }
}

impl Plan {
    /// Returns a plan that cuts nothing by itself.
    #[must_use]
    pub fn calm() -> Self {
        Self { cuts: Some(0), ..Self::default() }
    }

    /// Returns what becomes of the `n`th connection.
    #[must_use]
    pub fn fate(&self, n: u64) -> Fate {
        let mut rng = Rng::new(self.seed ^ n.wrapping_mul(0xD1B5_4A32_D192_ED03));
        // A quarter of the cuts is early, most of these in the opening handshake.
        let bits = u64::BITS - self.bytes.leading_zeros();
        let early = rng.below(4) == 0;
        let most = if early { 1 << rng.below(bits as usize + 1) } else { u64::MAX };
        let most = most.min(self.bytes.max(1));
        let micros = u64::try_from(self.within.as_micros()).unwrap_or(u64::MAX).max(1);
        Fate {
            way: if rng.below(2) == 0 { Way::Up } else { Way::Down },
            after: rng.next_u64() % (most + 1),
            within: Duration::from_micros(rng.next_u64() % micros),
            cut: self.kinds.get(rng.below(self.kinds.len().max(1))).copied().unwrap_or(Cut::Reset),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|cut| cut.name() == name);
        found.ok_or_else(|| format!("no cut is called {name:?}: expected one of {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_fate_of_each_connection() {
        let (plan, other) = (Plan::default(), Plan { seed: 2, ..Plan::default() });
        let fates = |plan: &Plan| (0..100).map(|n| plan.fate(n)).collect::<Vec<_>>();
        assert_eq!(fates(&plan), fates(&plan));
        assert_ne!(fates(&plan), fates(&other));
    }

    #[test]
    fn fates_are_of_all_kinds_and_within_their_bounds() {
        let plan = Plan::default();
        let fates: Vec<_> = (0..2000).map(|n| plan.fate(n)).collect();
        for cut in Cut::ALL {
            assert!(fates.iter().filter(|fate| fate.cut == cut).count() > 100, "{cut}");
        }
        assert!(fates.iter().all(|fate| fate.after <= plan.bytes && fate.within < plan.within));
        let early = fates.iter().filter(|fate| fate.after < 300).count();
        assert!((100..600).contains(&early), "{early}");
        assert!(fates.iter().any(|fate| fate.after > plan.bytes / 2));
    }

    #[test]
    fn plans_of_nothing_are_no_trouble() {
        let plan = Plan { bytes: 0, within: Duration::ZERO, kinds: Vec::new(), ..Plan::default() };
        for n in 0..100 {
            assert!(plan.fate(n).after <= 1);
        }
    }

    #[test]
    fn kinds_are_read_by_their_names() {
        for cut in Cut::ALL {
            assert_eq!(cut.to_string().parse(), Ok(cut));
        }
        assert!("explode".parse::<Cut>().unwrap_err().contains("close, reset"));
    }
}
